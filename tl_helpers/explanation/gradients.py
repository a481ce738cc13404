"""Gradients of what a network answers, with respect to its images.

Keras has no public name for a gradient: this module alone talks to TensorFlow. The
network always answers as in `predict`: dropout is off, BatchNormalization uses its
moving statistics and moves none. No weight is changed.
"""

import functools
from unittest import mock

import keras
import numpy as np
from keras import ops

from tl_helpers import features
from tl_helpers.inputs import check_tensorflow

KEPT = 8  # compiled functions; making one takes a second or more


def gradient_of(model, value, images, targets):
    """Return the function that gives a value of some images, and its gradient.

    Args:
        model: keras.Model.
        value: callable (targets, answers) -> (n,), one number an image; or two such
            tensors, of which the first has the gradient taken. A function of its own
            at every call is compiled at every call.
        images: float32 (n, height, width, 3), which show the shape.
        targets: array (n, ...), likewise.

    Returns:
        callable (images, targets) -> (values (n,) or a pair of them, gradient of each
        image's own value float32 (n, height, width, 3)), NumPy arrays.
    """
    check_tensorflow("a gradient with respect to images")
    rest = images.shape[1:], targets.shape[1:], targets.dtype.name
    function = _compiled_gradient(model, value, *rest)
    return lambda *rows: keras.tree.map_structure(np.asarray, function(*rows))


def maps_and_gradient_of(model, layer, images):
    """Return the function that gives a layer's maps, and a class logit's gradient.

    `keras.Model(model.input, layer.output)` says "Graph disconnected" where the layer
    lies in a nested model: its output there was made from another input. Here the
    layer itself notes what it returns while the model answers.

    Args:
        model: keras.Model from images to logits.
        layer: keras.Layer somewhere in it; of one used twice the last use counts.
        images: float32 (n, height, width, 3), which show the shape.

    Returns:
        callable (images, classes int64 (n,)) -> (maps, gradient with respect to them),
        float32 (n, map height, map width, channels), NumPy arrays.

    Raises:
        ValueError: when called: the layer has no maps, or the logits do not depend on
            it.
    """
    check_tensorflow("a gradient with respect to maps")
    function = _compiled_maps(model, layer, images.shape[1:])
    return lambda *rows: keras.tree.map_structure(np.asarray, function(*rows))


def class_logit(classes, logits):
    """Return (n,), of each row of logits (n, classes) the one of its class."""
    return ops.take_along_axis(logits, ops.cast(classes, "int32")[:, None], axis=1)[
        :, 0
    ]


def in_batches(function, images, *rows):
    """Run a function over all images, a batch at a time.

    Args:
        function: callable (images, *rows) -> array or tuple of arrays.
        images: float32 (n, height, width, 3).
        *rows: arrays (n, ...).

    Returns:
        what the function returns, for all n.
    """
    size = features.batch_size(images.shape[1:])
    starts = range(0, len(images), size)
    parts = [function(*(x[i : i + size] for x in (images, *rows))) for i in starts]
    return keras.tree.map_structure(lambda *one: np.concatenate(one), *parts)


@functools.lru_cache(KEPT)
def _compiled_gradient(model, value, image_shape, target_shape, target_type):
    import tensorflow as tf

    def run(images, targets):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            values = value(targets, model(images, training=False))
            first = values[0] if isinstance(values, tuple) else values
            _check_one_each(first)
        return values, tape.gradient(first, images, unconnected_gradients="zero")

    return tf.function(
        run,
        [
            tf.TensorSpec((None, *image_shape), "float32"),
            tf.TensorSpec((None, *target_shape), target_type),
        ],
        autograph=False,
    )


@functools.lru_cache(KEPT)
def _compiled_maps(model, layer, image_shape):
    import tensorflow as tf

    def run(images, classes):
        noted, call = [], layer.call

        def note(*args, **settings):
            noted.append(call(*args, **settings))
            return noted[-1]

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)  # what depends on nothing watched has no gradient
            with mock.patch.object(layer, "call", note):
                logits = model(images, training=False)
            value = class_logit(classes, logits)
        maps = noted[-1] if noted else value
        gradient = tape.gradient(value, maps)
        if gradient is None or len(maps.shape) != 4:
            raise ValueError(
                f"Got {layer.name}, expected a layer with maps (n, height, width, "
                "channels) on which the logits depend; choose an earlier block."
            )
        return ops.cast(maps, "float32"), ops.cast(gradient, "float32")

    return tf.function(
        run,
        [
            tf.TensorSpec((None, *image_shape), "float32"),
            tf.TensorSpec((None,), "int64"),
        ],
        autograph=False,
    )


def _check_one_each(values):
    if len(values.shape) != 1:
        raise ValueError(
            f"Got a value of shape {tuple(values.shape)}, expected one number for each "
            "image, (n,); take losses from keras.losses' functions, which do not "
            "average over the batch."
        )
