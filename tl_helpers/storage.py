"""Files and folders that are whole or not there, and one hash of arrays."""

import hashlib
import json
import os
import secrets
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

STALE_S = 24 * 3600  # a partial result older than this was left by a kill


@contextmanager
def whole_or_nothing(target):
    """Make a file or folder under a hidden name and rename it when it is whole.

    Where another process was faster, its result stays and this one is dropped.

    Args:
        target: Path of the file or folder to be made.

    Yields:
        Path beside it, not existing yet, to be filled by the caller.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    for left_over in target.parent.glob(f".{target.name}.partial-*"):
        if _is_stale(left_over):
            _remove(left_over)
    part = target.with_name(f".{target.name}.partial-{secrets.token_hex(4)}")
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
