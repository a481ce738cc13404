"""What a network costs, counted and not timed: the same answer on every day."""

import math

import keras

from tl_helpers import profiles
from tl_helpers.inputs import check_kind, check_whole

BACKWARD = 3  # a training step costs about three passes
SPEED_PER_S = 10e9  # multiply-adds: two slow cores, or one of a laptop
GPU_SPEEDUP = 30


def multiply_adds(network, size_px):
    """Count the multiply-adds for one image in convolutions and dense layers.

    Args:
        network: functional keras.Model of images.
        size_px: int >= 1, height and width of the image.

    Returns:
        int.
    """
    check_kind(keras.Model, network=network)
    check_whole(1, size_px=size_px)
    fixed = keras.models.clone_model(
        network, input_tensors=keras.Input((size_px, size_px, 3))
    )
    total = 0
    for layer in fixed.layers:
        places = layer.output.shape[1:-1] if len(layer.output.shape) == 4 else ()
        tables = [x.shape for x in layer.weights if len(x.shape) > 1]
        total += sum(math.prod(shape) * math.prod(places) for shape in tables)
    return total


def training_minutes(num_multiply_adds, num_images):
    """Estimate minutes of training on a slow machine with two cores, or on its GPU.

    It is counted and not measured, so that a busy machine does not change a decision.

    Args:
        num_multiply_adds: int, for one image.
        num_images: int, counted once an epoch.

    Returns:
        float.
    """
    speed = SPEED_PER_S * (GPU_SPEEDUP if profiles.has_gpu() else 1)
    return BACKWARD * num_multiply_adds * num_images / speed / 60
