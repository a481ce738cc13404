"""Grad-CAM: where in a block's maps lies what speaks for a class."""

import keras
import numpy as np
from keras import ops

from tl_helpers.explanation.gradients import in_batches, maps_and_gradient_of
from tl_helpers.inputs import as_array, check_choice, check_labels, check_pixels
from tl_helpers.training import check_fits, predict_logits


def grad_cam(model, images, classes=None, block=None):
    """Weigh a block's maps by how the class logit answers them, and add them up.

    weight of a channel = mean over its map of d logit / d map
    map of the image = max(0, sum over the channels of weight x map)

    It is enlarged to the image's size bilinearly: no finer than the block's own maps.
    The gradient is the logit's, not the probability's, which would also rise where
    another class falls. Behind the last block of a linear head this is, over the
    number of cells, what the head adds up; elsewhere it is a guess.

    Args:
        model: keras.Model from images to logits, a Classifier or any other functional
            or Sequential one, with models inside or not.
        images: ImageSet, or uint8 or float (n, height, width, 3), RGB, [0, 255].
        classes: int, or int (n,), one an image; None for what the model answers.
        block: name of a block of a Classifier, or of a layer that gives maps, where
            the model is another; None for the last one.

    Returns:
        float32 (n, height, width), >= 0, in units of the logit per cell.

    Raises:
        ValueError: a class that the model does not have, no such block, or one
            without height and width; images that do not fit.

    Source: Selvaraju et al. 2017 (arXiv:1610.02391).
    """
    images, classes = check_explained(model, images, classes)
    function = maps_and_gradient_of(model, _layer_of(model, block), images)

    def weighted(images, classes):
        maps, gradients = function(images, classes)
        weights = gradients.mean(axis=(1, 2), keepdims=True)  # (n, 1, 1, channels)
        cam = np.maximum((weights * maps).sum(axis=-1, keepdims=True), 0)
        resized = ops.image.resize(
            cam, images.shape[1:3], "bilinear", data_format="channels_last"
        )
        return ops.convert_to_numpy(resized)[..., 0]

    return in_batches(weighted, images, classes)


def check_explained(model, images, classes):
    """Refuse what cannot be explained.

    Args:
        model: keras.Model from images to logits.
        images: as for `grad_cam`.
        classes: as for `grad_cam`.

    Returns:
        (float32 (n, height, width, 3), int64 (n,)).

    Raises:
        ValueError: no model from images to logits, images that do not fit it, or a
            class that it does not have.
    """
    images = check_pixels(images)
    check_fits(model, images.shape)
    shape = getattr(model, "output_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 2:
        raise ValueError(
            f"Got model {model.name!r} with outputs of shape {shape}, expected a "
            "functional or Sequential model from images to logits (n, classes)."
        )
    if classes is None:
        return images, predict_logits(model, images).argmax(axis=1)
    if np.ndim(classes) == 0:
        classes = np.repeat(as_array(classes), len(images))
    classes = check_labels("explained", images, classes, shape[1])
    return images, classes


def _layer_of(model, block):
    """Find a block's last layer, in models inside models too."""
    layers = list(_all_layers(model))
    blocks = getattr(model, "block_layers", {})
    if block is None:
        with_maps = [x.name for x in layers if len(_shape(x)) == 4]
        block = (list(blocks) or with_maps or [None])[-1]
    names = {layer.name: layer for layer in layers}
    check_choice(blocks or names, block=block)
    return names[blocks.get(block, block)]


def _all_layers(model):
    """Yield every layer behind the inputs, those of nested models before the model."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _all_layers(layer)
        if not isinstance(layer, keras.layers.InputLayer):
            yield layer


def _shape(layer):
    return getattr(getattr(layer, "output", None), "shape", ())
