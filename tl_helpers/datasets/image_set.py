"""`ImageSet`: labelled images in memory or in files, turned into batches on demand."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from tl_helpers.datasets.batches import (
    in_order,
    num_threads,
    reader,
    reader_of_each,
    untuned,
)
from tl_helpers.datasets.files import resize_pixels
from tl_helpers.datasets.levels import how_to_convert
from tl_helpers.datasets.places import moving, targets_of
from tl_helpers.inputs import (
    check_callable,
    check_class_names,
    check_flag,
    check_kind,
    check_labels,
    check_rows,
    check_whole,
)
from tl_helpers.storage import hash_arrays


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
        ValueError: labels, extras and images disagree in length, a label is out of
            range, a class has no name of its own, or the images are not uint8 RGB.
    """

    images: object
    labels: np.ndarray
    class_names: tuple
    provenance: Provenance
    extras: dict = field(default_factory=dict)

    def __post_init__(self):
        """Check the parts against each other and make the arrays read-only."""
        check_kind(Provenance, provenance=self.provenance)
        names = check_class_names(self.class_names)
        labels = _check_parts(self.images, self.labels, len(names), self.extras)
        object.__setattr__(self, "labels", _read_only(labels))
        object.__setattr__(self, "class_names", names)
        extras = {name: np.asarray(rows) for name, rows in self.extras.items()}
        object.__setattr__(self, "extras", extras)
        if isinstance(self.images, np.ndarray):
            object.__setattr__(self, "images", _read_only(self.images))

    def __len__(self):
        """Return the number of images."""
        return len(self.labels)

    def __getitem__(self, rows):
        """Return the ImageSet of these rows (indices, a slice or a boolean mask)."""
        rows = check_rows(rows, len(self))
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

    @property
    def fingerprint(self):
        """Hash of pixels (or of the files' bytes) and labels, as hex digits.

        Taken anew every time: an array may have changed through another name.
        """
        digest = hashlib.sha256(hash_arrays(self.labels).encode())
        if isinstance(self.images, np.ndarray):
            with ThreadPoolExecutor() as pool:  # hashing lets go of Python's lock
                for part in pool.map(hash_arrays, np.array_split(self.images, 8)):
                    digest.update(part.encode())
        else:
            digest.update(self.images.fingerprint.encode())
        return digest.hexdigest()

    def resized(self, size_px):
        """Return the same images at another height and width.

        Arrays are resized here, smoothly where they shrink; files will be decoded at
        the new size. Masks and depth follow by nearest neighbour, boxes are scaled.

        Args:
            size_px: int >= 1, height and width.

        Returns:
            ImageSet; this one where it has that size.

        Raises:
            ValueError: a size that is no whole number from 1 on.
        """
        check_whole(1, size_px=size_px)
        height, width = self.images.shape[1:3]
        if (height, width) == (size_px, size_px):
            return self
        rows, columns = _nearest(height, size_px), _nearest(width, size_px)
        extras = {}
        for name, values in self.extras.items():
            if name in ("box", "boxes"):
                scaled = values * np.tile([size_px / width, size_px / height], 2)
                is_whole = values.dtype.kind in "iu"
                values = (np.rint(scaled) if is_whole else scaled).astype(values.dtype)
            elif values.shape[1:3] == (height, width):
                values = values[:, rows[:, None], columns]
            extras[name] = values
        if isinstance(self.images, np.ndarray):
            images = resize_pixels(self.images, size_px)
        else:
            images = self.images.resized(size_px)
        return replace(self, images=images, extras=extras)

    def class_counts(self):
        """Return {class name: number of images}."""
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))

    def pixels(self, rows=slice(None)):
        """Decode rows into uint8 (k, height, width, 3), RGB, [0, 255]."""
        return self.images[check_rows(rows, len(self))]

    def batches(
        self, batch_size, shuffle=False, seed=0, augment=None, targets="labels"
    ):
        """Turn the set into a `tf.data.Dataset`.

        Decoding comes first, then the cache, then shuffling, and augmentation last,
        so that it differs at every epoch.

        Args:
            batch_size: int >= 1; the last batch may be smaller, nothing is dropped.
            shuffle: bool, whether to reshuffle at every epoch; or a callable without
                arguments, asked at the beginning of every epoch for its order,
                int64 (n,).
            seed: int; the same seed gives the same order of epochs.
            augment: None or a callable (images, labels) -> (images, labels) on
                batches. Let it draw from Keras layers: once a global seed is set,
                bare `tf.random` functions repeat themselves at every epoch. With
                other targets an `augmentation.Policy`, which moves them along.
            targets: what a network shall answer: "labels", a class an image;
                "pixel_labels", a class a pixel; or "boxes", with the class of each.

        Returns:
            tf.data.Dataset of float32 (b, height, width, 3), RGB, [0, 255], and of
            int64 (b,) labels, or int32 (b, height, width) labels of pixels, or
            {"boxes": float32 (b, k, 4), x0, y0, x1, y1 in px, "labels": int32 (b, k)},
            where a label of -1 stands for no box, whose corners are 0.

        Raises:
            ValueError: a batch size below 1, arguments of another kind, or targets
                that the set lacks or that `places.check_places` refuses.
        """
        check_whole(1, batch_size=batch_size)
        check_whole(seed=seed)
        if not callable(shuffle):
            check_flag(shuffle=shuffle)
        if augment is not None:
            check_callable(augment=augment)
        wanted = targets_of(self, targets)

        import tensorflow as tf

        rows = tf.data.Dataset.range(len(self))
        if callable(shuffle):
            rows = in_order(shuffle, len(self))
        elif shuffle:
            rows = rows.shuffle(len(self), seed=seed, reshuffle_each_iteration=True)
        images, read = reader(self.images), reader_of_each(wanted)
        data = rows.batch(batch_size).map(
            lambda rows: (tf.cast(images(rows), tf.float32), read(rows)),
            num_threads(self.images),
        )
        if augment is not None:
            # One batch at a time: batches in parallel would race for the random state
            # of the layers, so that two runs of the same seed differ.
            data = data.map(moving(augment, targets))
        return untuned(data.prefetch(tf.data.AUTOTUNE))


def _nearest(old_px, new_px):
    """Return for every new pixel the old one at its centre, int (new_px,)."""
    return ((np.arange(new_px) + 0.5) * old_px / new_px).astype(int)


def _read_only(array):
    view = array.view()
    view.flags.writeable = False
    return view


def _check_parts(images, labels, num_classes, extras):
    """Return the labels as int64 (n,), or say what does not fit."""
    is_known = isinstance(images, np.ndarray) or hasattr(images, "subset")
    shape = images.shape if is_known else ()
    if len(shape) != 4 or shape[-1] != 3 or images.dtype.kind not in "biuf":
        raise ValueError(
            f"Got images of type {type(images).__name__} and shape {shape}, expected "
            "numbers (n, height, width, 3) in an array; convert them to RGB first."
        )
    if images.dtype != np.uint8:
        raise ValueError(
            f"Got {images.dtype} images, expected uint8 in [0, 255]; "
            f"convert with {how_to_convert(images)}."
        )
    if not isinstance(extras, dict):
        raise ValueError(
            f"Got extras of type {type(extras).__name__}, expected a dict, such as "
            '{"mask": array with a row for each image}; give the arrays by name.'
        )
    for name, rows in extras.items():
        if np.shape(rows)[:1] != shape[:1]:
            raise ValueError(
                f"Got extras {name!r} of shape {np.shape(rows)} for {len(images)} "
                "images, expected one row for each; give an array in their order."
            )
    return check_labels("", images, labels, num_classes)
