"""Keras Applications: their preprocessing, their stages and their weights."""

import contextlib
import inspect
import json
import re
import shutil
import warnings
from pathlib import Path
from unittest import mock

import keras
import numpy as np
from keras import layers, ops

from tl_helpers import downloads, profiles

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

    def compute_output_shape(self, input_shape):
        """Return the shape unchanged."""
        return input_shape

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
        images = keras.Input((size_px, size_px, 3), name="images")
        mode = self.preprocessing_mode()
        inputs = Preprocessing(mode, name="preprocessing")(images)
        with weights_through_downloads(folder) as fetched, warnings.catch_warnings():
            # MobileNet says that it takes the weights for 224 px, which is our wish
            warnings.filterwarnings("ignore", message="`input_shape` is undefined")
            network = self.build(
                include_top=False,
                weights="imagenet" if pretrained else None,
                input_tensor=inputs,
            )
        return keras.Model(images, network.output, name=self.name), fetched

    def classifier(self, folder=None):
        """Build the network with its 1,000 ImageNet classes, fed with RGB [0, 255].

        Returns:
            keras.Model from images at the model's own size to probabilities
            (batch, 1000), and the list of (address, Path) of the weights files read.
        """
        with weights_through_downloads(folder) as fetched:
            whole = self.build(weights="imagenet")
        images = keras.Input(whole.input_shape[1:], name="images")
        mode = self.preprocessing_mode()
        inputs = Preprocessing(mode, name="preprocessing")(images)
        return keras.Model(images, whole(inputs), name=self.name), fetched


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
    """Lay a model's ImageNet weights and the class names where Keras looks for them.

    Args:
        name: a model of `keras.applications`.
        folder: Keras home; the files go into its `models`.

    Returns:
        list of Path.
    """
    application = Application(name)
    fetched = application.trunk(True, folder)[1] + application.classifier(folder)[1]
    fetched += _decode(np.eye(1, 1000), top=1, folder=folder)[1]
    return [path for _, path in fetched]


def imagenet_names(probabilities, top=1):
    """Name the likeliest ImageNet classes.

    Args:
        probabilities: float (n, 1000).
        top: how many names a row.

    Returns:
        list of n lists of `top` names, likeliest first.
    """
    rows, _ = _decode(probabilities, top)
    return [[name for _, name, _ in row] for row in rows]


def _decode(probabilities, top, folder=None):
    """Return Keras's decoded rows, and the file of class names that it read."""
    decode = keras.applications.imagenet_utils.decode_predictions
    with (
        weights_through_downloads(folder) as fetched,
        mock.patch.object(inspect.getmodule(decode), "CLASS_INDEX", None),
    ):
        return decode(np.asarray(probabilities), top=top), fetched


@contextlib.contextmanager
def weights_through_downloads(folder=None):
    """Make Keras take its weights through `downloads.fetch`.

    Keras fetches some weights without a checksum and writes them in place. Inside
    this context its own list of addresses and checksums stays in use, but the bytes
    come through the one door.

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
            with downloads.whole_or_nothing(models / fname) as half_made:
                shutil.copyfile(path, half_made)
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
    rows = json.loads(network.to_json())["config"]["layers"]
    position = {row["name"]: i for i, row in enumerate(rows)}
    last_use = [0] * len(rows)
    for i, row in enumerate(rows):
        text = json.dumps(row["inbound_nodes"])
        for source in re.findall(r'"keras_history": \["([^"]+)"', text):
            last_use[position[source]] = i
    cuts, furthest = set(), 0
    for i, row in enumerate(rows):
        if furthest <= i:
            cuts.add(row["name"])
        furthest = max(furthest, last_use[i])
    return cuts


def _does_not_learn(layer):
    kinds = layers.ZeroPadding2D, layers.Cropping2D, layers.Dropout
    return isinstance(layer, (*kinds, layers.Normalization))
