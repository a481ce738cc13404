"""Single arguments: numbers, flags, names, objects, arrays of numbers."""

import numpy as np

WAYS = {  # from whatever was given to what is wanted
    "Model": "give a built keras.Model, whose first layer is a keras.Input",
    "Classifier": "build it with finetuning.classifier(backbone, num_classes)",
    "Backbone": "load one with backbones.load(name)",
    "ImageSet": "load one with datasets.load(name) or datasets.load_folder(path), or "
    "put arrays into ImageSet(images, labels, class_names, provenance)",
    "Features": "take features.extract(backbone, images), or Features(values, labels)",
    "Episodes": "draw them with fewshot.episodes",
    "dict": "give {name: value}",
}


def check_whole(least=0, **given):
    """Refuse what is no whole number from `least` on.

    Args:
        least: int.
        **given: the arguments by name.

    Raises:
        ValueError: a part of a whole, True, NaN, text, or a smaller number.
    """
    for name, value in given.items():
        number = as_array(value)
        if number.ndim or number.dtype.kind not in "iu" or number < least:
            raise ValueError(
                f"Got {shown(name, value)}, expected a whole number from {least} on; "
                "round it, or look whether arguments changed places."
            )


def check_share(**given):
    """Refuse what is no share in [0, 1], such as percent.

    Args:
        **given: the arguments by name.

    Raises:
        ValueError: a number outside [0, 1], NaN, or no number.
    """
    _check_range(
        given, lambda x: 0 <= x <= 1, "a share in [0, 1]; divide percent by 100"
    )


def check_positive(**given):
    """Refuse what is no number above 0; as for `check_share`."""
    _check_range(given, lambda x: x > 0, "a finite number above 0; look at its sign")


def check_not_negative(**given):
    """Refuse what is no number from 0 on; as for `check_share`."""
    _check_range(given, lambda x: x >= 0, "a finite number of at least 0")


def check_flag(**given):
    """Refuse what is neither True nor False: a word such as "no" would count as True.

    Args:
        **given: the arguments by name.

    Raises:
        ValueError: anything else.
    """
    for name, value in given.items():
        if not isinstance(value, bool | np.bool_):
            raise ValueError(f"Got {shown(name, value)}, expected True or False.")


def check_choice(choices, **given):
    """Refuse what is none of the names that are known.

    Args:
        choices: names, as keys of a dict or in a sequence.
        **given: the arguments by name.

    Raises:
        ValueError: anything else.
    """
    for name, value in given.items():
        if not isinstance(value, str) or value not in choices:
            raise ValueError(
                f"Got {shown(name, value)}, expected one of {', '.join(choices)}."
            )


def check_kind(*kinds, **given):
    """Refuse an object of another class, and say how to get one that fits.

    Args:
        *kinds: classes.
        **given: the arguments by name.

    Raises:
        ValueError: an instance of none of them.
    """
    for name, value in given.items():
        if not isinstance(value, kinds):
            names = [kind.__name__ for kind in kinds]
            way = WAYS.get(names[0], "look whether arguments changed places")
            raise ValueError(
                f"Got {name} of type {type(value).__name__}, expected "
                f"{' or '.join(names)}; {way}."
            )


def check_mapping(**given):
    """Refuse what is no dict, or an empty one; as for `check_flag`."""
    check_kind(dict, **given)
    for name, value in given.items():
        if not value:
            raise ValueError(
                f"Got no {name}, expected at least one; give {{name: it}}."
            )


def check_callable(**given):
    """Refuse what cannot be called; as for `check_flag`."""
    for name, value in given.items():
        if not callable(value):
            raise ValueError(
                f"Got {shown(name, value)}, expected a function; give its name "
                "without brackets and quotation marks."
            )


def check_numbers(name, values, shape, least=1, finite=True):
    """Refuse what is no array of finite numbers of the shape that is wanted.

    Args:
        name: str, for the sentence.
        values: numbers.
        shape: str as in docstrings, "(n, d)", "(n, ...)" or "(height, width, 3)".
        least: int, how many rows there must be.
        finite: bool; False where NaN stands for what is absent.

    Returns:
        array of that shape.

    Raises:
        ValueError: another rank or size, too few rows, no numbers, or some that are
            not finite.
    """
    array = as_array(values)
    wanted = [part.strip() for part in shape.strip("()").split(",") if part.strip()]
    has_rank = array.ndim > 0 if "..." in wanted else array.ndim == len(wanted)
    fits = has_rank and all(
        not part.isdigit() or int(part) == size
        for part, size in zip(wanted, array.shape, strict=False)
    )
    is_empty = least > 0 and not array.size  # also zero shots in the middle
    if not fits or array.dtype.kind not in "biuf" or is_empty or len(array) < least:
        rows = "each" if is_empty else "the first"
        raise ValueError(
            f"Got {name} of type {type(values).__name__} and shape {array.shape}, "
            f"expected numbers {shape}, at least {least} of {rows}; turn a tf.data set "
            "or a list into one NumPy array."
        )
    if finite and array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(
            f"Got {name} that are not finite, expected real numbers; look for broken "
            "images or weights."
        )
    return array


def check_tensor(name, values, shape):
    """Refuse as `check_numbers` what is no tensor: one may be known in shape alone."""
    if not _is_tensor(values):
        check_numbers(name, values, shape, least=0)


def as_array(values):
    """Return an array; lists of unequal lengths become objects."""
    try:
        return np.asarray(values)
    except ValueError:
        rows = np.empty(len(values), object)
        for i, row in enumerate(values):
            rows[i] = row
        return rows


def shown(name, value):
    """Return 'name=value' where that is short, else the value's type."""
    text = repr(value)
    if len(text) < 60 and "\n" not in text and not text.startswith("<"):
        return f"{name}={text}"
    return f"{name} of type {type(value).__name__}"


def _is_tensor(value):
    """Whether this is a variable, or a tensor that may be known in shape alone."""
    return hasattr(value, "shape") and not isinstance(value, np.ndarray | np.generic)


def _check_range(given, fits, wanted):
    for name, value in given.items():
        if _is_tensor(value):
            continue
        number = as_array(value)
        is_number = number.ndim == 0 and number.dtype.kind in "iuf"
        if not is_number or not np.isfinite(number) or not fits(number):
            raise ValueError(f"Got {shown(name, value)}, expected {wanted}.")
