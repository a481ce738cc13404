"""What a sweep found so far, on disk, so that a killed one can go on."""

import hashlib
import json
from pathlib import Path

import numpy as np

from tl_helpers.storage import whole_or_nothing


class Record:
    """One file for every setting of a sweep; without a folder it keeps nothing.

    Args:
        folder: str or Path, made if it does not exist; None to keep nothing.
        arrays: sequence of arrays that results depend on; others are refused.

    Raises:
        ValueError: the folder holds a sweep over other arrays.
    """

    def __init__(self, folder, arrays):
        self.folder = None if folder is None else Path(folder)
        if self.folder is None:
            return
        key = _fingerprint(arrays)
        marker = self.folder / "sweep.json"
        if not marker.exists():
            _write_json(marker, key)
        elif _read_json(marker) != key:
            raise ValueError(
                f"Got folder {folder}, which holds a sweep over other data, another "
                "seed or a damaged one; name a new folder, or delete this one."
            )

    def read(self, setting, validators):
        """Look up a setting.

        Args:
            setting: as it was written.
            validators: names whose scores are needed.

        Returns:
            dict with "scores" and "accuracy", or None where that is not there whole.
        """
        if self.folder is None:
            return None
        stored = _read_json(self._path(setting))
        is_whole = isinstance(stored, dict) and stored.keys() >= {"scores", "accuracy"}
        has_all = is_whole and stored["scores"].keys() >= set(validators)
        return stored if has_all else None

    def write(self, setting, result):
        """Keep the result of a setting, wholly or not at all.

        Args:
            setting: anything whose `repr` tells it from the others.
            result: dict with "scores" {validator: float} and "accuracy".
        """
        if self.folder is not None:
            _write_json(self._path(setting), {"setting": repr(setting), **result})

    def _path(self, setting):
        name = hashlib.sha256(repr(setting).encode()).hexdigest()[:16]
        return self.folder / f"{name}.json"


def _fingerprint(arrays):
    digest = hashlib.sha256()
    for values in arrays:
        digest.update(f"{values.shape} {values.dtype}".encode())
        digest.update(np.ascontiguousarray(values))
    return digest.hexdigest()


def _read_json(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _write_json(path, content):
    with whole_or_nothing(path) as part:
        part.write_text(json.dumps(content))
