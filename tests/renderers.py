"""The scripts that render bundled images: where they lie, and what they must repeat."""

import importlib
import sys

import pytest

from tl_helpers import profiles

SCRIPTS = profiles.data_dir()


def script(name):
    """Import a script of data/; without a clone there is none, and the file skips."""
    if not (SCRIPTS / f"{name}.py").exists():
        pytest.skip(f"needs a clone: data/{name}.py", allow_module_level=True)
    if str(SCRIPTS) not in sys.path:
        sys.path.insert(0, str(SCRIPTS))
    return importlib.import_module(name)


def check_repeats_the_shipped_files(main, name, folder):
    """Let a script write its files into a folder, and compare byte by byte."""
    main(folder / name)
    shipped = sorted((SCRIPTS / name).iterdir())
    made = sorted((folder / name).iterdir())
    assert [path.name for path in shipped] == [path.name for path in made]
    for path, own in zip(shipped, made, strict=True):
        assert path.read_bytes() == own.read_bytes(), path.name
