"""`Backbone`: images in, named blocks out, preprocessing inside."""

import hashlib
import operator

import keras
from keras import layers, ops

from tl_helpers.inputs import check_flag
from tl_helpers.storage import describe, hash_arrays


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
        self._described = [], None

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

    @property
    def fingerprint(self):
        """Hash of all that features depend on, as hex digits; taken anew every time.

        That is the network's layers with their types of number, its weights, and where
        the blocks are.

        Raises:
            TypeError: the network holds code of one's own (see `storage.describe`).
        """
        weights = hash_arrays(*map(ops.convert_to_numpy, self.network.weights))
        order = [layer.name for layer in self.network.layers]
        places = {name: order.index(end) for name, end in self.block_layers.items()}
        text = f"{self.name} {places} {weights} {self._structure()}"
        return hashlib.sha256(text.encode()).hexdigest()

    def _structure(self):
        """Describe the network, anew only where a layer got another attribute."""
        found = [dict(vars(layer)) for layer in self.network.layers]
        known, structure = self._described
        is_known = len(known) == len(found) and all(map(_is_same, known, found))
        if not is_known:
            structure = describe(self.network)
            self._described = found, structure
        return structure

    def output(self, block=None):
        """Return the symbolic activation map of a block (default: the last).

        Raises:
            ValueError: no block of that name.
        """
        block = self.blocks[-1] if block is None else block
        if block not in self.blocks:
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
        check_flag(pool=pool)
        end = self.output(block)
        key = (id(end), pool)  # the extractor keeps it alive
        if key not in self._extractors:
            output = end
            if pool and len(end.shape) == 4:
                average = layers.GlobalAveragePooling2D(
                    data_format="channels_last", dtype="float32", name="pool"
                )
                output = average(end)
            self._extractors[key] = keras.Model(self.network.input, output)
        return self._extractors[key]


def _is_same(attributes, others):
    """Whether two dictionaries hold the very same objects."""
    return attributes.keys() == others.keys() and all(
        map(operator.is_, attributes.values(), others.values())
    )
