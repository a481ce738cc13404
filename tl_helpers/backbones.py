"""A name -> `Backbone`: images in, named blocks out, preprocessing inside."""

import hashlib
from functools import cached_property

import keras
import numpy as np
from keras import layers, ops

from tl_helpers import applications, hub, profiles
from tl_helpers.datasets.image_set import Provenance
from tl_helpers.embedded import BLOCKS, build_network

_HUB = "hub:"
_LICENCES = {
    "VGG": "CC BY 4.0 (Visual Geometry Group, Oxford)",
    "ResNet": "MIT (Kaiming He)",
    "DenseNet": "BSD 3-clause (Zhuang Liu)",
    "ConvNeXt": "MIT (Meta Platforms)",
}


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
        digest = hashlib.sha256(f"{self.name} {self.blocks}".encode())
        for weight in self.network.weights:
            digest.update(np.ascontiguousarray(ops.convert_to_numpy(weight)))
        return digest.hexdigest()

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


def load(name, pretrained=True):
    """Load a backbone by name.

    Args:
        name: "embedded", a model of `keras.applications`, as "MobileNetV2", or
            "hub:" and the folder, archive or address of a TF Hub module (see
            `hub.resolve`); images are resized only where the module has a fixed size.
        pretrained: False for random weights.

    Returns:
        Backbone; frozen where it is pretrained, trainable where it is not.

    Raises:
        ValueError: unknown name, a module that is no TF2 one or random weights for it.
        OSError: weights that are neither here nor to be had.
    """
    if name.startswith(_HUB):
        backbone = _load_hub(name, pretrained)
    elif name == "embedded":
        backbone = _load_embedded(name, pretrained)
    else:
        backbone = _load_application(name, pretrained)
    backbone.network.trainable = not pretrained
    return backbone


def names():
    """Return every name that `load` knows; any "hub:<handle>" comes on top."""
    return ("embedded", *applications.names())


def reinitialise(model, seed):
    """Give a compiled model new random weights and a fresh optimizer.

    The same as building it anew, without compiling it again: for comparing many
    trainings from scratch.

    Args:
        model: compiled keras.Model whose optimizer starts from zeros, as all of
            Keras's do but for the learning rate.
        seed: int, decides the weights.
    """
    keras.utils.set_random_seed(seed)
    model.set_weights(keras.models.clone_model(model).get_weights())
    reset_optimizer(model)


def reset_optimizer(model):
    """Take a compiled model's optimizer back to its first step.

    Args:
        model: compiled keras.Model whose optimizer starts from zeros, as all of
            Keras's do but for the learning rate.
    """
    for variable in model.optimizer.variables:
        if not variable.path.endswith("learning_rate"):
            variable.assign(ops.zeros_like(variable))


def _load_application(name, pretrained):
    network, fetched = applications.Application(name).trunk(pretrained)
    families = [value for key, value in _LICENCES.items() if name.startswith(key)]
    provenance = Provenance(
        name=name,
        origin=fetched[0][0] if pretrained else "random weights",
        licence=families[0] if families else "Apache-2.0 (Google, Keras)",
        citation="https://keras.io/api/applications; data: ImageNet (ILSVRC 2012)",
        size=f"{network.count_params() / 1e6:.2f} M parameters",
    )
    return Backbone(name, network, applications.stages(network), provenance)


def _load_hub(name, pretrained):
    if not pretrained:
        raise ValueError(
            f"Got pretrained=False for {name}, expected True: a module comes with its "
            "weights; load another backbone to start from random ones."
        )
    module = hub.HubLayer(name.removeprefix(_HUB), name="features")
    images = keras.Input((None, None, 3), name="images")
    x = layers.Rescaling(1 / 255, dtype="float32", name="rescale")(images)
    if module.image_size:
        x = layers.Resizing(*module.image_size, dtype="float32", name="resize")(x)
    network = keras.Model(images, module(x), name="hub")
    provenance = Provenance(
        name="TF Hub module",
        origin=module.handle,
        licence="see the module's own page",
        citation="see the module's own page",
        size=f"{network.count_params() / 1e6:.2f} M parameters",
    )
    return Backbone(name, network, {"features": "features"}, provenance)


def _load_embedded(name, pretrained):
    network = build_network()
    if pretrained:
        _read_half_precision(network, profiles.data_dir() / "embedded.npz")
    blocks = {name: name for name in ("stem", *(name for name, _, _ in BLOCKS))}
    provenance = Provenance(
        name="embedded backbone",
        origin="trained by this project (benchmarks/pretrain_embedded.py)",
        licence="MIT; data: Tiny ImageNet, for research and teaching",
        citation="data: Le & Yang 2015, Tiny ImageNet Visual Recognition Challenge",
        size=f"{network.count_params() / 1e6:.2f} M parameters",
    )
    return Backbone(name, network, blocks, provenance)


def _read_half_precision(network, path):
    """Set weights from an .npz with one float16 array for each weight path."""
    with np.load(path, allow_pickle=False) as stored:
        wanted = [weight.path for weight in network.weights]
        if sorted(stored.files) != sorted(wanted):
            raise ValueError(
                f"Got {path} with {len(stored.files)} weights that are not those of "
                "the embedded network; reinstall the package."
            )
        network.set_weights([stored[key].astype("float32") for key in wanted])
