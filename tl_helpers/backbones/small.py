"""A small network for 32 to 96 px, to pretrain a source of one's own in minutes."""

import keras
from keras import layers

WIDTHS = (16, 32, 64, 112)  # channels of the stem and of the blocks behind it
MOMENTUM = 0.9  # sources are trained for few steps: averages have to follow


def build_small(widths=WIDTHS, seed=None):
    """Build a stem and blocks of two convolutions, each of which halves the image.

    Every block ends in a layer of its own name, "block1" and so on. With the widths
    here 0.25 M parameters and 9 M multiply-adds at 64 px.

    Args:
        widths: channels of the stem and of each block.
        seed: int, decides the weights; None for whatever Keras draws.

    Returns:
        keras.Model from float32 (batch, height, width, 3), RGB, [0, 255], to
        (batch, height / 2^n, width / 2^n, widths[-1]), n = len(widths).

    Source: 3x3 convolutions in pairs, Simonyan & Zisserman 2015 (arXiv:1409.1556),
        with batch normalisation, Ioffe & Szegedy 2015 (arXiv:1502.03167).
    """
    images = keras.Input((None, None, 3), name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(images)
    seeds = iter([None] * 2 * len(widths) if seed is None else range(seed, 2**62))
    x = _convolve(x, widths[0], "stem", seeds, strides=2)
    for i, channels in enumerate(widths[1:], start=1):
        x = _convolve(x, channels, f"block{i}_1", seeds, strides=2)
        x = _convolve(x, channels, f"block{i}_2", seeds, end=f"block{i}")
    return keras.Model(images, x, name="small")


def small_blocks(widths=WIDTHS):
    """Return {block name: layer name} of `build_small`."""
    return {
        name: name for name in ("stem", *(f"block{i}" for i in range(1, len(widths))))
    }


def _convolve(x, channels, name, seeds, strides=1, end=None):
    x = layers.Conv2D(
        channels,
        3,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.HeNormal(next(seeds)),
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_norm")(x)
    return layers.ReLU(name=end or name)(x)
