"""Small networks to adapt: the paper's for digits, and one for cached features."""

import keras
from keras import layers

from tl_helpers.inputs import (
    check_channels_last,
    check_flag,
    check_kind,
    check_share,
    check_whole,
)

MOMENTUM = 0.9  # of BatchNormalization: after 20 steps an eighth of a start is left


def digit_network(
    size_px=28, num_classes=10, batch_norm=True, spatial_dropout=0.2, rescale=None
):
    """Build the digit networks of the DANN paper, with what they lacked.

    Two 5 x 5 convolutions (32 and 48 channels), each followed by pooling, then two
    dense layers of 100 units; one dense layer of 100 units in the discriminator.
    `batch_norm=False, spatial_dropout=0` is the paper's own.

    Args:
        size_px: side of the images.
        num_classes: int >= 2.
        batch_norm: normalise after every layer but the last ones; averages keep 90%
            of themselves a step, so that short trainings forget where they started.
            With a batch for each domain the discriminator then sees no shift of the
            mean (see `DANN`).
        spatial_dropout: share of the channels dropped after each convolution.
        rescale: first layer, from [0, 255] to what the network sees; None for
            [-1, 1].

    Returns:
        (encoder, head, discriminator): keras.Models from float32 (b, size_px, size_px,
        3), RGB, [0, 255], to (b, 768 at 28 px), and from there to logits
        (b, num_classes) and (b, 1).

    Raises:
        ValueError: images below 16 px, fewer than two classes, or no share.

    Source: Ganin et al. 2016 (arXiv:1505.07818), figure 4a.
    """
    check_channels_last()
    check_whole(16, size_px=size_px)
    check_whole(2, num_classes=num_classes)
    check_share(spatial_dropout=spatial_dropout)
    images = keras.Input((size_px, size_px, 3), name="images")
    x = (rescale or layers.Rescaling(1 / 127.5, -1))(images)
    for channels in (32, 48):
        x = _activated(
            layers.Conv2D(channels, 5, use_bias=not batch_norm)(x), batch_norm
        )
        x = layers.MaxPooling2D()(x)
        x = layers.SpatialDropout2D(spatial_dropout)(x) if spatial_dropout else x
    encoder = keras.Model(images, layers.Flatten()(x), name="encoder")
    width = encoder.output_shape[-1]
    head = dense_network(width, (100, 100), num_classes, batch_norm, "head")
    return encoder, head, dense_network(width, (100,), 1, batch_norm, "discriminator")


def dense_network(width, hidden_units, num_outputs, batch_norm=False, name=None):
    """Build dense layers with ReLUs and a linear layer on top.

    Args:
        width: d, numbers in a row.
        hidden_units: widths of the hidden layers; () for none.
        num_outputs: int >= 1, numbers that come out.
        batch_norm: normalise after every hidden layer.
        name: str or None.

    Returns:
        keras.Model from (b, width) to float32 (b, num_outputs).

    Raises:
        ValueError: a width that is no whole number from 1 on.
    """
    check_whole(1, width=width, num_outputs=num_outputs)
    check_kind(tuple, list, hidden_units=hidden_units)
    check_flag(batch_norm=batch_norm)
    rows = x = keras.Input((width,), name="features")
    for units in hidden_units:
        check_whole(1, hidden_units=units)
        x = _activated(layers.Dense(units, use_bias=not batch_norm)(x), batch_norm)
    outputs = layers.Dense(num_outputs, dtype="float32")(x)
    return keras.Model(rows, outputs, name=name)


def _activated(x, batch_norm):
    if batch_norm:
        x = layers.BatchNormalization(momentum=MOMENTUM)(x)
    return layers.ReLU()(x)
