"""What goes in: tables of numbers, labels, and whether the two go together."""

from collections import Counter
from itertools import zip_longest

import numpy as np

TINY = 1e-12  # stands for a spread of 0


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


def check_features(name, values):
    """Refuse what is no table of numbers.

    Args:
        name: str, such as "source features", for the sentence.
        values: float (n, d).

    Raises:
        ValueError: another shape, fewer than 2 rows, or values that are not finite.
    """
    if np.ndim(values) != 2 or np.shape(values)[1] == 0:
        raise ValueError(
            f"Got {name} of shape {np.shape(values)}, expected (n, d); average maps "
            "over height and width first."
        )
    if len(values) < 2:
        raise ValueError(
            f"Got {len(values)} rows of {name}, expected at least 2; give those of "
            "more images."
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"Got {name} that are not finite, expected real numbers; look for broken "
            "images or a network with broken weights."
        )


def check_labels(name, values, labels):
    """Refuse labels that are not one class number for each row.

    Args:
        name: str, names the set in the sentence, such as "source"; "" for no name.
        values: array (n, ...).
        labels: (n,) whole numbers from 0 on, of any numeric type.

    Returns:
        int64 (n,).

    Raises:
        ValueError: a column, one-hot rows or another length; names, parts of a whole
            or negative numbers.
    """
    labels, subject = np.asarray(labels), f"{name} labels".lstrip()
    if labels.shape != (len(values),):
        raise ValueError(
            f"Got {subject} of shape {labels.shape} for {len(values)} rows, expected "
            f"one label for each row, ({len(values)},); give both in the same order, "
            "and take argmax(axis=1) of one-hot rows, ravel() of a column."
        )
    with np.errstate(invalid="ignore"):  # NaN, which differs from whatever it becomes
        whole = labels.astype(np.int64) if labels.dtype.kind in "iuf" else None
    if whole is None or not np.array_equal(whole, labels) or whole.min(initial=0) < 0:
        shown = ", ".join(str(label) for label in labels[:3])
        raise ValueError(
            f"Got {subject} of type {labels.dtype}, such as {shown}, expected class "
            "numbers from 0 on; number the classes: np.unique(names, "
            "return_inverse=True)[1]."
        )
    return whole


def check_class_names(class_names):
    """Refuse names that do not tell the classes apart.

    Args:
        class_names: sequence of str, in the order of the class numbers.

    Returns:
        tuple of str.

    Raises:
        ValueError: one str, no name, something else than names, or a name twice.
    """
    is_one = isinstance(class_names, str | bytes) or not np.iterable(class_names)
    names = () if is_one else tuple(class_names)
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"Got class names {class_names!r}, expected a name for each class in the "
            'order of their numbers; for example ("cat", "dog").'
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f"Got class name {twice[0]!r} twice, expected a name of its own for each "
            "class; rename one, or give both classes one number."
        )
    return tuple(map(str, names))


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
