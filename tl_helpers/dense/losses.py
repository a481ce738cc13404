"""Losses of pixels; those that nobody labelled count for nothing."""

import keras
from keras import ops

from tl_helpers.datasets.places import IGNORED
from tl_helpers.inputs import check_not_negative


def _known(labels, num_classes):
    """Return one-hot (b, h, w, c), zeros where ignored, and float (b, h, w) of 0, 1."""
    labels = ops.cast(labels, "int32")
    is_known = labels != IGNORED
    one_hot = ops.one_hot(ops.where(is_known, labels, 0), num_classes)
    known = ops.cast(is_known, one_hot.dtype)
    return one_hot * known[..., None], known


class _PixelLoss(keras.losses.Loss):
    """A loss an image; `fit` takes the mean over the images of a batch."""

    def __init__(self, name, reduction="sum_over_batch_size", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)


@keras.saving.register_keras_serializable("tl_helpers")
class FocalLoss(_PixelLoss):
    """Cross-entropy that takes weight from pixels which are right already.

    Labels are int (b, height, width), 255 where ignored; predictions are logits
    (b, height, width, classes). The mean over the labelled pixels of each image of
    -(1 - p)^focus log p, where p is the probability of the true class.

    Args:
        focus: float >= 0; 0 is plain cross-entropy, 2 the value of the paper.

    Source: Lin et al. 2017 (arXiv:1708.02002), without the weights of classes.
    """

    def __init__(self, focus=2.0, name="focal_loss", **settings):
        check_not_negative(focus=focus)
        super().__init__(name, **settings)
        self.focus = float(focus)

    def call(self, y_true, y_pred):
        """Return (b,), the loss of each image."""
        truth, known = _known(y_true, y_pred.shape[-1])
        log_p = ops.sum(truth * ops.log_softmax(y_pred), axis=-1)  # (b, h, w)
        # where p is 1, the power's slope is not finite for a focus below 1
        missing = ops.maximum(1 - ops.exp(log_p), 1e-6)
        total = -ops.sum(known * missing**self.focus * log_p, axis=(1, 2))
        return total / ops.maximum(ops.sum(known, axis=(1, 2)), 1)

    def get_config(self):
        """Return the arguments that rebuild this loss."""
        return {**super().get_config(), "focus": self.focus}


@keras.saving.register_keras_serializable("tl_helpers")
class DiceLoss(_PixelLoss):
    """One minus the overlap of answer and truth, mean over the classes.

    Labels and predictions as for `FocalLoss`. The overlap of a class is
    (2 both + 1) / (answered + true + 1), with soft counts of pixels; a class that is
    neither there nor answered counts as found.

    Source: Milletari et al. 2016 (arXiv:1606.04797), with sums instead of squares.
    """

    def __init__(self, name="dice_loss", **settings):
        super().__init__(name, **settings)

    def call(self, y_true, y_pred):
        """Return (b,), the loss of each image."""
        truth, known = _known(y_true, y_pred.shape[-1])
        answer = ops.softmax(y_pred) * known[..., None]
        both = ops.sum(truth * answer, axis=(1, 2))  # (b, c)
        sizes = ops.sum(truth, axis=(1, 2)) + ops.sum(answer, axis=(1, 2))
        return ops.mean(1 - (2 * both + 1) / (sizes + 1), axis=-1)
