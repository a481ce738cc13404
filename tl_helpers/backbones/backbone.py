"""`Backbone`: images in, named blocks out, preprocessing inside."""

import hashlib
from functools import cached_property

import keras
from keras import layers, ops

from tl_helpers.storage import hash_arrays


class Backbone:
    """A network without its classifier.

    It takes uint8 or float32 (batch, height, width, 3), RGB, [0, 255], of any size
    the network can shrink; a pretrained one arrives frozen.

    Attributes:
        name: as given to `load`.
        network: keras.Model from images to the last block's activation map.
        block_layers: {block name: layer name}, from the first block to the last.
        provenance: origin, licence and citation of the weights.
    """

    def __init__(self, name, network, block_layers, provenance):
        self.name = name
        self.network = network
        self.block_layers = block_layers
        self.provenance = provenance
        self._extractors = {}

    def __repr__(self):
        """Return one line: name, parameters and blocks."""
        return (
            f"Backbone({self.name}: {self.num_parameters / 1e6:.2f} M parameters, "
            f"blocks {', '.join(self.blocks)})"
        )

    @property
    def blocks(self):
        """Names of the blocks in order."""
        return tuple(self.block_layers)

    @property
    def num_parameters(self):
        """Number of weights, moving statistics included."""
        return self.network.count_params()

    @cached_property
    def fingerprint(self):
        """Hash of name, blocks and weights, as hex digits; taken once."""
        weights = hash_arrays(*map(ops.convert_to_numpy, self.network.weights))
        text = f"{self.name} {self.blocks} {weights}"
        return hashlib.sha256(text.encode()).hexdigest()

    def output(self, block=None):
        """Return the symbolic activation map of a block (default: the last).

        Raises:
            ValueError: no block of that name.
        """
        block = block or self.blocks[-1]
        if block not in self.block_layers:
            raise ValueError(
                f"{self.name} has no block {block!r}; expected one of "
                f"{', '.join(self.blocks)}."
            )
        return self.network.get_layer(self.block_layers[block]).output

    def extractor(self, block=None, pool=True):
        """Return the network up to a block.

        Args:
            block: block name; None for the last.
            pool: average over height and width, where the block has them.

        Returns:
            keras.Model from images to (batch, channels), or to the activation map
            (batch, height, width, channels). It shares the backbone's weights.
        """
        key = (block or self.blocks[-1], pool)
        if key not in self._extractors:
            output = self.output(block)
            if pool and len(output.shape) == 4:
                output = layers.GlobalAveragePooling2D(name="pool")(output)
            self._extractors[key] = keras.Model(self.network.input, output)
        return self._extractors[key]
