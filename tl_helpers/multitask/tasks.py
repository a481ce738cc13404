"""What a trunk can be asked about an image: a class, an angle, a box, a mask."""

import math

import keras
import numpy as np
from keras import layers, ops

from tl_helpers.inputs import check_corners, check_whole
from tl_helpers.multitask.base import Task

DECODER_CHANNELS = 16  # of a mask's head
BOX_BEND = 0.1  # a box's edge that is off by less counts quadratically


@keras.saving.register_keras_serializable("tl_helpers")
class Classification(Task):
    """One class of several; a domain is `Classification(2)`.

    Labels int (n,) in [0, num_classes), -1 absent. Output: logits (b, num_classes).
    Loss: cross-entropy, nats. Metric: accuracy.

    Args:
        num_classes: int >= 2.
    """

    metric, unit = "accuracy", "share of images"
    is_regression = False
    settings = ("num_classes",)
    label_hint = "number the classes from 0, with -1 for an absent label"

    def __init__(self, num_classes):
        check_whole(2, num_classes=num_classes)
        self.num_classes = int(num_classes)
        self.output_shape = (self.num_classes,)
        self.label_range = (-1, num_classes - 1)

    def attach(self, features):
        """Return logits (b, num_classes)."""
        return layers.Dense(self.num_classes, dtype="float32")(_pooled(features))

    def check(self, name, labels):
        """Refuse also parts of a class number."""
        super().check(name, labels)
        if (np.asarray(labels) % 1 > 0).any():
            raise ValueError(
                f"Got parts of a whole in {name} labels, expected class numbers; "
                f"{self.label_hint}."
            )

    def valid(self, labels):
        """Return bool (b,): NaN and -1 are absent."""
        return ops.cast(labels, "float32") >= 0

    def loss(self, labels, outputs, valid):
        """Return the cross-entropy (b,)."""
        classes = ops.cast(labels, "int32")
        return ops.sparse_categorical_crossentropy(classes, outputs, from_logits=True)

    def score(self, labels, outputs, valid):
        """Return 1 where the largest logit is the label's (b,)."""
        hits = ops.argmax(outputs, axis=-1) == ops.cast(labels, "int32")
        return ops.cast(hits, "float32")


@keras.saving.register_keras_serializable("tl_helpers")
class Angle(Task):
    """An angle on the circle, where 359 degrees are near to 1.

    Labels float (n,), radians. Output: its cosine and sine (b, 2), of length 1. Loss:
    1 - cos(difference), in [0, 2]. Metric: absolute error in degrees, in [0, 180].
    """

    metric, unit = "error", "degrees"
    is_higher_better = False
    output_shape = (2,)
    label_range = (-2 * math.pi, 2 * math.pi)
    label_hint = "give radians"

    def attach(self, features):
        """Return cosine and sine (b, 2)."""
        x = layers.Dense(2, dtype="float32")(_pooled(features))
        return layers.UnitNormalization(dtype="float32")(x)

    def loss(self, labels, outputs, valid):
        """Return 1 - cos of the difference (b,)."""
        cosines, sines = outputs[:, 0], outputs[:, 1]
        return 1 - ops.cos(labels) * cosines - ops.sin(labels) * sines

    def score(self, labels, outputs, valid):
        """Return the absolute difference (b,), degrees."""
        turned = labels - ops.arctan2(outputs[:, 1], outputs[:, 0])
        around = ops.arctan2(ops.sin(turned), ops.cos(turned))  # back to [-pi, pi]
        return ops.abs(around) * (180 / math.pi)


@keras.saving.register_keras_serializable("tl_helpers")
class Box(Task):
    """The box around an object, as shares of the picture's sides.

    Labels float (n, 4), x0, y0, x1, y1 in [0, 1]; a row with a NaN is absent. Output:
    the same (b, 4). Loss: smooth L1, quadratic below 0.1, mean over the four. Metric:
    intersection over union, in [0, 1].
    """

    metric, unit = "iou", "share"
    label_shape = output_shape = (4,)
    label_range = (0, 1)
    label_hint = "divide pixels by the image size (`scaled_boxes`)"

    def attach(self, features):
        """Return edges (b, 4) in [0, 1], from where along each side the object lies."""
        return layers.Dense(4, activation="sigmoid", dtype="float32")(_sides(features))

    def check(self, name, labels):
        """Refuse also boxes that end before they begin."""
        super().check(name, labels)
        check_corners(np.asarray(labels))

    def present(self, labels):
        """Return float32 (b,): 1 for rows with all four edges."""
        return ops.cast(ops.all(self.valid(labels), axis=1), "float32")

    def loss(self, labels, outputs, valid):
        """Return the smooth L1 distance (b,)."""
        away = ops.abs(labels - outputs)
        smooth = ops.where(
            away < BOX_BEND, away**2 / (2 * BOX_BEND), away - BOX_BEND / 2
        )
        return ops.mean(smooth, axis=1)

    def score(self, labels, outputs, valid):
        """Return intersection over union (b,)."""
        start = ops.maximum(labels[:, :2], outputs[:, :2])
        stop = ops.minimum(labels[:, 2:], outputs[:, 2:])
        shared = _area(start, stop)
        both = _area(labels[:, :2], labels[:, 2:]) + _area(
            outputs[:, :2], outputs[:, 2:]
        )
        return shared / ops.maximum(both - shared, 1e-7)


@keras.saving.register_keras_serializable("tl_helpers")
class Mask(Task):
    """Which pixels of a square picture belong to the object.

    Labels bool or float (n, size_px, size_px), 1 on the object; NaN or -1 where
    unknown, and an image without any known pixel has no label. Output: logits of the
    same shape. Loss: cross-entropy, mean over known pixels, nats. Metric:
    intersection over union of the object, in [0, 1].

    Args:
        size_px: int, side of the labels.
    """

    metric, unit = "iou", "share"
    is_regression = False
    settings = ("size_px",)
    label_range = (-1, 1)
    label_hint = "give 1 on the object, 0 off it and -1 or NaN where unknown"

    def __init__(self, size_px):
        check_whole(1, size_px=size_px)
        self.size_px = int(size_px)
        self.label_shape = self.output_shape = (self.size_px, self.size_px)

    def attach(self, features):
        """Double a map (b, h, w, c) until it has the label's size."""
        if len(features.shape) != 4:
            raise ValueError(
                f"Got features of shape {tuple(features.shape)} for a mask, expected "
                "a map (n, h, w, c); end the trunk before it pools."
            )
        x = _convolved(features)  # (b, h, w, 16)
        while 2 * max(x.shape[1:3]) <= self.size_px:
            x = layers.UpSampling2D(interpolation="bilinear")(x)  # (b, 2h, 2w, 16)
            x = _convolved(x)
        x = layers.Conv2D(1, 1, dtype="float32")(x)  # (b, h, w, 1)
        if x.shape[1:3] != self.output_shape:
            x = layers.Resizing(*self.output_shape, dtype="float32")(x)
        return layers.Reshape(self.output_shape, dtype="float32")(x)  # (b, size, size)

    def valid(self, labels):
        """Return bool, as `labels`: NaN and -1 are absent."""
        return ops.cast(labels, "float32") >= 0

    def loss(self, labels, outputs, valid):
        """Return the cross-entropy (b,)."""
        pixels = ops.binary_crossentropy(labels, outputs, from_logits=True)
        known = ops.cast(valid, "float32")  # (b, size, size)
        return ops.sum(pixels * known, axis=(1, 2)) / ops.maximum(_count(valid), 1)

    def score(self, labels, outputs, valid):
        """Return intersection over union (b,); 1 where both are empty."""
        truth = labels > 0.5
        found = ops.logical_and(outputs > 0, valid)
        shared = _count(ops.logical_and(truth, found))
        union = _count(ops.logical_or(truth, found))
        return ops.where(union > 0, shared / ops.maximum(union, 1), 1.0)


def _pooled(features):
    if len(features.shape) == 2:
        return features
    return layers.GlobalAveragePooling2D()(features)  # (b, c)


def _sides(features):
    """Average a map over its height and over its width: two profiles in one row.

    On the whole map, flat, a box's head has so many weights that Adam's steps throw it
    about: on solids it learned nothing in a hundred of them.
    """
    if len(features.shape) == 2:
        return features
    _, height, width, _ = features.shape
    across = layers.AveragePooling2D((height, 1))(features)  # (b, 1, w, c)
    down = layers.AveragePooling2D((1, width))(features)  # (b, h, 1, c)
    profiles = [layers.Flatten()(across), layers.Flatten()(down)]
    return layers.Concatenate()(profiles)  # (b, (w + h) * c)


def _area(start, stop):
    return ops.prod(ops.maximum(stop - start, 0.0), axis=1)


def _convolved(x):
    return layers.Conv2D(DECODER_CHANNELS, 3, padding="same", activation="relu")(x)


def _count(pixels):
    return ops.sum(ops.cast(pixels, "float32"), axis=(1, 2))  # (b,)
