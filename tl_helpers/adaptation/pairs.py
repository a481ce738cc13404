"""Batches of source and target side by side; the target's labels stay outside."""

import keras
import numpy as np

from tl_helpers.datasets.image_set import ImageSet
from tl_helpers.features import Features


class Pairs(keras.utils.PyDataset):
    """Endless streams of both domains, cut into epochs; `pairs` builds it.

    Each domain passes in one random order after the other, over the borders of epochs.
    At any moment no image was drawn more than once more often than another of its
    domain, so the smaller domain repeats evenly and the larger one drops nothing.

    Attributes:
        source: (n, ...) array, or ImageSet.
        labels: int64 (n,), the source's.
        target: (m, ...) array, or ImageSet.
        batch_size: rows of each domain in a batch.
        seed: int, decides both orders.
        epoch: int, how many epochs were drawn.
    """

    def __init__(self, source, labels, target, batch_size, seed):
        super().__init__()
        self.source, self.labels, self.target = source, labels, target
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0
        self._orders = {}

    def __len__(self):
        """Return the steps of an epoch: the larger domain passes once."""
        return -(-max(len(self.source), len(self.target)) // self.batch_size)

    def __getitem__(self, step):
        """Return ({"source": images, "target": images}, source labels) of a step."""
        start = (self.epoch * len(self) + step) * self.batch_size
        positions = np.arange(start, start + self.batch_size)
        source = self._rows(positions, len(self.source), domain=0)
        target = self._rows(positions, len(self.target), domain=1)
        images = {
            "source": _read(self.source, source),
            "target": _read(self.target, target),
        }
        return images, self.labels[source]

    def on_epoch_end(self):
        """Go on in the streams, instead of starting them again."""
        self.epoch += 1

    def _rows(self, positions, num_rows, domain):
        """Look up positions in a stream of random orders of the same rows."""
        turns, places = np.divmod(positions, num_rows)
        rows = np.empty_like(positions)
        for turn in np.unique(turns):
            here = turns == turn
            rows[here] = self._order(turn, num_rows, domain)[places[here]]
        return rows

    def _order(self, turn, num_rows, domain):
        """Return the random order of one turn; a batch needs two of them at most."""
        key, order = self._orders.get((domain, turn % 2), (None, None))
        if key != turn:
            order = np.random.default_rng((self.seed, domain, turn)).permutation(
                num_rows
            )
            self._orders[domain, turn % 2] = turn, order
        return order


def pairs(source, target, batch_size=32, seed=0):
    """Pair batches of a labelled source with batches of an unlabelled target.

    The target's labels are left behind here, where it has any: nothing behind this
    line can see them.

    Args:
        source: ImageSet, Features, or (values (n, ...), labels int (n,)).
        target: ImageSet, Features, or values (m, ...), in shape like the source's.
        batch_size: int >= 2, rows of each domain in a batch.
        seed: int >= 0. Keras's `fit` shuffles the batches within an epoch once more
            unless told `shuffle=False`.

    Returns:
        Pairs, for `fit`: ({"source": float32 (b, ...), "target": float32 (b, ...)},
        int64 (b,)), with every batch full.

    Raises:
        ValueError: an empty domain, labels missing or not one a row, different shapes
            or ranges, target classes that the source lacks, or batch_size below 2.
    """
    values, labels = _labelled(source)
    others = _unlabelled(target)
    _check_domains(values, labels, others)
    _check_classes(source, target)
    if batch_size < 2:
        raise ValueError(
            f"Got batch_size={batch_size}, expected at least 2: a batch must show how "
            "its images vary; 16 to 64 is usual."
        )
    return Pairs(values, np.asarray(labels), others, batch_size, seed)


def _labelled(source):
    if isinstance(source, ImageSet):
        return _images(source), source.labels
    if isinstance(source, Features):
        return source.values, source.labels
    if isinstance(source, tuple) and len(source) == 2:
        return np.asarray(source[0]), np.asarray(source[1])
    raise ValueError(
        f"Got a source of type {type(source).__name__}, expected an ImageSet, Features "
        "or a pair (values, labels); the source needs its labels."
    )


def _unlabelled(target):
    if isinstance(target, ImageSet):
        return _images(target)
    if isinstance(target, Features):
        return target.values
    if isinstance(target, tuple):
        raise ValueError(
            f"Got a target of {len(target)} arrays, expected the values alone; "
            "adaptation does without the target's labels."
        )
    return np.asarray(target)


def _images(image_set):
    """Return the pixels where they are in memory, else the set, which decodes."""
    in_memory = isinstance(image_set.images, np.ndarray)
    return image_set.images if in_memory else image_set


def _shape(values):
    return (values.images if isinstance(values, ImageSet) else values).shape


def _read(values, rows):
    rows = values.pixels(rows) if isinstance(values, ImageSet) else values[rows]
    return rows.astype("float32")


def _check_domains(source, labels, target):
    for name, values in {"source": source, "target": target}.items():
        if len(values) == 0:
            raise ValueError(
                f"Got an empty {name}, expected at least 2 rows; check which images "
                "were selected."
            )
    if len(labels) != len(source):
        raise ValueError(
            f"Got {len(labels)} labels for {len(source)} source rows, expected one a "
            "row; split values and labels by the same indices."
        )
    if _shape(source)[1:] != _shape(target)[1:]:
        raise ValueError(
            f"Got source rows of shape {_shape(source)[1:]} and target rows of shape "
            f"{_shape(target)[1:]}, expected the same; load both at one size_px, or "
            "extract both with one backbone and block."
        )
    _check_ranges(source, target)


def _check_ranges(source, target):
    """Refuse images in [0, 255] beside images in [0, 1]."""
    if isinstance(source, ImageSet) or isinstance(target, ImageSet):
        return
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise ValueError(
            "Got values that are not finite, expected real numbers; look for broken "
            "images or weights."
        )
    tops = [float(np.abs(values).max()) for values in (source, target)]
    if source.ndim == 4 and max(tops) > 64 * max(min(tops), 1e-12):
        raise ValueError(
            f"Got source images up to {tops[0]:g} and target images up to "
            f"{tops[1]:g}, expected one range; bring both to [0, 255]."
        )


def _check_classes(source, target):
    """Compare the names of the classes, which is not a look at the labels."""
    if not (isinstance(source, ImageSet) and isinstance(target, ImageSet)):
        return
    missing = [x for x in target.class_names if x not in source.class_names]
    if missing:
        raise ValueError(
            f"Got target classes {', '.join(missing[:5])} that the source lacks, "
            f"expected some of {', '.join(source.class_names[:10])}; leave their "
            "images out or give the two sets the same names."
        )
