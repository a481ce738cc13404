"""Bottleneck adapters: small residual layers between frozen blocks."""

import keras
from keras import layers

from tl_helpers.finetuning.classifier import Classifier, HeadStart, freeze
from tl_helpers.inputs import check_choice, check_kind, check_whole


@keras.saving.register_keras_serializable("tl_helpers")
class Bottleneck(layers.Layer):
    """Adds to each place a small network of its channels; the identity at first.

    y = x + up(relu(down(x))), up starts from zeros

    Args:
        units: int >= 1, channels in between.
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = int(units)

    def build(self, input_shape):
        """Make both layers; as Dense they act on the channels of each place."""
        self.down = layers.Dense(
            self.units, "relu", name="down", dtype=self.dtype_policy
        )
        self.up = layers.Dense(
            input_shape[-1],
            kernel_initializer="zeros",
            name="up",
            dtype=self.dtype_policy,
        )
        self.down.build(input_shape)
        self.up.build((*input_shape[:-1], self.units))

    def call(self, inputs):
        """Return values of the shape (batch, ..., channels) that came in."""
        return inputs + self.up(self.down(inputs))

    def get_config(self):
        """Return the arguments that rebuild this layer."""
        return {**super().get_config(), "units": self.units}


def add_bottlenecks(model, units, from_block=None):
    """Copy a model with a bottleneck behind each block; they and the head learn.

    The copy predicts what the model predicts, until it is trained. Each bottleneck
    is the last layer of its block, for `parts` and `thaw`.

    Args:
        model: Classifier; it stays as it is.
        units: int >= 1, channels inside each bottleneck.
        from_block: name of the first block that gets one; None for all.

    Returns:
        Classifier, frozen but for bottlenecks and head, not compiled.

    Raises:
        ValueError: no Classifier, block or units, or a model that has some already.

    Source: Houlsby et al. 2019 (arXiv:1902.00751); for convolutions as in Rebuffi,
        Bilen & Vedaldi 2017 (arXiv:1705.08045), here one a block.
    """
    check_kind(Classifier, model=model)
    check_whole(1, units=units)
    blocks = list(model.block_layers)
    if from_block is not None:
        check_choice(blocks, from_block=from_block)
        blocks = blocks[blocks.index(from_block) :]
    if any(isinstance(layer, Bottleneck) for layer in model.layers):
        raise ValueError(
            "Got a model with bottlenecks, expected one without; build it again."
        )
    adapted = _insert(
        model, {model.block_layers[x]: f"{x}_adapter" for x in blocks}, units
    )
    for layer in model.layers:
        adapted.get_layer(layer.name).set_weights(layer.get_weights())
    freeze(adapted)
    for layer in adapted.layers:
        if isinstance(layer, Bottleneck):
            layer.trainable = True
    return adapted


def _insert(model, names, units):
    """Clone a classifier with a bottleneck of this name behind each layer of a dict."""

    def clone(layer):
        config = layer.get_config()
        if isinstance(layer, HeadStart):
            ends = {x: names.get(end, end) for x, end in layer.block_layers.items()}
            config["block_layers"] = ends
        return type(layer).from_config(config)

    def call(layer, *args, **kwargs):
        values = layer(*args, **kwargs)
        if layer.name in names:
            values = Bottleneck(units, name=names[layer.name])(values)
        return values

    return keras.models.clone_model(model, clone_function=clone, call_function=call)
