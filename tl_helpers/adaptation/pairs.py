"""Batches of source and target side by side; the target's labels stay outside."""

import numpy as np

from tl_helpers.datasets.batches import look_up, reader
from tl_helpers.datasets.image_set import ImageSet
from tl_helpers.features import Features
from tl_helpers.inputs import (
    check_labels,
    check_numbers,
    check_same_classes,
    check_whole,
)


def pairs(source, target, batch_size=32, seed=0):
    """Pair batches of a labelled source with batches of an unlabelled target.

    An epoch is one pass over the larger domain. Each domain is drawn in one random
    order after the other, over the borders of epochs: at any moment no image was drawn
    more than once more often than another of its domain, so the smaller domain repeats
    evenly and the larger one drops nothing. The target's labels are left behind here,
    where it has any: nothing behind this line can see them.

    Args:
        source: ImageSet or Features, n rows.
        target: ImageSet, Features, or values (m, ...), in shape like the source's.
        batch_size: int >= 2, rows of each domain in a batch.
        seed: int >= 0, decides both orders.

    Returns:
        tf.data.Dataset, for `fit`: ({"source": float32 (b, ...), "target": float32
        (b, ...)}, int64 (b,)), with every batch full. A second iteration is the next
        epoch.

    Raises:
        ValueError: an empty domain, labels missing or not one a row, different shapes
            or ranges, classes of other names, or batch_size below 2.
    """
    check_whole(2, batch_size=batch_size)  # a batch must show how its images vary
    check_whole(seed=seed)
    values, labels, others = checked(source, target)
    orders = _Orders((len(values), len(others)), batch_size, seed)
    return _dataset(orders, values, labels, others)


def checked(source, target):
    """Return (source values, source labels, target values) that can be paired.

    Args:
        source: as in `pairs`.
        target: as in `pairs`.

    Raises:
        ValueError: as in `pairs`.
    """
    if not isinstance(source, (ImageSet, Features)):
        raise ValueError(
            f"Got a source of type {type(source).__name__}, expected an ImageSet or "
            "Features; the source needs its labels, as Features(values, labels)."
        )
    values, others = values_of(source), values_of(target)
    _check_domains(values, others)
    check_same_classes(source, target, ("the source", "the target"))
    return values, check_labels("source", values, source.labels), others


def _dataset(orders, values, labels, others):
    """Read the rows that are drawn."""
    import tensorflow as tf

    source, target, classes = reader(values), reader(others), reader(labels)

    def read(source_rows, target_rows):
        images = {"source": source(source_rows), "target": target(target_rows)}
        images = {name: tf.cast(x, tf.float32) for name, x in images.items()}
        return images, classes(source_rows)

    drawn = tf.TensorSpec((None, orders.batch_size), tf.int64)
    data = tf.data.Dataset.from_generator(orders, output_signature=(drawn, drawn))
    data = data.unbatch()
    data = data.apply(tf.data.experimental.assert_cardinality(len(orders)))
    return look_up(data, read, values, others)


class _Orders:
    """Endless random orders of both domains, cut into batches and epochs.

    A call yields an epoch as (source rows, target rows), int64 (steps, b) each, in two
    parts: all steps but the last, then the last. Once that is drawn, the next epoch has
    begun. So a look at the first batch, which Keras takes before some trainings, does
    not cost an epoch.
    """

    def __init__(self, sizes, batch_size, seed):
        self.sizes, self.batch_size, self.seed = sizes, batch_size, seed
        self.epoch = 0

    def __len__(self):
        """Return the steps of an epoch: the larger domain passes once."""
        return -(-max(self.sizes) // self.batch_size)

    def __call__(self):
        """Yield the rows of an epoch."""
        start = self.epoch * len(self) * self.batch_size
        stop = start + len(self) * self.batch_size
        drawn = [self._rows(domain, start, stop) for domain in range(2)]
        yield tuple(rows[:-1] for rows in drawn)
        self.epoch += 1
        yield tuple(rows[-1:] for rows in drawn)

    def _rows(self, domain, start, stop):
        """Return a stretch of one domain's orders, one behind the other, by step."""
        size = self.sizes[domain]
        first, last = start // size, -(-stop // size)
        orders = [
            np.random.default_rng((self.seed, domain, turn)).permutation(size)
            for turn in range(first, last)
        ]
        drawn = np.concatenate(orders)[start - first * size : stop - first * size]
        return drawn.reshape(-1, self.batch_size)


def values_of(rows):
    """Return what a network sees of some rows, and never their labels.

    Args:
        rows: ImageSet, Features, or values (n, ...).

    Returns:
        array (n, ...), or the files of an ImageSet.

    Raises:
        ValueError: a tuple, such as values with their labels, or no numbers.
    """
    if isinstance(rows, ImageSet):
        return rows.images
    if isinstance(rows, Features):
        return rows.values
    if isinstance(rows, tuple):
        raise ValueError(
            f"Got a target of {len(rows)} arrays, expected the values alone; "
            "adaptation does without the target's labels."
        )
    return check_numbers("a target", rows, "(n, ...)", least=0)


def _check_domains(source, target):
    for name, values in {"source": source, "target": target}.items():
        if len(values.shape) < 2:
            raise ValueError(
                f"Got a {name} of shape {values.shape}, expected rows (n, ...); give "
                "pixels or features."
            )
        if len(values) == 0:
            raise ValueError(
                f"Got an empty {name}, expected at least 2 rows; check which images "
                "were selected."
            )
        if isinstance(values, np.ndarray):
            check_numbers(name, values, "(n, ...)")
    if source.shape[1:] != target.shape[1:]:
        raise ValueError(
            f"Got source rows of shape {source.shape[1:]} and target rows of shape "
            f"{target.shape[1:]}, expected the same; load both at one size_px, or "
            "extract both with one backbone and block."
        )
    _check_ranges(source, target)


def _check_ranges(source, target):
    """Refuse images in [0, 255] beside images in [0, 1]."""
    if not all(isinstance(values, np.ndarray) for values in (source, target)):
        return  # files: they are decoded to [0, 255]
    tops = [float(np.abs(values).max()) for values in (source, target)]
    if source.ndim == 4 and max(tops) > 64 * max(min(tops), 1e-12):
        raise ValueError(
            f"Got source images up to {tops[0]:g} and target images up to "
            f"{tops[1]:g}, expected one range; bring both to [0, 255]."
        )
