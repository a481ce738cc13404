"""What goes in: tables of numbers, labels, and whether the two go together."""

import unicodedata
from collections import Counter
from itertools import zip_longest

import numpy as np

TINY = 1e-12  # stands for a spread of 0
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


def check_domains(source, target):
    """Refuse two sets of features that cannot be compared.

    Args:
        source: float (n_source, d).
        target: float (n_target, d).

    Raises:
        ValueError: another shape, fewer than 2 rows, values that are not finite, or
            widths that differ.
    """
    check_features("source features", source)
    check_features("target features", target)
    if np.shape(source)[1] != np.shape(target)[1]:
        raise ValueError(
            f"Got {np.shape(source)[1]} source features and {np.shape(target)[1]} "
            "target features a row, expected as many; take both from the same layer."
        )


def check_features(name, values, least=2):
    """Refuse what is no table of numbers.

    Args:
        name: str, such as "source features", for the sentence.
        values: float (n, d).
        least: int, how many rows there must be.

    Raises:
        ValueError: another shape, fewer rows, or values that are not finite numbers.
    """
    values = _as_array(values)
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(
            f"Got {name} of shape {values.shape}, expected (n, d); average maps "
            "over height and width first."
        )
    if len(values) < least:
        raise ValueError(
            f"Got {len(values)} rows of {name}, expected at least {least}; give those "
            "of more images."
        )
    if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        raise ValueError(
            f"Got {name} that are not finite, expected real numbers; look for broken "
            "images or a network with broken weights."
        )


def check_labelled(name, rows):
    """Take Features, or a pair of values and labels, apart.

    Args:
        name: str, such as "training set", for the sentence.
        rows: Features, or (values, labels).

    Returns:
        (values, labels): what was given, and int64 (n,).

    Raises:
        ValueError: something else, or labels that do not fit (see `check_labels`).
    """
    if hasattr(rows, "values") and hasattr(rows, "labels"):
        rows = rows.values, rows.labels
    if not isinstance(rows, tuple) or len(rows) != 2 or not _as_array(rows[0]).ndim:
        raise ValueError(
            f"Got a {name} of type {type(rows).__name__}, expected Features; take "
            "those of an ImageSet, features.extract(backbone, images), or give an "
            "array with its labels, Features(values, labels)."
        )
    return rows[0], check_labels(name, *rows)


def check_labels(name, values, labels, num_classes=None):
    """Refuse labels that are not one class number for each row.

    Args:
        name: str, names the set in the sentence, such as "source"; "" for no name.
        values: array (n, ...); None where labels come alone.
        labels: (n,) whole numbers from 0 on, of any numeric type.
        num_classes: int, which every number is below; None for any.

    Returns:
        int64 (n,).

    Raises:
        ValueError: a column, one-hot rows or another length; names, parts of a whole,
            or numbers that stand for no class.
    """
    labels, subject = _as_array(labels), f"{name} labels".lstrip()
    for_rows, wanted = "", "(n,)"
    if values is not None:
        for_rows, wanted = f" for {len(values)} rows", f"({len(values)},)"
    if labels.ndim != 1 or wanted not in ("(n,)", f"({len(labels)},)"):
        raise ValueError(
            f"Got {subject} of shape {labels.shape}{for_rows}, expected one label for "
            f"each row, {wanted}; give both in the same order, and take "
            "argmax(axis=1) of one-hot rows, ravel() of a column."
        )
    with np.errstate(invalid="ignore"):  # NaN, which differs from whatever it becomes
        whole = labels.astype(np.int64) if labels.dtype.kind in "iuf" else None
    if not len(labels):
        return np.zeros(0, np.int64)
    if whole is None or not np.array_equal(whole, labels) or whole.min() < 0:
        shown = ", ".join(str(label) for label in labels[:3])
        raise ValueError(
            f"Got {subject} of type {labels.dtype}, such as {shown}, expected class "
            "numbers from 0 on; number the classes: np.unique(names, "
            "return_inverse=True)[1]."
        )
    if num_classes is not None and whole.max() >= num_classes:
        raise ValueError(
            f"Got {subject} from {whole.min()} to {whole.max()}, expected 0 to "
            f"{num_classes - 1} for {num_classes} classes; renumber them, or look "
            "whether classes and labels are of one data set."
        )
    return whole


def check_rows(rows, num_rows):
    """Turn a choice of rows into their numbers.

    Args:
        rows: slice, bool (n,), or whole numbers (k,) from 0 to n - 1.
        num_rows: n.

    Returns:
        int64 (k,).

    Raises:
        ValueError: a mask of another length, or something else than row numbers.
    """
    if isinstance(rows, slice):
        return np.arange(num_rows)[rows]
    chosen = _as_array(rows)
    if chosen.shape == (0,):
        return np.zeros(0, np.int64)
    if chosen.ndim == 1 and chosen.dtype.kind == "b" and len(chosen) != num_rows:
        raise ValueError(
            f"Got a mask of {len(chosen)} rows for {num_rows}, expected one value for "
            "each row; make it from labels of the same set."
        )
    if isinstance(rows, tuple) or chosen.ndim != 1 or chosen.dtype.kind not in "biu":
        raise ValueError(
            f"Got rows of type {chosen.dtype} and shape {chosen.shape}, expected a "
            "slice, a mask or whole numbers (k,); write [[3]] for row 3 alone."
        )
    if chosen.dtype.kind == "b":
        return np.flatnonzero(chosen)
    if not 0 <= chosen.min() <= chosen.max() < num_rows:
        raise ValueError(
            f"Got rows from {chosen.min()} to {chosen.max()}, expected 0 to "
            f"{num_rows - 1} of {num_rows} rows; draw them from the same set, and "
            "count from the end by a slice, [-3:]."
        )
    return chosen.astype(np.int64)


def _as_array(values):
    """Return an array; lists of unequal lengths become objects."""
    try:
        return np.asarray(values)
    except ValueError:
        rows = np.empty(len(values), object)
        for i, row in enumerate(values):
            rows[i] = row
        return rows


def check_class_names(class_names):
    """Refuse names that do not tell the classes apart.

    Args:
        class_names: sequence of str, in the order of the class numbers.

    Returns:
        tuple of str, accents composed (NFC): what looks the same is the same.

    Raises:
        ValueError: one str, a set or dict, no name, something else than names, or a
            name twice.
    """
    without_order = str | bytes | set | frozenset | dict
    has_order = np.iterable(class_names) and not isinstance(class_names, without_order)
    names = tuple(class_names) if has_order else ()
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(
            f"Got {shown('class_names', class_names)}, expected a name for each class "
            'in the order of their numbers; for example ("cat", "dog").'
        )
    names = tuple(unicodedata.normalize("NFC", str(name)) for name in names)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f"Got class name {twice[0]!r} twice, expected a name of its own for each "
            "class; rename one, or give both classes one number."
        )
    return names


def check_same_classes(first, second, names=("the first set", "the second")):
    """Refuse two sets in which one number stands for two classes.

    Names are compared in order, where both sets know them.

    Args:
        first: ImageSet or Features, whose names are taken for right.
        second: ImageSet or Features.
        names: (str, str), what the two are called in the sentence.

    Raises:
        ValueError: a name that differs, is missing or is one too many.
    """
    wanted, got = (getattr(rows, "class_names", None) for rows in (first, second))
    if wanted is None or got is None or tuple(wanted) == tuple(got):
        return
    pairs = zip_longest(wanted, got)
    label = next(i for i, (one, other) in enumerate(pairs) if one != other)
    shown_wanted, shown_got = (
        repr(str(known[label])) if label < len(known) else "no more classes"
        for known in (wanted, got)
    )
    raise ValueError(
        f"Got {shown_got} for class {label} in {names[1]}, expected {shown_wanted} as "
        f"in {names[0]}; give both the same names in the same order: load the second "
        "with load_folder(..., class_names=first.class_names)."
    )


def check_target_labels(source_labels, target_labels):
    """Refuse target labels on which adaptation cannot be judged.

    Args:
        source_labels: int (n_source,).
        target_labels: int (n_target,).

    Raises:
        ValueError: classes that the source lacks, or only one class.
    """
    missing = np.setdiff1d(target_labels, source_labels).tolist()
    if missing:
        raise ValueError(
            f"Got target classes {missing}, which the source lacks, expected classes "
            "of the source only; leave their images out."
        )
    if len(np.unique(target_labels)) < 2:
        raise ValueError(
            "Got target labels of one class, expected at least two; a constant answer "
            "would look perfect, so draw from every class."
        )


def draw_rows(values, max_rows, rng):
    """Draw rows without replacement where there are too many, in their old order.

    Args:
        values: array (n, ...).
        max_rows: int.
        rng: numpy.random.Generator.

    Returns:
        array (min(n, max_rows), ...).
    """
    if len(values) <= max_rows:
        return values
    return values[np.sort(rng.permutation(len(values))[:max_rows])]


def in_one_unit(values, reference):
    """Shift features to mean 0, and divide all of them by one number.

    The number is the root-mean-square over the features of the standard deviation.

    Args:
        values: float (n, d).
        reference: float (m, d), whose mean and deviation are taken.

    Returns:
        float64 (n, d).
    """
    reference = np.asarray(reference, float)
    spread = np.sqrt(reference.var(axis=0).mean())
    return (values - reference.mean(axis=0)) / max(spread, TINY)


def check_whole(least=0, **given):
    """Refuse what is no whole number from `least` on.

    Args:
        least: int.
        **given: the arguments by name.

    Raises:
        ValueError: a part of a whole, True, NaN, text, or a smaller number.
    """
    for name, value in given.items():
        number = _as_array(value)
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
    array = _as_array(values)
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


def _is_tensor(value):
    """Whether this is a variable, or a tensor that may be known in shape alone."""
    return hasattr(value, "shape") and not isinstance(value, np.ndarray | np.generic)


def check_class_weight(class_weight, labels):
    """Refuse weights that are not one positive number for each class.

    Args:
        class_weight: {class number: float > 0}; "balanced" for one over the class's
            share of the rows, divided by the number of classes; None for no weights.
        labels: int (n,), of the training set.

    Returns:
        {class number: float} of the classes in `labels`, or None.

    Raises:
        ValueError: a class without a weight, or one that is not above 0 and finite.
    """
    if class_weight is None:
        return None
    classes, counts = (x.tolist() for x in np.unique(labels, return_counts=True))
    if isinstance(class_weight, str) and class_weight == "balanced":
        shares = zip(classes, counts, strict=True)
        return {one: len(labels) / (len(classes) * count) for one, count in shares}
    given = class_weight if isinstance(class_weight, dict) else {}
    weights = {one: _as_array(given.get(one)) for one in classes}
    for weight in weights.values():
        is_number = weight.ndim == 0 and weight.dtype.kind in "iuf"
        if not is_number or not 0 < weight < np.inf:
            raise ValueError(
                f"Got class_weight={class_weight!r}, expected 'balanced' or a positive "
                f"weight for each of the classes {classes}; name all of them."
            )
    return {one: float(weight) for one, weight in weights.items()}


def _check_range(given, fits, wanted):
    for name, value in given.items():
        if _is_tensor(value):
            continue
        number = _as_array(value)
        is_number = number.ndim == 0 and number.dtype.kind in "iuf"
        if not is_number or not np.isfinite(number) or not fits(number):
            raise ValueError(f"Got {shown(name, value)}, expected {wanted}.")


def shown(name, value):
    """Return 'name=value' where that is short, else the value's type."""
    text = repr(value)
    if len(text) < 60 and "\n" not in text and not text.startswith("<"):
        return f"{name}={text}"
    return f"{name} of type {type(value).__name__}"


def check_tensorflow(what):
    """Refuse another backend of Keras where only TensorFlow will do.

    Args:
        what: what needs it, for the message.

    Raises:
        ValueError: Keras runs on another backend.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Got the backend {keras.backend.backend()}, expected tensorflow, for "
            f"which {what} is written; set KERAS_BACKEND=tensorflow before importing "
            "keras."
        )


def check_channels_last():
    """Refuse a Keras whose layers take the channels of an image first.

    Raises:
        ValueError: the image data format is "channels_first".
    """
    import keras

    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            f"Got image_data_format={keras.config.image_data_format()!r} in Keras, "
            "expected 'channels_last', as all images here are; change keras.json or "
            "call keras.config.set_image_data_format('channels_last')."
        )
