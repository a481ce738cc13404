"""Model files, written and read in one place: `.keras`, safe mode on; and states."""

import importlib
import json
import math
import os
import re
import threading
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from tl_helpers.storage import whole_or_nothing

PACKAGE = __name__.partition(".")[0]
MAX_EXPANSION = 100  # Keras packs nothing: what grows more than this is no model
FREE_BYTES = 2**28  # what a file may unpack to however small it is
SPARE = 4  # an optimizer keeps a few numbers for each weight
LOADING = threading.Lock()  # one model at a time
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,  # no config.json
    OSError,
    RuntimeError,  # a password, another compression, JSON in 10,000 brackets
    ValueError,  # no JSON
)


def save_model(model, path):
    """Write a model beside its final name, then rename: a kill leaves no half file.

    Args:
        model: keras.Model.
        path: str or Path that ends in ".keras".

    Returns:
        Path of the file.

    Raises:
        ValueError: no Keras model, or another ending.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise ValueError(
            f"Got a {type(model).__name__} to save, expected a keras.Model; of a "
            "Backbone give its network."
        )
    path = _keras_path(path)
    with whole_or_nothing(path) as part:
        model.save(part)
    return path


def load_model(path):
    """Read a `.keras` file in safe mode, which refuses code inside the file.

    It needs no other import: the modules of this package that the file names are
    imported here. Its checksums are compared, since Keras reads on past a flipped
    byte, and nothing is made that is larger than what the file can hold.

    Args:
        path: str or Path that ends in ".keras".

    Returns:
        keras.Model.

    Raises:
        ValueError: another ending (`.h5` models ignore safe mode), a file that is no
            whole model, or a model that Keras cannot rebuild: one with a Lambda layer,
            a class that this program does not know, or weights that do not fit.
        FileNotFoundError: no such file, or none of a module that the model needs.
    """
    import keras

    path = _keras_path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"Got {path}, which does not exist; expected a model written by save_model."
        )
    config, num_bytes = _read(path)
    try:
        _import_own_modules(config)
        with _no_more_numbers_than(SPARE * num_bytes):
            return keras.saving.load_model(path, safe_mode=True)
    except FileNotFoundError:  # of `HubLayer`, which says it all
        raise
    except Exception as error:  # Keras raises whatever a strange file provokes
        raise ValueError(
            f"Got {path}, from which Keras {keras.__version__} cannot rebuild a model "
            f"({_reason(error)}), expected one of known layers without code; define or "
            "import its own classes first, or write it again with save_model."
        ) from error


def read_variables(variables):
    """Copy what a training in progress depends on.

    Args:
        variables: of models, optimizers or random generators, as `model.variables`.

    Returns:
        list of arrays, for `set_variables` in another process.
    """
    import keras

    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def set_variables(variables, values):
    """Set variables to what `read_variables` gave for as many of the same shapes.

    Args:
        variables: as for `read_variables`, changed in place.
        values: list of arrays.

    Raises:
        ValueError: other shapes; then nothing is changed.
    """
    expected = [tuple(variable.shape) for variable in variables]
    got = [tuple(value.shape) for value in values]
    if got != expected:
        raise ValueError(
            f"Got values of shapes {got}, expected {expected}; read them from the same "
            "model."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _keras_path(path):
    if not isinstance(path, str | os.PathLike):
        raise ValueError(
            f"Got a path of type {type(path).__name__}, expected str or Path; name a "
            "file that ends in '.keras'."
        )
    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(
            f"Got a model file named {path.name!r}, expected a name that ends in "
            "'.keras', as other formats can run code when they are loaded; write it "
            "with save_model where it was made."
        )
    return path


def _read(path):
    """Return a model's config, and the bytes that its file unpacks to.

    Raises:
        ValueError: the file is no model, or no whole one.
    """
    what = _other_kind(path)
    if not what:
        try:
            with zipfile.ZipFile(path) as archive:
                num_bytes = sum(member.file_size for member in archive.infolist())
                limit = max(FREE_BYTES, MAX_EXPANSION * path.stat().st_size)
                if num_bytes > limit:
                    raise ValueError(f"it would unpack to {num_bytes / 1e9:,.1f} GB")
                broken = archive.testzip()
                if broken:
                    raise ValueError(f"{broken} has another checksum")
                config = json.loads(archive.read("config.json"))
            if isinstance(config, dict) and "class_name" in config:
                return config, num_bytes
            what = "a zip archive of something else"
        except DAMAGED as error:
            what = f"damaged, cut off or of another kind ({_reason(error)})"
    raise ValueError(
        f"Got {path}, which is {what}, expected a whole model file; copy it again, or "
        "write it with save_model where it was made."
    )


def _other_kind(path):
    """Say what a file is that is no archive; None for an archive."""
    if (path / "saved_model.pb").exists():
        return "the folder of a SavedModel, whose code nothing checks"
    if not path.is_file():
        return "a folder or a device"
    with open(path, "rb") as file:
        beginning = file.read(8)
    if beginning.startswith(b"PK"):
        return None
    if beginning.startswith(b"\x89HDF"):
        return "an HDF5 file (.h5), whatever its name says"
    return f"no archive (it begins with {beginning!r})" if beginning else "empty"


def _import_own_modules(config):
    """Import the modules of this package in which a config's classes are."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting += part.values()
            module = part.get("module")
            if isinstance(module, str) and module.startswith(f"{PACKAGE}."):
                importlib.import_module(module)
        elif isinstance(part, list):
            waiting += part


@contextmanager
def _no_more_numbers_than(limit):
    """Let this thread make variables of so many numbers together, and no more."""
    import keras

    make, here, num_made = keras.Variable.__init__, threading.get_ident(), 0

    def make_if_small(variable, initializer, shape=None, *others, **named):
        nonlocal num_made
        if threading.get_ident() == here:
            num_made += math.prod(shape or ())
        if num_made > limit:
            raise ValueError(f"{num_made:,} numbers are more than its file can hold")
        make(variable, initializer, shape, *others, **named)

    with LOADING, mock.patch.object(keras.Variable, "__init__", make_if_small):
        yield


def _reason(error):
    """Return the first sentence of the innermost error that Keras tells of."""
    told = str(error).rpartition("Exception encountered: ")[2].strip()
    return re.split(r"[.:]?\n|\. |\.$", told)[0] or type(error).__name__
