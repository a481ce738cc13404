"""`ImageSet`: labelled images, split by index, turned into batches on demand."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

MAX_CACHED_BYTES = 2**30  # decoded files are kept in memory up to this much


@dataclass(frozen=True)
class Provenance:
    """Where a data set or a set of weights comes from, ready to print."""

    name: str
    origin: str
    licence: str
    citation: str
    size: str = ""

    def __str__(self):
        lines = [
            f"{self.name}: {self.size}" if self.size else self.name,
            f"  origin   {self.origin}",
            f"  licence  {self.licence}",
            f"  cite     {self.citation}",
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class ImageSet:
    """Images with labels and where they come from.

    Attributes:
        images: uint8 (n, height, width, 3), RGB, [0, 255]; or files that decode to
            it when indexed with an integer array (`files.ImageFiles`).
        labels: int64 (n,), in [0, number of classes).
        class_names: one name a class, in label order.
        provenance: origin, licence and citation.
        extras: further arrays of n rows (mask, box, depth, pose, group, ...).

    Raises:
        ValueError: labels, extras and images disagree in length, or a label is out
            of range, or the images are not uint8 RGB.
    """

    images: object
    labels: np.ndarray
    class_names: tuple
    provenance: Provenance
    extras: dict = field(default_factory=dict)

    def __post_init__(self):
        """Check the parts against each other and make the arrays read-only."""
        labels = np.asarray(self.labels)
        _check_parts(self.images, labels, self.class_names, self.extras)
        object.__setattr__(self, "labels", _read_only(labels.astype(np.int64)))
        if isinstance(self.images, np.ndarray):
            object.__setattr__(self, "images", _read_only(self.images))

    def __len__(self):
        """Return the number of images."""
        return len(self.labels)

    def __getitem__(self, rows):
        """Return the ImageSet of these rows (indices, a slice or a boolean mask)."""
        rows = np.arange(len(self))[rows]
        if isinstance(self.images, np.ndarray):
            images = self.images[rows]
        else:
            images = self.images.subset(rows)
        extras = {name: values[rows] for name, values in self.extras.items()}
        return replace(self, images=images, labels=self.labels[rows], extras=extras)

    def __repr__(self):
        """Return one line: name, number of images, shape and classes."""
        height, width = self.images.shape[1:3]
        return (
            f"ImageSet({self.provenance.name}: {len(self)} images of "
            f"{height}x{width} px, {len(self.class_names)} classes)"
        )

    @cached_property
    def fingerprint(self):
        """Hash of pixels (or of the files' bytes) and labels, as hex digits."""
        digest = hashlib.sha256(self.labels.tobytes())
        if isinstance(self.images, np.ndarray):
            digest.update(repr(self.images.shape).encode())
            with ThreadPoolExecutor() as pool:  # hashing lets go of Python's lock
                for part in pool.map(_sha256, np.array_split(self.images, 8)):
                    digest.update(part)
        else:
            digest.update(self.images.fingerprint().encode())
        return digest.hexdigest()

    def class_counts(self):
        """Return {class name: number of images}."""
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))

    def pixels(self, rows=slice(None)):
        """Decode rows into uint8 (k, height, width, 3), RGB, [0, 255]."""
        return self.images[np.arange(len(self))[rows]]

    def batches(self, batch_size, shuffle=False, seed=0, augment=None):
        """Turn the set into a `tf.data.Dataset`.

        Decoding comes first, then the cache, then shuffling, and augmentation last,
        so that it differs at every epoch.

        Args:
            batch_size: int >= 1; the last batch may be smaller, nothing is dropped.
            shuffle: reshuffle at every epoch.
            seed: int; the same seed gives the same order of epochs.
            augment: None or a callable (images, labels) -> (images, labels) on
                batches. Let it draw from Keras layers: once a global seed is set,
                bare `tf.random` functions repeat themselves at every epoch.

        Returns:
            tf.data.Dataset of float32 (b, height, width, 3), RGB, [0, 255], and
            int64 (b,).
        """
        import tensorflow as tf

        rows = tf.data.Dataset.range(len(self))
        if shuffle:
            rows = rows.shuffle(len(self), seed=seed, reshuffle_each_iteration=True)
        images, labels = reader(self.images), reader(self.labels)
        data = rows.batch(batch_size).map(
            lambda rows: (tf.cast(images(rows), tf.float32), labels(rows)),
            num_threads(self.images),
        )
        if augment is not None:
            # One batch at a time: batches in parallel would race for the random state
            # of the layers, so that two runs of the same seed differ.
            data = data.map(augment)
        return untuned(data.prefetch(tf.data.AUTOTUNE))


def is_in_memory(values):
    """Whether the rows are an array, or few enough files to decode them only once."""
    num_bytes = int(np.prod(values.shape))
    return isinstance(values, np.ndarray) or num_bytes <= MAX_CACHED_BYTES


def reader(values):
    """Return a function for `tf.data`: rows, int64 (b,) -> values (b, ...) of them.

    Args:
        values: (n, ...) array, or files that decode to uint8 when indexed.
    """
    import tensorflow as tf

    if is_in_memory(values):
        with tf.device("CPU:0"):
            tensor = tf.constant(values[:])  # files are decoded here
        return lambda rows: tf.gather(tensor, rows)

    def decode(rows):
        images = tf.numpy_function(lambda rows: values[rows], [rows], tf.uint8)
        return tf.ensure_shape(images, (None, *values.shape[1:]))

    return decode


def num_threads(values):
    """Return how many calls of `map` may read them at a time."""
    import tensorflow as tf

    # from memory it is a look-up, which threads would only slow down
    return None if is_in_memory(values) else tf.data.AUTOTUNE


def look_up(rows, read, *values):
    """Map a `tf.data.Dataset` of rows to what stands in them.

    From memory nothing is read ahead, hence no epoch ends before its last step.

    Args:
        rows: tf.data.Dataset of row numbers.
        read: callable on its elements, made of `reader`s.
        *values: what those read from.
    """
    slowest = max(values, key=lambda one: not is_in_memory(one))
    data = rows.map(read, num_threads(slowest))
    return untuned(data if is_in_memory(slowest) else data.prefetch(2))


def untuned(data):
    """Return a `tf.data.Dataset` whose buffers and threads stay as they are.

    The tuner's thread sleeps 10 ms, 20 ms, 40 ms, ... and the end of an epoch waits for
    it: a short fit took up to twice its time (TensorFlow 2.21).
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)


def split(labelled, *shares, stratify=True, groups=None, seed=0):
    """Split by index, so that no image can be on two sides.

    Args:
        labelled: ImageSet or Features with n rows; both give the same rows.
        *shares: floats in (0, 1) that add up to 1, or whole numbers of images that
            add up to n at most; one part comes back for each.
        stratify: keep the share of every class (ignored with `groups`).
        groups: int or str (n,): rows of one group (patient, scene) stay together.
        seed: int.

    Returns:
        tuple of the same kind, in the order of `shares`.

    Raises:
        ValueError: the shares do not add up, or a class or the groups are too few
            for every side to get one.
    """
    counts = _share_counts(shares, len(labelled))
    rng = np.random.default_rng(seed)
    if groups is not None:
        parts = _split_groups(np.asarray(groups), counts, rng)
    elif stratify:
        parts = _split_stratified(labelled, counts, rng)
    else:
        order = rng.permutation(len(labelled))
        parts = np.split(order, np.cumsum(counts))[: len(counts)]
    return tuple(labelled[np.sort(part)] for part in parts)


def few_per_class(labelled, labels_per_class, seed=0):
    """Draw the same number of rows from every class, as a small label budget.

    Args:
        labelled: ImageSet, or Features.
        labels_per_class: int >= 1.
        seed: int; the draw for 5 a class is contained in the draw for 20, and images
            and their features give the same rows.

    Returns:
        the same kind, with labels_per_class times the number of classes rows.

    Raises:
        ValueError: a class has fewer rows than asked for.
    """
    rng = np.random.default_rng(seed)
    picks = []
    for label in np.unique(labelled.labels):
        rows = rng.permutation(np.flatnonzero(labelled.labels == label))
        if not 1 <= labels_per_class <= len(rows):
            raise ValueError(
                f"Got labels_per_class={labels_per_class}, expected 1 to {len(rows)}, "
                f"which is what class {_class_name(labelled, label)!r} has; ask for "
                "fewer or add images."
            )
        picks.append(rows[:labels_per_class])
    return labelled[np.sort(np.concatenate(picks))]


def _class_name(labelled, label):
    """Name of a class; Features know only its number."""
    names = getattr(labelled, "class_names", None)
    return names[label] if names else int(label)


def _sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array)).digest()


def _read_only(array):
    view = array.view()
    view.flags.writeable = False
    return view


def _check_parts(images, labels, class_names, extras):
    shape = images.shape
    if len(shape) != 4 or shape[-1] != 3:
        raise ValueError(
            f"Got images of shape {shape}, expected (n, height, width, 3); "
            "convert them to RGB first."
        )
    if images.dtype != np.uint8:
        raise ValueError(
            f"Got {images.dtype} images, expected uint8 in [0, 255]; "
            "convert with np.clip(x, 0, 255).astype('uint8')."
        )
    for name, rows in {"labels": labels, **extras}.items():
        if len(rows) != shape[0]:
            raise ValueError(
                f"Got {len(rows)} rows of {name} for {shape[0]} images; "
                "give one row an image."
            )
    if len(labels) and not (0 <= labels.min() and labels.max() < len(class_names)):
        raise ValueError(
            f"Got labels from {labels.min()} to {labels.max()}, expected 0 to "
            f"{len(class_names) - 1} for {len(class_names)} classes; renumber them "
            "or name the missing classes."
        )


def _share_counts(shares, num_images):
    if shares and all(isinstance(s, int | np.integer) for s in shares):
        counts = [int(s) for s in shares]
    else:
        if abs(sum(shares) - 1) > 1e-6 or min(shares, default=0) <= 0:
            raise ValueError(
                f"Got shares {shares}, expected positive ones that add up to 1; "
                "for example split(images, 0.8, 0.2)."
            )
        edges = np.rint(np.cumsum((0, *shares)) * num_images).astype(int)
        counts = np.diff(edges).tolist()
    if min(counts) < 1 or sum(counts) > num_images:
        raise ValueError(
            f"Got parts of {counts} images from {num_images}, expected at least one "
            "in each and no more than there are; change the shares."
        )
    return counts


def _split_stratified(labelled, counts, rng):
    """Deal every class out in proportion to the wanted counts."""
    total, num_rows = sum(counts), len(labelled)
    parts = [[] for _ in counts]
    for label in np.unique(labelled.labels):
        rows = rng.permutation(np.flatnonzero(labelled.labels == label))
        if len(rows) < len(counts):
            raise ValueError(
                f"Class {_class_name(labelled, label)!r} has {len(rows)} images, "
                f"expected at least {len(counts)} to put one on every side; add images "
                "or drop the class."
            )
        used = round(len(rows) * total / num_rows)
        edges = np.rint(np.cumsum((0, *counts)) / total * used).astype(int)
        edges = _at_least_one_each(edges)
        for part, start, stop in zip(parts, edges[:-1], edges[1:], strict=True):
            part.append(rows[start:stop])
    return [np.concatenate(part) for part in parts]


def _at_least_one_each(edges):
    """Move the edges of a class so that no side is left without it."""
    edges = edges.copy()
    edges[-1] = max(edges[-1], len(edges) - 1)
    for i in range(1, len(edges) - 1):
        edges[i] = max(edges[i], edges[i - 1] + 1)
    for i in range(len(edges) - 2, 0, -1):
        edges[i] = min(edges[i], edges[i + 1] - 1)
    return edges


def _split_groups(groups, counts, rng):
    """Give whole groups to the side that is furthest from its wanted count."""
    names, members = np.unique(groups, return_inverse=True)
    if len(names) < len(counts):
        raise ValueError(
            f"Got {len(names)} groups, expected at least {len(counts)}, one for every "
            "side; use finer groups or fewer sides."
        )
    missing = np.array(counts, float)
    parts = [[] for _ in counts]
    for group in rng.permutation(len(names)):
        rows = np.flatnonzero(members == group)
        side = int(np.argmax(missing))
        parts[side].append(rows)
        missing[side] -= len(rows)
    if not all(parts):
        raise ValueError(
            f"Got groups too uneven for parts of {counts} images: one side is empty; "
            "change the shares or split the largest group."
        )
    return [np.concatenate(part) for part in parts]
