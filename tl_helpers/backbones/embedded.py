"""The network behind the embedded backbone: a small residual net for 48 to 96 px."""

import keras
from keras import layers

#: Blocks in order: name, channels, stride. Total stride 16 with the stem's 2.
BLOCKS = (
    ("block1", 24, 1),
    ("block2", 48, 2),
    ("block3", 48, 1),
    ("block4", 96, 2),
    ("block5", 96, 1),
    ("block6", 192, 2),
)
STEM_CHANNELS = 24


def build_network(num_classes=None):
    """Build the residual net, with or without a classifier on top.

    Every block ends in a layer of its own name, so `get_layer("block4").output` is
    that block's activation map. 0.9 M parameters, 57 M multiply-adds at 64 px.

    Args:
        num_classes: width of the classifier (logits, float32); None leaves the last
            block's activation map as the output.

    Returns:
        keras.Model from float32 (batch, height, width, 3), RGB, [0, 255], to
        (batch, num_classes) logits or to (batch, height / 16, width / 16, 192).

    Source: the basic residual block of He et al. 2016 (arXiv:1512.03385), with the
        pooled shortcut of He et al. 2019 (arXiv:1812.01187).
    """
    images = keras.Input((None, None, 3), name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(images)
    x = _conv_norm(x, STEM_CHANNELS, "stem", stride=2)
    x = layers.ReLU(name="stem")(x)
    for name, channels, stride in BLOCKS:
        x = _residual_block(x, channels, stride, name)
    if num_classes is not None:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(num_classes, dtype="float32", name="classifier")(x)
    return keras.Model(images, x, name="embedded")


def _conv_norm(x, channels, name, stride=1, kernel_size=3):
    x = layers.Conv2D(
        channels,
        kernel_size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return layers.BatchNormalization(momentum=0.98, name=f"{name}_norm")(x)


def _residual_block(x, channels, stride, name):
    shortcut = x
    if stride > 1:
        shortcut = layers.AveragePooling2D(
            stride, padding="same", name=f"{name}_shortcut_pool"
        )(shortcut)
        shortcut = _conv_norm(shortcut, channels, f"{name}_shortcut", kernel_size=1)
    x = _conv_norm(x, channels, f"{name}_1", stride=stride)
    x = layers.ReLU(name=f"{name}_1")(x)
    x = _conv_norm(x, channels, f"{name}_2")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=name)(x)
