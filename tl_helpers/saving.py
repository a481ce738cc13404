"""The one place where model files are written and read: `.keras`, safe mode on."""

import os
from pathlib import Path


def save_model(model, path):
    """Write a model beside its final name, then rename: a kill leaves no half file.

    Args:
        model: keras.Model.
        path: str or Path that ends in ".keras".

    Returns:
        Path of the file.

    Raises:
        ValueError: another ending.
    """
    path = _keras_path(path)
    partial = path.with_name(f"{path.stem}.partial-{os.getpid()}.keras")
    try:
        model.save(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def load_model(path):
    """Read a `.keras` file in safe mode, which refuses code inside the file.

    Args:
        path: str or Path that ends in ".keras".

    Returns:
        keras.Model.

    Raises:
        ValueError: another ending (`.h5` models ignore safe mode), or a file that
            holds a Lambda layer.
        FileNotFoundError: no such file.
    """
    import keras

    path = _keras_path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"Got {path}, which does not exist; expected a model written by save_model."
        )
    return keras.saving.load_model(path, safe_mode=True)


def _keras_path(path):
    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(
            f"Got a model file named {path.name!r}, expected a name that ends in "
            "'.keras'; other formats can run code when they are loaded."
        )
    return path
