"""Tables of numbers, their labels, and rows chosen from them."""

import numpy as np

from tl_helpers.inputs.arguments import as_array

TINY = 1e-12  # stands for a spread of 0


def check_features(name, values, least=2):
    """Refuse what is no table of numbers.

    Args:
        name: str, such as "source features", for the sentence.
        values: float (n, d).
        least: int, how many rows there must be.

    Raises:
        ValueError: another shape, fewer rows, or values that are not finite numbers.
    """
    values = as_array(values)
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
    if not isinstance(rows, tuple) or len(rows) != 2 or not as_array(rows[0]).ndim:
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
    labels, subject = as_array(labels), f"{name} labels".lstrip()
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
    chosen = as_array(rows)
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


def check_corners(boxes, advice="give corners, not width and height"):
    """Refuse boxes that end before they begin, or nowhere.

    Args:
        boxes: float (n, 4), x0, y0, x1, y1; rows with NaN are absent.
        advice: str, ends the sentence.

    Raises:
        ValueError: x1 < x0, y1 < y0, or an infinite corner.
    """
    wrong = (boxes[:, :2] > boxes[:, 2:]).any(axis=1) | np.isinf(boxes).any(axis=1)
    if wrong.any():
        row = wrong.argmax()
        raise ValueError(
            f"Got box {boxes[row].tolist()} in row {row}, expected x0 <= x1 and "
            f"y0 <= y1; {advice}."
        )
