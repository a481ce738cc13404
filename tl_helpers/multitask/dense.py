"""Tasks with a label at every pixel: a mask, a depth."""

import keras
from keras import layers, ops

from tl_helpers.multitask.base import Task

DECODER_CHANNELS = 16


class DenseTask(Task):
    """A task with a label at every pixel of a square picture.

    Args:
        size_px: int, side of the labels.
    """

    settings = ("size_px",)
    start = 0.0  # what the head answers at first

    def __init__(self, size_px):
        self.size_px = int(size_px)
        self.label_shape = self.output_shape = (self.size_px, self.size_px)

    def attach(self, features):
        """Double a map (b, h, w, c) until it has the label's size."""
        if len(features.shape) != 4:
            raise ValueError(
                f"Got features of shape {tuple(features.shape)} for "
                f"{type(self).__name__}, expected a map (n, h, w, c); end the trunk "
                "before it pools."
            )
        x = layers.Conv2D(DECODER_CHANNELS, 3, padding="same", activation="relu")(
            features
        )
        while 2 * max(x.shape[1:3]) <= self.size_px:
            x = layers.UpSampling2D(interpolation="bilinear")(x)
            x = layers.Conv2D(DECODER_CHANNELS, 3, padding="same", activation="relu")(x)
        bias = keras.initializers.Constant(self.start)
        x = layers.Conv2D(1, 1, bias_initializer=bias, dtype="float32")(x)
        x = layers.Resizing(*self.output_shape, dtype="float32")(x)
        return layers.Reshape(self.output_shape, dtype="float32")(x)


@keras.saving.register_keras_serializable("tl_helpers")
class Mask(DenseTask):
    """Which pixels belong to the object.

    Labels bool or float (n, size_px, size_px), 1 on the object; NaN or -1 where
    unknown, and an image without any known pixel has no label. Output: logits of the
    same shape. Loss: cross-entropy, mean over known pixels, nats. Metric:
    intersection over union of the object, in [0, 1].

    Args:
        size_px: int, side of the labels.
    """

    metric, unit = "iou", "share"
    is_regression = False
    label_range = (-1, 1)
    label_hint = "give 1 on the object, 0 off it and -1 or NaN where unknown"

    def valid(self, labels):
        """Return bool, as `labels`: NaN and -1 are absent."""
        return ops.cast(labels, "float32") >= 0

    def loss(self, labels, outputs, valid):
        """Return the cross-entropy (b,)."""
        pixels = ops.binary_crossentropy(labels, outputs, from_logits=True)
        return _mean_over(pixels, valid)

    def score(self, labels, outputs, valid):
        """Return intersection over union (b,); 1 where both are empty."""
        truth = labels > 0.5
        found = ops.logical_and(outputs > 0, valid)
        shared = _count(ops.logical_and(truth, found))
        union = _count(ops.logical_or(truth, found))
        return ops.where(union > 0, shared / ops.maximum(union, 1), 1.0)


@keras.saving.register_keras_serializable("tl_helpers")
class Depth(DenseTask):
    """Distance from the camera at every pixel.

    Labels float (n, size_px, size_px), NaN where unknown; an image without any known
    pixel has no label. Output: the same shape and unit. Loss and metric: absolute
    error, mean over known pixels, in the unit of the labels.

    Args:
        size_px: int, side of the labels.
        start: float, what the head answers at first, near the labels' mean.
    """

    metric, unit = "error", "unit of the labels"
    is_higher_better = False
    settings = ("size_px", "start")

    def __init__(self, size_px, start=0.0):
        super().__init__(size_px)
        self.start = float(start)

    def loss(self, labels, outputs, valid):
        """Return the mean absolute error (b,)."""
        return _mean_over(ops.abs(labels - outputs), valid)

    score = loss


def _count(pixels):
    return ops.sum(ops.cast(pixels, "float32"), axis=(1, 2))


def _mean_over(pixels, valid):
    known = ops.cast(valid, "float32")
    return ops.sum(pixels * known, axis=(1, 2)) / ops.maximum(_count(valid), 1)
