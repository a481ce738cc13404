"""The straight line between two models' weights, and what lies on it."""

import numpy as np

from tl_helpers.combining.mixing import check_alike, copy_of, mix_into, scored
from tl_helpers.inputs import check_callable, check_numbers, check_share


def interpolate(first, second, share):
    """Make the model at one point of the line between two models' weights.

    w = (1 - share) * w_first + share * w_second

    Args:
        first: keras.Model; it stays as it is. For WiSE-FT the model before
            fine-tuning, with the head of a probe.
        second: keras.Model of the same architecture; it stays as it is.
        share: of the second, in [0, 1]. Both ends are the models bit for bit.

    Returns:
        keras.Model of the first one's class, not compiled. Statistics of
        BatchNormalization lie on the line, too; see `soup`.

    Raises:
        ValueError: models of different architectures, or no share.

    Source: Wortsman et al. 2021 (arXiv:2109.01903).
    """
    check_share(share=share)
    check_alike([first, second])
    mixed = copy_of(first)
    mix_into(mixed, [first, second], [1 - share, share])
    return mixed


def walk(first, second, shares, score, refresh=None):
    """Score the models along the line between two models' weights.

    Args:
        first: keras.Model; it stays as it is.
        second: keras.Model of the same architecture; it stays as it is.
        shares: float (n,), each in [0, 1], as for `interpolate`.
        score: callable(keras.Model) -> number, such as an accuracy or a loss. It is
            called with one model that changes its weights: read it, do not keep it.
        refresh: None, or callable(keras.Model) -> keras.Model, which is scored instead
            at every point, the ends included. Give it a function that estimates the
            statistics of BatchNormalization anew,
            `lambda model: adapt_batch_norm(model, training_images)`: without it a line
            may seem to cross a hill that is none of the weights'.

    Returns:
        float64 (n,), scores in the order of `shares`.

    Raises:
        ValueError: models of different architectures, no shares, or a score that is
            no finite number.

    Source: Wortsman et al. 2021 (arXiv:2109.01903); the statistics anew as in Izmailov
        et al. 2018 (arXiv:1803.05407).
    """
    shares = check_numbers("shares", shares, "(n,)").astype(float)
    check_share(**{f"shares[{i}]": share for i, share in enumerate(shares)})
    check_callable(score=score, **{} if refresh is None else {"refresh": refresh})
    check_alike([first, second])
    between, scores = copy_of(first), []
    for share in shares:
        mix_into(between, [first, second], [1 - share, share])
        shown = between if refresh is None else refresh(between)
        scores.append(scored(score, shown))
    return np.array(scores)
