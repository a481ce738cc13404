"""Files and folders that are whole or not there; results kept over a kill; one hash."""

import hashlib
import json
import os
import re
import secrets
import shutil
import time
import zipfile
from contextlib import contextmanager
from glob import escape
from pathlib import Path

STALE_S = 24 * 3600  # a partial result older than this was left by a kill


@contextmanager
def whole_or_nothing(target):
    """Make a file or folder under a hidden name and rename it when it is whole.

    Where another process was faster, its result stays and this one is dropped.

    Args:
        target: Path of the file or folder to be made.

    Yields:
        Path beside it with the same ending, not existing yet, to be filled by the
        caller.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    for left_over in target.parent.glob(f".partial-*-{escape(target.name)}"):
        if _is_stale(left_over):
            _remove(left_over)
    part = target.with_name(f".partial-{secrets.token_hex(4)}-{target.name}")
    try:
        yield part
        try:
            os.replace(part, target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        _remove(part)


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
    except (OSError, ValueError):
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
        if not marker.exists():
            write_json(marker, identity)
        found = read_json(marker)
        if found != identity:
            found = found if isinstance(found, dict) else {}
            names = identity | found
            other = [x for x in names if identity.get(x) != found.get(x)]
            raise ValueError(
                f"Got folder {folder}, which holds work with another "
                f"{', '.join(other)}, expected this one's or an empty folder; give "
                "another folder, or delete this one."
            )

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

        Args:
            key: anything whose `repr` tells it from the others.
            content: dict of JSON values.
            **arrays: lists of numpy arrays, kept in the same file.
        """
        if self.folder is None:
            return
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


def _is_stale(path):
    """Whether a kill left it; what another process is just finishing was no kill's."""
    try:
        return time.time() - path.stat().st_mtime > STALE_S
    except FileNotFoundError:
        return False


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
