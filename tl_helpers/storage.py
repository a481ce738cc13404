"""Files and folders that are whole or not there; results kept over a kill; one hash."""

import hashlib
import inspect
import json
import os
import re
import secrets
import shutil
import time
import warnings
import zipfile
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

STALE_S = 24 * 3600  # where files cannot be locked: older than this, a kill left it
_HIDDEN, _LOCK = ".tl-partial-", "lock"
_UNIMPORTANT = ("trainable", "compile_config")
_RESULT = "[!.]*-" + 12 * "[0-9a-f]" + ".*"


@contextmanager
def whole_or_nothing(target):
    """Make a file or folder inside a hidden folder and move it when it is whole.

    What killed processes left unfinished beside it is removed. Where another process
    was faster, its result stays and this one is dropped.

    Args:
        target: Path of the file or folder to be made.

    Yields:
        Path of the same name, not existing yet, to be filled by the caller.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_left_overs(target.parent)
    hidden = target.with_name(_HIDDEN + secrets.token_hex(4))
    hidden.mkdir()
    try:
        with _locked(hidden):
            yield hidden / target.name
            try:
                os.replace(hidden / target.name, target)
            except OSError:
                if not target.is_dir():
                    raise
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def remove_left_overs(folder):
    """Remove what killed processes left unfinished; what is being written stays.

    Args:
        folder: Path in which `whole_or_nothing` wrote.
    """
    for hidden in Path(folder).glob(_HIDDEN + 8 * "[0-9a-f]"):
        if _is_left_over(hidden):
            shutil.rmtree(hidden, ignore_errors=True)


def write_text(path, text):
    """Write a text file, wholly or not at all.

    Args:
        path: str or Path.
        text: str, written as UTF-8.
    """
    with whole_or_nothing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path, content):
    """Write a JSON file, wholly or not at all.

    Args:
        path: str or Path.
        content: what `json` can write.
    """
    write_text(path, json.dumps(content, indent=1) + "\n")


def read_json(path):
    """Read a JSON file.

    Args:
        path: str or Path.

    Returns:
        what it holds; None where there is no such file or no whole one.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def hash_arrays(*arrays):
    """Hash the content of arrays, shapes and types included.

    Args:
        *arrays: numpy arrays.

    Returns:
        str of 64 hex digits; equal for equal arrays in the same order.
    """
    import numpy as np

    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def describe(thing):
    """Describe what a Keras object computes, apart from its weights.

    Names that Keras made by counting its objects are numbered anew, so that the same
    code gives the same description in every process; what is frozen makes no
    difference.

    Args:
        thing: keras.Model, layer or optimizer.

    Returns:
        str, JSON.

    Raises:
        TypeError: it holds a function or a class of one's own, whose code no
            description shows.
    """
    for piece in _pieces(thing):
        for own in (type(piece), *vars(piece).values()):
            own = getattr(own, "__func__", own)  # a method's
            if isinstance(own, partial):
                own = own.func
            if isinstance(own, type | FunctionType):
                _check_origin(own.__qualname__, own.__module__)
    described = configuration(thing)

    def check(found):
        if found.get("module"):
            _check_origin(found.get("class_name"), found["module"])

    json.loads(described, object_hook=check)
    return described


def configuration(thing, unimportant=_UNIMPORTANT):
    """Write a Keras object's configuration, alike for all that are built alike.

    As `describe`, whose words on names hold here, but it takes classes and functions
    of one's own by their names: enough to compare two objects of one program.

    Args:
        thing: keras.Model, layer or optimizer.
        unimportant: keys of configurations that make no difference.

    Returns:
        str, JSON.

    Raises:
        TypeError: a part has no configuration.
    """
    import keras

    names = {}

    def leave_out(found):
        return {key: x for key, x in found.items() if key not in unimportant}

    def number(found):
        kind, config = found.get("class_name"), found.get("config")
        name = config.get("name", "") if isinstance(config, dict) else ""
        if kind and re.sub(r"_\d+$", "", name).replace("_", "") == kind.lower():
            names.setdefault(name, f"{kind} {len(names)}")
        return found

    try:  # not how a model is compiled, which may be by anything
        own = {"class_name": type(thing).__name__, "config": thing.get_config()}
        config = json.dumps(keras.saving.serialize_keras_object(own))
    except NotImplementedError as error:
        raise TypeError(
            f"Got {type(thing).__name__} with a part that has no get_config, expected "
            "layers, functions and optimizers of Keras or of this package"
        ) from error
    for hook in (leave_out, number):
        config = json.dumps(json.loads(config, object_hook=hook), sort_keys=True)
    return re.sub(r'"([^"\\]*)"', lambda x: f'"{names.get(x[1], x[1])}"', config)


def describe_function(function):
    """Hash a function's own code, and the plain values that it looks up.

    Plain are numbers, text, tuples and dictionaries of them. What else it looks up is
    not looked into: functions that it calls, lists, arrays, models.

    Args:
        function: Python function.

    Returns:
        str of 64 hex digits.

    Raises:
        TypeError: an object without code of its own, such as a partial.
    """
    if not isinstance(function, FunctionType):
        raise TypeError(
            f"Got an object of type {type(function).__name__}, expected a function "
            "whose code can be compared; write def around it"
        )
    found = inspect.getclosurevars(function)
    values = {**found.globals, **found.nonlocals}
    values = {name: values[name] for name in sorted(values)}
    plain = {x: repr(value) for x, value in values.items() if _is_plain(value)}
    described = _describe_code(function.__code__), function.__defaults__, plain
    return hashlib.sha256(repr(described).encode()).hexdigest()


def _describe_code(code):
    constants = [
        _describe_code(one)
        if isinstance(one, CodeType)
        else sorted(map(repr, one))  # its order differs by process
        if isinstance(one, frozenset)
        else repr(one)
        for one in code.co_consts
    ]
    return code.co_code.hex(), constants, code.co_names


def _is_plain(value):
    if isinstance(value, dict):
        value = (*value, *value.values())
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, str | int | float | type(None))


def _pieces(thing):
    """Yield a Keras object and the layers and optimizers that it consists of."""
    import keras

    yield thing
    inside = list(vars(thing).values()) + getattr(thing, "layers", [])
    for piece in {id(x): x for x in inside}.values():
        if isinstance(piece, keras.Layer | keras.optimizers.Optimizer):
            yield from _pieces(piece)


def _check_origin(name, module):
    if module.partition(".")[0] not in ("keras", "tl_helpers"):
        raise TypeError(
            f"Got {name} of {module}, whose code no description shows, expected "
            "layers, functions and optimizers of Keras or of this package"
        )


class Kept:
    """Results of long work in a folder, one file each, so that a killed run goes on.

    Args:
        folder: str or Path, made if it does not exist; None to keep nothing.
        identity: {what: JSON value} of all that results depend on.

    Raises:
        ValueError: the folder holds the results of other work.
    """

    def __init__(self, folder, identity):
        self.folder = None if folder is None else Path(folder)
        if self.folder is None:
            return
        marker = self.folder / "identity.json"
        identity = json.loads(json.dumps(identity))  # as it is read again
        if not marker.exists() and not any(self.folder.glob(_RESULT)):
            write_json(marker, identity)
        found = read_json(marker)
        found = found if isinstance(found, dict) else {}
        other = [
            name
            for name in identity | found
            if json.dumps(identity.get(name, ...), default=str)
            != json.dumps(found.get(name, ...), default=str)
        ]
        if other:
            raise ValueError(
                f"Got folder {folder}, which holds work with another "
                f"{', '.join(other)}, expected this one's or an empty folder; give "
                "another folder, or delete this one."
            )
        remove_left_overs(self.folder)

    def path(self, key, ending=""):
        """Return the Path of a key, for what a caller writes by itself."""
        readable = re.sub(r"\W+", "_", str(key)).strip("_")[:60]
        digits = hashlib.sha256(repr(key).encode()).hexdigest()[:12]
        return self.folder / f"{readable}-{digits}{ending}"

    def get(self, key):
        """Look a result up.

        Args:
            key: as it was put.

        Returns:
            dict as it was put, lists of arrays included; None where there is none, or
            none that is whole.
        """
        if self.folder is None:
            return None
        found = read_json(self.path(key, ".json"))
        return found if isinstance(found, dict) else self._read(key)

    def put(self, key, content, **arrays):
        """Keep a result, wholly or not at all.

        Where it cannot be written, a warning says so and the work goes on: after a kill
        it begins behind what was kept before.

        Args:
            key: anything whose `repr` tells it from the others.
            content: dict of JSON values.
            **arrays: lists of numpy arrays, kept in the same file.
        """
        if self.folder is None:
            return
        try:
            self._write(key, content, arrays)
        except OSError as error:
            warnings.warn(
                f"Got no place for {key!r} in {self.folder}: {error}; expected a "
                "folder that can be written, with room; make some, the work goes on.",
                stacklevel=2,
            )

    def _write(self, key, content, arrays):
        if not arrays:
            write_json(self.path(key, ".json"), content)
            return
        import numpy as np

        counts = {name: len(rows) for name, rows in arrays.items()}
        named = {
            f"{x}.{i}": a for x, rows in arrays.items() for i, a in enumerate(rows)
        }
        with whole_or_nothing(self.path(key, ".npz")) as part:
            np.savez(part, content=json.dumps([content, counts]), **named)

    def all(self):
        """Return every result without arrays, in the order of the file names."""
        names = sorted(self.folder.glob("[!.]*-*.json"))
        return [found for found in map(read_json, names) if found is not None]

    def _read(self, key):
        import numpy as np

        try:
            with np.load(self.path(key, ".npz"), allow_pickle=False) as stored:
                content, counts = json.loads(str(stored["content"]))
                arrays = {
                    name: [stored[f"{name}.{i}"] for i in range(count)]
                    for name, count in counts.items()
                }
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return content | arrays


@contextmanager
def _locked(hidden):
    """Hold a lock, which ends with this process; others never see it unlocked."""
    if fcntl is None:
        yield
        return
    with (hidden / "new").open("w") as file:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        os.replace(hidden / "new", hidden / _LOCK)
        yield


def _is_left_over(hidden):
    """Whether the process that was writing here is dead."""
    try:
        with (hidden / _LOCK).open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:  # it lives
        return False
    except (OSError, AttributeError):  # no lock, or not yet
        with suppress(OSError):
            return time.time() - hidden.stat().st_mtime > STALE_S
        return False
