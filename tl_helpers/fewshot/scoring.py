"""What a classifier reaches over episodes, on features prepared for it."""

from typing import NamedTuple

import numpy as np

from tl_helpers.evaluation import summarise
from tl_helpers.fewshot.sampling import Episodes
from tl_helpers.inputs import (
    check_callable,
    check_features,
    check_kind,
    check_numbers,
    check_rows,
)
from tl_helpers.probes import one_thread

MAX_VALUES = 2**24  # features that `evaluate_episodes` holds at a time


class EpisodeAccuracy(NamedTuple):
    """What a classifier reached over episodes.

    Printed as '63.1 ± 0.7 %'. As in papers on few-shot learning, ± is half of the 95%
    confidence interval of the mean over episodes: not the deviation from one episode to
    the next, which is far larger, nor that over seeds, which `evaluation.Spread`
    prints. It knows nothing of other classes than those drawn.

    Attributes:
        accuracies: float (E,), in [0, 1].
        mean: float.
        low: lower end of the interval (Student's t).
        high: its upper end.
    """

    accuracies: np.ndarray
    mean: float
    low: float
    high: float

    def __str__(self):
        """Return the mean and half of the interval, in percent."""
        return f"{100 * self.mean:.1f} ± {50 * (self.high - self.low):.1f} %"


def check_drawn(drawn, values):
    """Refuse what are no episodes of these rows.

    Args:
        drawn: Episodes.
        values: (n, ...).

    Raises:
        ValueError: something else, or rows below 0 or from n on.
    """
    check_kind(Episodes, drawn=drawn)
    for rows in (drawn.support, drawn.query):
        check_rows(np.ravel(rows), len(values))


def evaluate_episodes(values, drawn, classifier):
    """Accuracy of a classifier over episodes.

    Args:
        values: float (n, d), features.
        drawn: Episodes of these rows. Fewer classes of queries than of support are
            allowed: `drawn._replace(query=drawn.query[:, :1])` asks for the first
            class only.
        classifier: one of `CLASSIFIERS`, or another such function.

    Returns:
        EpisodeAccuracy.

    Raises:
        ValueError: values that are not finite rows, or rows that they lack.
    """
    check_features("features", values)
    check_drawn(drawn, values)
    check_callable(classifier=classifier)
    values = np.asarray(values)
    shape = drawn.query.shape[1:]
    truth = np.broadcast_to(np.arange(shape[0])[:, None], shape)
    per_episode = (drawn.support[0].size + drawn.query[0].size) * values.shape[1]
    size = max(1, MAX_VALUES // per_episode)  # episodes at a time
    accuracies = []
    for start in range(0, len(drawn.query), size):
        part = slice(start, start + size)
        with one_thread():
            answers = classifier(values[drawn.support[part]], values[drawn.query[part]])
        accuracies.append((answers == truth).mean((1, 2)))
    accuracies = np.concatenate(accuracies)
    spread = summarise(accuracies)
    return EpisodeAccuracy(accuracies, spread.mean, spread.low, spread.high)


def centre_and_normalise(values, mean):
    """Shift features by a mean, then bring every row to length 1.

    Args:
        values: float (..., d).
        mean: float (d,), of the training classes' features. One of the queries would
            look at the test.

    Returns:
        float (..., d); a row that equals the mean stays 0.

    Raises:
        ValueError: values that are not finite, or a mean of another width.

    Source: Wang et al. 2019, SimpleShot (arXiv:1911.04623).
    """
    values = check_numbers("values", values, "(..., d)")
    if check_numbers("mean", mean, "(d,)").shape != values.shape[-1:]:
        raise ValueError(
            f"Got a mean of {len(mean)} numbers for values of shape {values.shape}, "
            "expected as many as columns; take both from one block."
        )
    centred = values - mean
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    return centred / np.where(length > 0, length, 1)
