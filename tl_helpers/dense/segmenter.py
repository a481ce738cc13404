"""A decoder on a backbone: one answer for every pixel."""

import keras
from keras import layers, ops

from tl_helpers.backbones.backbone import Backbone
from tl_helpers.finetuning.classifier import HEAD, Classifier, HeadStart, freeze
from tl_helpers.inputs import check_choice, check_flag, check_kind, check_whole

MOMENTUM = 0.9  # decoders train for few steps: their averages have to follow
TYPICAL_PX = 256  # to compare the sizes of maps where a backbone takes any image


@keras.saving.register_keras_serializable("tl_helpers")
class BlockMaps(HeadStart):
    """Leaves the blocks' maps as they are; its arguments are those of `HeadStart`."""

    def call(self, maps):
        """Return the maps, a list of (b, height, width, channels)."""
        return list(maps)


@keras.saving.register_keras_serializable("tl_helpers")
class ResizeLike(layers.Layer):
    """Resize the first map to height and width of the second, bilinearly."""

    def call(self, maps):
        """Return the first (b, height, width, channels), as large as the second."""
        values, like = maps
        return ops.image.resize(
            values, ops.shape(like)[1:3], "bilinear", data_format="channels_last"
        )

    def compute_output_shape(self, shapes):
        """Return the first's channels on the second's height and width."""
        values, like = shapes
        return (values[0], *like[1:3], values[3])


@keras.saving.register_keras_serializable("tl_helpers")
class Segmenter(Classifier):
    """A functional model from images to logits of every pixel; `segmenter` builds it.

    It knows its blocks, so that `finetuning.freeze`, `thaw` and `layer_rates` take it
    as they take a Classifier; its decoder is the part "head".
    """

    def extractor(self):
        """Return the part before the decoder: images -> list of maps, finest first."""
        return keras.Model(self.input, self.get_layer(f"{HEAD}_features").output)

    def halves(self, block=None):
        """Split the model behind a block: what stays frozen need be computed once.

        Both halves share their layers with the model: train the upper one, and the
        model is trained.

        Args:
            block: name of the last block of the lower half; None for the deepest.

        Returns:
            (lower, upper) keras.Models. The lower one turns images into a list: the
            images, the maps up to the block that the decoder asks for, and the
            block's own; the upper one turns such a list into logits.

        Raises:
            ValueError: no block of that name.
        """
        names = list(self.block_layers)
        block = names[-1] if block is None else block
        check_choice(names, block=block)
        wanted = self.get_layer(f"{HEAD}_features").input
        ends = {name: self.get_layer(x).output for name, x in self.block_layers.items()}
        maps = [
            ends[name]
            for name in names[: names.index(block) + 1]
            if name == block or any(ends[name] is one for one in wanted)
        ]
        # no Input among them: Keras would take it from this model, which then could
        # not be saved any more
        seam = [self.get_layer(f"{HEAD}_size").output, *maps]
        return keras.Model(self.input, seam), keras.Model(seam, self.output)


def segmenter(backbone, num_classes, block=None, skips=True, channels=32):
    """Put a decoder with skip connections on a copy of a backbone.

    From the deepest map on, each step resizes to the next finer map, sets the two
    beside each other (the skip) and convolves; the last one resizes to the image. Of
    blocks of one size the last gives the skip.

    Args:
        backbone: Backbone whose blocks end in maps (b, height, width, channels).
        num_classes: int >= 2, the ground included.
        block: the deepest block to use; None for the last.
        skips: whether the finer maps come in; False leaves everything else as it is.
        channels: int >= 1, width of the decoder.

    Returns:
        Segmenter from float32 (b, height, width, 3), RGB, [0, 255], to logits,
        float32 (b, height, width, num_classes). Everything but the decoder arrives
        frozen; compile it yourself, with `keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=255)`, `FocalLoss` or `DiceLoss`.

    Raises:
        ValueError: no such block, one without height and width, or fewer than two
            classes.

    Source: Ronneberger et al. 2015 (arXiv:1505.04597), with a backbone as encoder.
    """
    check_kind(Backbone, backbone=backbone)
    check_whole(2, num_classes=num_classes)
    check_whole(1, channels=channels)
    check_flag(skips=skips)
    network, maps, block_layers = maps_of(backbone, block)
    *finer, x = BlockMaps(block_layers, name=f"{HEAD}_features")(maps)
    for i, skip in enumerate(reversed(finer), start=1):
        x = ResizeLike(name=f"{HEAD}_resize_{i}")([x, skip])
        if skips:
            x = layers.Concatenate(name=f"{HEAD}_skip_{i}")([x, skip])
        x = convolve(x, channels, f"{HEAD}_{i}")
    logits = layers.Conv2D(num_classes, 1, dtype="float32", name=f"{HEAD}_scores")(x)
    size = layers.Identity(name=f"{HEAD}_size")(network.input)
    logits = ResizeLike(dtype="float32", name=f"{HEAD}_logits")([logits, size])
    model = Segmenter(network.input, logits, name="segmenter")
    freeze(model)
    return model


def maps_of(backbone, block):
    """Copy a backbone and find its maps, the last one of each size.

    Returns:
        (network, maps, block_layers): keras.Model; list of tensors (b, height, width,
        channels), finest first; {block name: name of its last layer}.
    """
    backbone.output(block)  # says which blocks there are
    kept = backbone.blocks[: backbone.blocks.index(block or backbone.blocks[-1]) + 1]
    block_layers = {name: backbone.block_layers[name] for name in kept}
    network = keras.models.clone_model(backbone.network)
    network.set_weights(backbone.network.get_weights())
    maps = [network.get_layer(name).output for name in block_layers.values()]
    if any(len(one.shape) != 4 for one in maps):
        raise ValueError(
            f"Got {backbone.name}, some of whose blocks are no maps, expected a "
            "convolutional backbone; choose another of backbones.names()."
        )
    last_of_size = dict(zip(strides_px(network, maps), maps, strict=True))
    return network, list(last_of_size.values()), block_layers


def strides_px(network, maps):
    """Return for each map how many px of the image lie from one cell to the next.

    Args:
        network: keras.Model, perhaps for images of any size.
        maps: list of its tensors (b, height, width, channels).
    """
    height, width = (side or TYPICAL_PX for side in network.input_shape[1:3])
    shapes = keras.Model(network.input, maps).compute_output_shape(
        (1, height, width, 3)
    )
    shapes = shapes if isinstance(shapes, list) else [shapes]
    return [height / shape[1] for shape in shapes]


def convolve(x, channels, name):
    """Return x (b, height, width, any) after convolution, BatchNorm and ReLU."""
    conv = layers.Conv2D(
        channels, 3, padding="same", use_bias=False, name=f"{name}_conv"
    )
    x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_norm")(conv(x))
    return layers.ReLU(name=f"{name}_relu")(x)
