"""Model files, written and read in one place: `.keras`, safe mode on; and states."""

from pathlib import Path

from tl_helpers.storage import whole_or_nothing


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
    with whole_or_nothing(path) as part:
        model.save(part)
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
    """
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _keras_path(path):
    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(
            f"Got a model file named {path.name!r}, expected a name that ends in "
            "'.keras'; other formats can run code when they are loaded."
        )
    return path
