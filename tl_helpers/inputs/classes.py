"""Classes: their names, what they weigh, and whether two sets mean the same ones."""

import unicodedata
from collections import Counter
from itertools import zip_longest

import numpy as np

from tl_helpers.inputs.arguments import as_array, shown


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
    weights = {one: as_array(given.get(one)) for one in classes}
    for weight in weights.values():
        is_number = weight.ndim == 0 and weight.dtype.kind in "iuf"
        if not is_number or not 0 < weight < np.inf:
            raise ValueError(
                f"Got class_weight={class_weight!r}, expected 'balanced' or a positive "
                f"weight for each of the classes {classes}; name all of them."
            )
    return {one: float(weight) for one, weight in weights.items()}


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
