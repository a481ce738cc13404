"""A name -> `Backbone`."""

import keras
import numpy as np
from keras import layers, ops

from tl_helpers import profiles
from tl_helpers.backbones import applications, hub
from tl_helpers.backbones.backbone import Backbone
from tl_helpers.backbones.embedded import BLOCKS, build_network
from tl_helpers.backbones.small import build_small, small_blocks
from tl_helpers.datasets.image_set import Provenance
from tl_helpers.inputs import check_channels_last, check_flag, check_kind
from tl_helpers.storage import whole_or_nothing

DRAWN = ("drawn_simclr", "drawn_supervised")
_HUB = "hub:"
_LICENCES = {
    "VGG": "CC BY 4.0 (Visual Geometry Group, Oxford)",
    "ResNet": "MIT (Kaiming He)",
    "DenseNet": "BSD 3-clause (Zhuang Liu)",
    "ConvNeXt": "MIT (Meta Platforms)",
}


def load(name, pretrained=True):
    """Load a backbone by name.

    Args:
        name: "embedded"; "drawn_simclr" or "drawn_supervised", small ones that learnt
            on drawn faces, without labels and with; a model of `keras.applications`,
            as "MobileNetV2", or "hub:" and the folder, archive or address of a TF Hub
            module (see `hub.resolve`); images are resized only where the module has a
            fixed size.
        pretrained: False for random weights.

    Returns:
        Backbone; frozen where it is pretrained, trainable where it is not.

    Raises:
        ValueError: unknown name, a module that is no TF2 one or random weights for it;
            or Keras is set to take the channels of images first.
        OSError: weights that are neither here nor to be had.
    """
    check_channels_last()
    check_kind(str, name=name)
    check_flag(pretrained=pretrained)
    if name.startswith(_HUB):
        backbone = _load_hub(name, pretrained)
    elif name == "embedded":
        backbone = _load_embedded(name, pretrained)
    elif name in DRAWN:
        backbone = _load_drawn(name, pretrained)
    else:
        backbone = _load_application(name, pretrained)
    backbone.network.trainable = not pretrained
    return backbone


def names():
    """Return every name that `load` knows; any "hub:<handle>" comes on top."""
    return ("embedded", *DRAWN, *applications.names())


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


def _load_drawn(name, pretrained):
    network = build_small()
    if pretrained:
        _read_half_precision(network, profiles.data_dir() / f"{name}.npz")
    provenance = Provenance(
        name=f"small backbone ({name})",
        origin="trained by this project (benchmarks/pretrain_drawn.py)",
        licence="MIT",
        citation="data: this repository, data/drawn_faces.md",
        size=f"{network.count_params() / 1e6:.2f} M parameters",
    )
    return Backbone(name, network, small_blocks(), provenance)


def write_half_precision(network, path):
    """Write a network's weights into an .npz, one float16 array for each weight path.

    Args:
        network: keras.Model.
        path: Path that ends in ".npz".
    """
    halves = {w.path: np.float16(ops.convert_to_numpy(w)) for w in network.weights}
    with whole_or_nothing(path) as part:
        np.savez_compressed(part, **halves)


def _read_half_precision(network, path):
    """Set weights from an .npz with one float16 array for each weight path."""
    with np.load(path, allow_pickle=False) as stored:
        wanted = [weight.path for weight in network.weights]
        if sorted(stored.files) != sorted(wanted):
            raise ValueError(
                f"Got {path} with {len(stored.files)} weights that are not those of "
                f"the {network.name} network; reinstall the package."
            )
        network.set_weights([stored[key].astype("float32") for key in wanted])
