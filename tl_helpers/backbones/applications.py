"""Keras Applications: their preprocessing, their stages and their weights."""

import contextlib
import inspect
import shutil
import warnings
from pathlib import Path
from unittest import mock

import keras
import numpy as np
from keras import layers, ops

from tl_helpers import downloads, profiles
from tl_helpers.storage import whole_or_nothing

REFERENCE_PX = 224  # the size at which the stride of every layer is read off
FIXED_PX = {"NASNetMobile": 224, "NASNetLarge": 331}  # their padding is built for it

# offset and scale a channel, after the channels are in the network's order
_CAFFE_MEAN = (103.939, 116.779, 123.68)  # BGR
_TORCH_MEAN = (0.485, 0.456, 0.406)
_TORCH_STD = (0.229, 0.224, 0.225)


@keras.saving.register_keras_serializable("tl_helpers")
class Preprocessing(layers.Layer):
    """What a Keras Application expects, from RGB in [0, 255].

    Args:
        mode: "none", "tf" (to [-1, 1]), "caffe" (BGR, mean subtracted) or "torch"
            (mean and standard deviation of ImageNet).

    Source: `keras.applications.imagenet_utils.preprocess_input`.
    """

    MODES = ("none", "tf", "caffe", "torch")

    def __init__(self, mode, **kwargs):
        super().__init__(**kwargs)
        self.mode = mode

    def call(self, images):
        """Return float images of the same shape, in the network's own range."""
        if self.mode == "tf":
            return images / 127.5 - 1
        if self.mode == "caffe":
            return images[..., ::-1] - ops.array(_CAFFE_MEAN, images.dtype)
        if self.mode == "torch":
            mean = ops.array(_TORCH_MEAN, images.dtype)
            return (images / 255 - mean) / ops.array(_TORCH_STD, images.dtype)
        return images

    def get_config(self):
        """Return the arguments that rebuild this layer."""
        return {**super().get_config(), "mode": self.mode}


class Application:
    """One model of `keras.applications`, by name.

    Args:
        name: as "MobileNetV2".

    Raises:
        ValueError: the installed Keras has no such model.
    """

    def __init__(self, name):
        if name not in names():
            raise ValueError(
                f"Got {name!r}, which is no model of keras.applications "
                f"{keras.__version__}; expected one of {', '.join(names())}."
            )
        self.name = name
        self.build = getattr(keras.applications, name)
        self.module = inspect.getmodule(self.build)

    def preprocessing_mode(self):
        """Return the mode whose result equals the official `preprocess_input`."""
        images = np.linspace(0, 255, 24, dtype="float32").reshape(1, 2, 4, 3)
        official = self.module.preprocess_input(images.copy())
        for mode in Preprocessing.MODES:
            ours = ops.convert_to_numpy(Preprocessing(mode)(images))
            if np.allclose(ours, official, atol=1e-3):
                return mode
        raise ValueError(
            f"{self.name} preprocesses in a way that is none of "
            f"{', '.join(Preprocessing.MODES)}; add its mode to Preprocessing."
        )

    def trunk(self, pretrained, folder=None):
        """Build the network without its classifier, fed with RGB in [0, 255].

        Args:
            pretrained: with ImageNet weights.
            folder: another Keras home that receives a copy of the weights.

        Returns:
            keras.Model of free height and width (but for FIXED_PX), and the list of
            (address, Path) of the weights files read.
        """
        size_px = FIXED_PX.get(self.name)
        images, inputs = self._inputs((size_px, size_px, 3))
        network, fetched = self._build(
            pretrained, folder, include_top=False, input_tensor=inputs
        )
        return keras.Model(images, network.output, name=self.name), fetched

    def classifier(self, folder=None):
        """Build the network with its 1,000 ImageNet classes, fed with RGB [0, 255].

        Returns:
            keras.Model from images at the model's own size to probabilities
            (batch, 1000), and the list of (address, Path) of the weights files read.
        """
        whole, fetched = self._build(True, folder)
        images, inputs = self._inputs(whole.input_shape[1:])
        return keras.Model(images, whole(inputs), name=self.name), fetched

    def _inputs(self, shape):
        """Return images and what the network makes of them, both symbolic."""
        images = keras.Input(shape, name="images")
        mode = self.preprocessing_mode()
        return images, Preprocessing(mode, name="preprocessing")(images)

    def _build(self, pretrained, folder, **settings):
        with _weights_through_downloads(folder) as fetched, warnings.catch_warnings():
            # MobileNet says that it takes the weights for 224 px, which is our wish
            warnings.filterwarnings("ignore", message="`input_shape` is undefined")
            weights = "imagenet" if pretrained else None
            network = self.build(weights=weights, **settings)
        if pretrained and not fetched:
            raise RuntimeError(
                f"Got Keras {keras.__version__}, which took the weights of {self.name} "
                "by a way of its own, expected its get_file; install the version that "
                "constraints.txt names."
            )
        return network, fetched


def names():
    """Return the names of all models of `keras.applications`."""
    models = inspect.getmembers(keras.applications, inspect.isfunction)
    return tuple(name for name, _ in models)


def stages(network):
    """Find the end of every resolution of a convolutional network.

    That is its last layer which everything after it depends on; where a resolution
    has none (NASNet's cells look two cells back), the last merge of branches.

    Args:
        network: keras.Model with one image input.

    Returns:
        {"stage1": layer name, ...} from the finest resolution to the coarsest.
    """
    heights = _heights_at_reference(network)
    full_px = network.input_shape[1] or REFERENCE_PX
    cuts = _cut_layers(network)
    ends = {}
    is_past_inputs = False
    for layer in network.layers:
        is_past_inputs |= bool(layer.weights) and not _does_not_learn(layer)
        height = heights.get(layer.name, 1)
        if height == 1 or not is_past_inputs or _does_not_learn(layer):
            continue
        is_merge = isinstance(layer, (layers.Add, layers.Concatenate))
        rank = 2 if layer.name in cuts else int(is_merge)
        halvings = round(np.log2(full_px / height))
        if rank >= ends.get(halvings, (0, ""))[0]:
            ends[halvings] = (rank, layer.name)
    ordered = [ends[halvings][1] for halvings in sorted(ends)]
    return {f"stage{i}": name for i, name in enumerate(ordered, start=1)}


def fetch_weights(name, folder):
    """Lay a model's ImageNet weights, with and without its classes, for Keras to find.

    Args:
        name: a model of `keras.applications`.
        folder: Keras home; the files go into its `models`.

    Returns:
        list of Path.
    """
    application = Application(name)
    fetched = application.trunk(True, folder)[1] + application.classifier(folder)[1]
    return [path for _, path in fetched]


@contextlib.contextmanager
def _weights_through_downloads(folder=None):
    """Make Keras take its weights through `downloads.fetch`.

    Keras fetches some weights without a checksum and writes them in place. Its own
    list of addresses and checksums stays in use here, but the bytes come through the
    one door. Public ways do less: `weights=<path>` leaves a rescaling out of
    EfficientNet, and files laid into `KERAS_HOME` are passed over where that is
    write-protected, as on a workshop's stick.

    Args:
        folder: another Keras home that receives a copy of every file, or None.

    Yields:
        list that receives (address, Path) for every file.
    """
    home = profiles.keras_dir() / "models"
    models = home if folder is None else Path(folder) / "models"
    fetched = []

    def get_file(fname=None, origin=None, file_hash=None, md5_hash=None, **_):
        path = downloads.fetch(origin, home, fname, file_hash or md5_hash)
        if models != home:
            with whole_or_nothing(models / fname) as part:
                shutil.copyfile(path, part)
        fetched.append((origin, models / fname))
        return str(path)

    file_utils = inspect.getmodule(keras.utils.get_file)
    with mock.patch.object(file_utils, "get_file", get_file):
        yield fetched


def _heights_at_reference(network):
    """Return {layer name: height of its map} at REFERENCE_PX or the fixed size."""
    maps = [layer for layer in network.layers if len(layer.output.shape) == 4]
    probe = keras.Model(network.input, [layer.output for layer in maps])
    size_px = network.input_shape[1] or REFERENCE_PX
    outputs = probe.compute_output_spec(keras.KerasTensor((1, size_px, size_px, 3)))
    return {
        layer.name: output.shape[1] for layer, output in zip(maps, outputs, strict=True)
    }


def _cut_layers(network):
    """Return the names of the layers that no connection bypasses."""
    steps = network.operations  # what a step takes was made by one before it
    made_by, last_use = {}, list(range(len(steps)))
    for i, step in enumerate(steps):
        for tensor in keras.tree.flatten(step.input):
            last_use[made_by.get(id(tensor), i)] = i
        made_by |= {id(tensor): i for tensor in keras.tree.flatten(step.output)}
    furthest = np.maximum.accumulate([0, *last_use])
    return {step.name for i, step in enumerate(steps) if furthest[i] <= i}


def _does_not_learn(layer):
    kinds = layers.ZeroPadding2D, layers.Cropping2D, layers.Dropout
    return isinstance(layer, (*kinds, layers.Normalization))
