"""TF Hub inside Keras 3: a layer around a TF2 SavedModel, and the way back.

A module is a program: load only those whose origin you know.
"""

import hashlib
import os
import socket
import zlib
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from tarfile import TarError
from unittest import mock

import keras
from keras import layers, ops

from tl_helpers import downloads, profiles
from tl_helpers.backbones.backbone import Backbone
from tl_helpers.inputs import check_kind
from tl_helpers.storage import whole_or_nothing

MODULE_FILE = "saved_model.pb"
TF1_MARKER = "tfhub_module.pb"
ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")


@keras.saving.register_keras_serializable("tl_helpers")
class HubLayer(layers.Layer):
    """A TF2 SavedModel with the reusable interface, as a layer of Keras 3.

    The module's variables are the layer's weights, the very same memory: `fit` trains
    them where the layer is trainable, a `.keras` file keeps them. Batch normalization
    inside moves its statistics only in training and where the layer is trainable. The
    module's regularization losses join the model's, once however often it is called.

    The program itself is not in a `.keras` file; reading one back needs the module on
    this machine and never fetches it, for a stranger's file could name any address.

    Args:
        handle: as for `resolve`.
        trainable: whether `fit` moves the module's weights; may be set later too.
        moves_statistics: False keeps the module out of its training mode even then,
            so that its batch normalization stays as it is.
        **kwargs: `name` and `dtype` of any Keras layer; the module computes in its
            own type whatever `dtype` says, only the output is cast.

    Input shape: what the module takes; TF Hub's image modules take float32 (batch,
        height, width, 3), RGB, [0, 1].

    Output shape: what the module gives, (batch, width) for a feature vector.

    Raises:
        ValueError: a module of TF1, without a callable or, where it is to be trained,
            without trainable variables; another backend than TensorFlow.
        OSError: a module that is neither here nor to be had.

    Source: the Reusable SavedModel interface, tensorflow.org/hub.
    """

    def __init__(self, handle, trainable=False, moves_statistics=True, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.supports_jit = False  # a module may hold what XLA cannot compile
        self.handle = str(handle)
        self.moves_statistics = moves_statistics
        self.module = _load_module(resolve(handle), self.handle)
        self._input_specs = _input_specs(self.module)
        self._has_training = "training" in self.module.__call__.function_type.parameters
        with keras.name_scope(self.name, caller=self):
            self._module_weights = _as_keras_variables(self.module)
        self.trainable = False  # Keras passes over a value that is there already
        self.trainable = trainable

    @property
    def trainable(self):
        """Whether `fit` moves the module's weights."""
        return super().trainable

    @trainable.setter
    def trainable(self, value):
        if value and not getattr(self.module, "trainable_variables", ()):
            raise ValueError(
                f"Got trainable=True for {self.handle}, which has no trainable "
                "variables, expected False; choose a module that can be fine-tuned."
            )
        layers.Layer.trainable.fset(self, value)

    @property
    def image_size(self):
        """(height, width) in px that the module insists on, or None."""
        shape = self._input_specs[0].shape
        is_fixed = shape.rank == 4 and None not in shape[1:3]
        return tuple(shape[1:3]) if is_fixed else None

    def __call__(self, inputs, **kwargs):
        """Check the shape, with a sentence instead of TensorFlow's page, and call."""
        shapes = [spec.shape for spec in self._input_specs]
        if not any(shape.is_compatible_with(inputs.shape) for shape in shapes):
            raise ValueError(
                f"Got inputs of shape {tuple(inputs.shape)}, expected "
                f"{' or '.join(map(str, shapes))} by {self.handle}; put "
                "keras.layers.Resizing before this layer."
            )
        return super().__call__(inputs, **kwargs)

    def call(self, inputs, training=None):
        """Run the module; its training mode needs a trainable layer too."""
        inputs = ops.cast(inputs, self._input_specs[0].dtype.name)
        is_training = bool(training and self.trainable and self.moves_statistics)
        arguments = {"training": is_training} if self._has_training else {}
        return ops.cast(self.module(inputs, **arguments), self.compute_dtype)

    def get_config(self):
        """Return the arguments that rebuild this layer."""
        own = {"handle": self.handle, "moves_statistics": self.moves_statistics}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config):
        """Rebuild the layer from a module that is on this machine.

        Raises:
            FileNotFoundError: it is not.
        """
        handle = config["handle"]
        if _find(handle) is None:
            raise FileNotFoundError(
                f"Got a model with the module {handle}, which is not on this machine, "
                "expected it where it was when the model was saved; put it back, or "
                f"if you trust its origin fetch it by hub.resolve({handle!r})."
            )
        return cls(**config)


def resolve(handle):
    """Find a module's folder, or fetch it.

    An address is looked up in `TL_DATA_DIR/hub`, then in TF Hub's cache, which is
    `TFHUB_CACHE_DIR` or the folder `hub` of the course's cache; both have the same
    layout, so that a copy of the cache makes a mirror.

    Args:
        handle: str or Path: a folder, an archive (.tar.gz, .zip) or an address of TF
            Hub or Kaggle, "https://www.kaggle.com/models/...".

    Returns:
        Path of a folder with a SavedModel.

    Raises:
        FileNotFoundError: no such folder, archive or address.
        DownloadError: an address that does not answer, or `TL_OFFLINE`.
        ValueError: a damaged or unsafe archive.
    """
    folder = _find(handle)
    if folder is not None:
        return folder
    if not _is_address(handle):
        raise FileNotFoundError(
            f"Got {handle}, which does not exist, expected a module's folder, its "
            ".tar.gz archive or an address that begins with https://; correct it."
        )
    if profiles.is_offline():
        raise downloads.DownloadError(
            f"{handle} is not on this machine and TL_OFFLINE forbids the network; "
            f"unset TL_OFFLINE, or unpack the module into {cached_folder(handle)}."
        )
    return _fetch(handle)


def cached_folder(handle):
    """Return the Path of an address in TF Hub's cache, named as tensorflow_hub does."""
    default = profiles.cache_dir() / "hub"
    folder = Path(os.environ.get("TFHUB_CACHE_DIR") or default).expanduser()
    return folder / hashlib.sha1(str(handle).encode()).hexdigest()


def export_module(backbone, folder, block=None, pool=True):
    """Write a backbone as a module that TF Hub and `HubLayer` load.

    It takes float32 (batch, height, width, 3), RGB, [0, 1], as TF Hub's image modules
    do, and can be fine-tuned: all of its weights are trainable there, and batch
    normalization moves its statistics in training mode.

    Args:
        backbone: Backbone.
        folder: str or Path that does not exist yet; written wholly or not at all.
        block: block name; None for the last.
        pool: average over height and width.

    Returns:
        Path of the folder.

    Raises:
        FileExistsError: the folder is there already.
        ValueError: no such block.

    Source: the Reusable SavedModel interface, tensorflow.org/hub.
    """
    import tensorflow as tf

    check_kind(Backbone, backbone=backbone)
    check_kind(str, os.PathLike, folder=folder)
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(
            f"Got {folder}, which exists, expected a new folder for the module; "
            "remove it or name another."
        )
    network = _thawed_copy(backbone.extractor(block, pool))
    module = tf.train.Checkpoint()
    module.__call__ = _traced(network)
    module.variables = [weight.value for weight in network.weights]
    module.trainable_variables = [w.value for w in network.trainable_weights]
    module.regularization_losses = _regularization_losses(network)
    # the functions also use the random state of dropout, which is no weight
    module.state = [variable.value for variable in network.variables]
    with whole_or_nothing(folder) as part:
        tf.saved_model.save(module, part)
    return folder


def _load_module(folder, handle):
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Got the backend {keras.backend.backend()}, expected tensorflow, in which "
            "modules are written; set KERAS_BACKEND=tensorflow before importing keras."
        )
    try:
        # TensorFlow would refuse TF1's own format with a page about tags
        is_tf1 = (folder / TF1_MARKER).exists()
        module = None if is_tf1 else tf.saved_model.load(folder)
    except (ValueError, OSError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ValueError(
            f"Got {handle}, which TensorFlow cannot load ({reason}), expected a whole "
            "TF2 SavedModel; fetch it again or choose another module."
        ) from error
    if not callable(module):
        raise ValueError(
            f"Got {handle}, which cannot be called (it is a TF1 module, or was saved "
            "for serving only), expected a TF2 SavedModel with the reusable "
            "interface; choose the module's TF2 version."
        )
    return module


def _input_specs(module):
    """Return the different tf.TensorSpec that the module's graphs take."""
    graphs = getattr(module.__call__, "concrete_functions", [module.__call__])
    specs = (graph.structured_input_signature[0][0] for graph in graphs)
    return list(dict.fromkeys(specs))


def _as_keras_variables(module):
    """Wrap the module's variables: Keras then holds the same memory, not a copy."""
    trainable = list(getattr(module, "trainable_variables", ()))
    everything = list(getattr(module, "variables", ()))
    is_trainable = {id(variable) for variable in trainable}
    frozen = [variable for variable in everything if id(variable) not in is_trainable]
    weights = [
        keras.Variable(
            variable,
            trainable=id(variable) in is_trainable,
            autocast=False,
            name=variable.name.split(":")[0].replace("/", "_"),
        )
        for variable in (*trainable, *frozen)
    ]
    losses = list(getattr(module, "regularization_losses", ()))
    if trainable and losses:
        # A loss added by `call` would count once a call, a regularizer counts once.
        weights[0].regularizer = _ModuleLosses(losses)
    return weights


class _ModuleLosses(keras.regularizers.Regularizer):
    """The sum of a module's own losses, whichever weight Keras asks about."""

    def __init__(self, losses):
        self.losses = losses

    def __call__(self, weight):
        return sum(loss() for loss in self.losses)


def _is_address(handle):
    return str(handle).startswith(("http://", "https://"))


def _find(handle):
    """Return the folder of a module that is on this machine, or None."""
    if _is_address(handle):
        cached, mirror = cached_folder(handle), profiles.mirror_dir()
        places = [mirror / "hub" / cached.name, cached] if mirror else [cached]
        return next((path for path in places if (path / MODULE_FILE).exists()), None)
    path = Path(handle).expanduser()
    if path.is_file() and path.name.endswith(ARCHIVE_SUFFIXES):
        return _unpacked(path)
    return path if path.is_dir() else None


def _unpacked(archive):
    """Unpack an archive into the cache, once for each content."""
    digits = downloads.file_hash(archive).split(":")[1]
    folder = profiles.cache_dir() / "hub" / digits[:40]
    if not folder.exists():
        downloads.extract(archive, folder)
    inside = [folder, *(path for path in folder.iterdir() if path.is_dir())]
    return next((path for path in inside if (path / MODULE_FILE).exists()), folder)


def _fetch(handle):
    import tensorflow_hub

    settings = {"TFHUB_CACHE_DIR": str(cached_folder(handle).parent)}
    try:
        with mock.patch.dict(os.environ, settings), _limit():
            return Path(tensorflow_hub.resolve(str(handle)))
    except (OSError, EOFError, HTTPException, TarError, zlib.error) as error:
        is_wrong = getattr(error, "code", None) in (403, 404, 410)
        fix = "copy it from the module's page" if is_wrong else "check the network"
        raise downloads.DownloadError(
            f"Could not get {handle} ({str(error).strip('<>.')}), expected the address "
            f"of a TF2 SavedModel; {fix} and try again, or unpack the module into "
            f"{cached_folder(handle)}."
        ) from error


@contextmanager
def _limit():
    """End silence on the network, for which tensorflow_hub would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(downloads.TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _thawed_copy(network):
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    copy.trainable = False  # Keras passes over a value that is there already
    copy.trainable = True
    return copy


def _regularization_losses(network):
    """Return the sum of the weights' regularizers as one function, if there are any."""
    import tensorflow as tf

    regularized = [w for w in network.trainable_weights if w.regularizer is not None]

    @tf.function(input_signature=[])
    def total():
        return sum(weight.regularizer(weight) for weight in regularized)

    return [total] if regularized else []


def _traced(network):
    """Return the module's function from [0, 1] images, with both of its modes."""
    import tensorflow as tf

    @tf.function
    def call(inputs, training=False):
        return tf.cast(network(255 * inputs, training=training), "float32")

    images = tf.TensorSpec(network.input_shape, "float32", name="inputs")
    for training in (False, True):
        call.get_concrete_function(images, training=training)
    return call
