"""Rows of a labelled set -> parts that share none, drawn by index."""

import itertools

import numpy as np

from tl_helpers.inputs import (
    as_array,
    check_flag,
    check_labels,
    check_positive,
    check_whole,
)


def split(labelled, *shares, stratify=True, groups=None, seed=0):
    """Split by index, so that no image can be on two sides.

    Args:
        labelled: ImageSet or Features with n rows; both give the same rows.
        *shares: floats in (0, 1) that add up to 1, or whole numbers of images that
            add up to n at most; one part comes back for each.
        stratify: keep the share of every class (ignored with `groups`).
        groups: int or str (n,): rows of one group (patient, scene) stay together; for
            files `images.images.copies` keeps byte-identical ones on one side.
        seed: int.

    Returns:
        tuple of the same kind, in the order of `shares`.

    Raises:
        ValueError: the shares do not add up, a class or the groups are too few for
            every side to get one, or not every row has its group.
    """
    _check_labelled(labelled)
    check_flag(stratify=stratify)
    check_whole(seed=seed)
    counts = _share_counts(shares, len(labelled))
    rng = np.random.default_rng(seed)
    if groups is not None:
        parts = _split_groups(_check_groups(groups, len(labelled)), counts, rng)
    elif stratify:
        parts = _split_stratified(labelled, counts, rng)
    else:
        order = rng.permutation(len(labelled))
        parts = np.split(order, np.cumsum(counts))[: len(counts)]
    return tuple(labelled[np.sort(part)] for part in parts)


def check_groups_apart(*sides):
    """Refuse parts of which two hold the same group, such as a patient.

    Two images of a patient are no two independent witnesses: a model that has seen one
    knows something about the other, and its score says too much.

    Args:
        *sides: for each part int or str (n,), the group of every row.

    Raises:
        ValueError: a group on two sides, fewer than two sides, or a row without its
            group.
    """
    if len(sides) < 2:
        raise ValueError(
            f"Got groups of {len(sides)} sides, expected at least 2; give those of "
            'training and of test, such as train.extras["patient"].'
        )
    sides = [_check_groups(side, np.size(as_array(side))) for side in sides]
    if len({side.dtype.kind in "US" for side in sides}) > 1 or not all(map(len, sides)):
        raise ValueError(
            f"Got groups of types {[str(side.dtype) for side in sides]} and lengths "
            f"{[len(side) for side in sides]}, expected rows on every side, and names "
            "or numbers on all: the number 3 is not the name '3'."
        )
    names = [set(side.tolist()) for side in sides]
    for i, j in itertools.combinations(range(len(sides)), 2):
        shared = sorted(names[i] & names[j])
        if shared:
            shown = ", ".join(str(name) for name in shared[:5])
            raise ValueError(
                f"Got {len(shared)} groups both in part {i} and in part {j}, such as "
                f"{shown}, expected each on one side; split whole groups: "
                "datasets.split(images, 0.8, 0.2, groups=...)."
            )


def few_per_class(labelled, labels_per_class, seed=0):
    """Draw the same number of rows from every class, as a small label budget.

    Args:
        labelled: ImageSet, or Features.
        labels_per_class: int >= 1.
        seed: int; the draw for 5 a class is contained in the draw for 20, and images
            and their features give the same rows.

    Returns:
        the same kind, with labels_per_class times the number of classes rows.

    Raises:
        ValueError: a class has fewer rows than asked for.
    """
    _check_labelled(labelled)
    check_whole(labels_per_class=labels_per_class, seed=seed)
    rng = np.random.default_rng(seed)
    picks = []
    for label, rows in shuffled_classes(labelled.labels, rng):
        if not 1 <= labels_per_class <= len(rows):
            raise ValueError(
                f"Got labels_per_class={labels_per_class}, expected 1 to {len(rows)}, "
                f"which is what class {_class_name(labelled, label)!r} has; ask for "
                "fewer or add images."
            )
        picks.append(rows[:labels_per_class])
    return labelled[np.sort(np.concatenate(picks))]


def shuffled_classes(labels, rng):
    """Go through the classes: every drawing by class begins here.

    Args:
        labels: int (n,).
        rng: numpy.random.Generator.

    Yields:
        (label, rows): the classes that occur, in rising order, each with its row
        numbers in random order.
    """
    for label in np.unique(labels):
        yield label, rng.permutation(np.flatnonzero(labels == label))


def _check_labelled(labelled):
    if not hasattr(labelled, "labels"):
        raise ValueError(
            f"Got a set of type {type(labelled).__name__}, expected an ImageSet or "
            "Features; give an array with its labels, Features(values, labels)."
        )
    check_labels("", labelled, labelled.labels)
    if not len(labelled):
        raise ValueError(
            "Got an empty set, expected at least one row; look which were selected."
        )


def _check_groups(groups, num_rows):
    """Return one group for each row, (n,), or say what is wrong with them."""
    groups = np.asarray(groups, object)
    is_row = groups.shape == (num_rows,)
    if not is_row or any(group is None or group != group for group in groups):
        raise ValueError(
            f"Got groups of shape {groups.shape} for {num_rows} rows, expected the "
            f"name or number of a group for each row, ({num_rows},); give those of "
            "this very set, a group of its own to a row that belongs to none."
        )
    return np.asarray(groups.tolist())


def _class_name(labelled, label):
    """Name of a class; Features know only its number."""
    names = getattr(labelled, "class_names", None)
    return names[label] if names else int(label)


def _share_counts(shares, num_images):
    for share in shares:
        check_positive(share=share)
    if shares and all(isinstance(s, int | np.integer) for s in shares):
        counts = [int(s) for s in shares]
    else:
        if abs(sum(shares) - 1) > 1e-6 or min(shares, default=0) <= 0:
            raise ValueError(
                f"Got shares {shares}, expected positive ones that add up to 1; "
                "for example split(images, 0.8, 0.2)."
            )
        edges = np.rint(np.cumsum((0, *shares)) * num_images).astype(int)
        counts = np.diff(edges).tolist()
    if min(counts) < 1 or sum(counts) > num_images:
        raise ValueError(
            f"Got parts of {counts} images from {num_images}, expected at least one "
            "in each and no more than there are; change the shares."
        )
    return counts


def _split_stratified(labelled, counts, rng):
    """Deal every class out in proportion to the wanted counts."""
    total, num_rows = sum(counts), len(labelled)
    parts = [[] for _ in counts]
    for label, rows in shuffled_classes(labelled.labels, rng):
        if len(rows) < len(counts):
            raise ValueError(
                f"Class {_class_name(labelled, label)!r} has {len(rows)} images, "
                f"expected at least {len(counts)} to put one on every side; add images "
                "or drop the class."
            )
        used = round(len(rows) * total / num_rows)
        edges = np.rint(np.cumsum((0, *counts)) / total * used).astype(int)
        edges = _at_least_one_each(edges)
        for part, start, stop in zip(parts, edges[:-1], edges[1:], strict=True):
            part.append(rows[start:stop])
    return [np.concatenate(part) for part in parts]


def _at_least_one_each(edges):
    """Move the edges of a class so that no side is left without it."""
    edges = edges.copy()
    edges[-1] = max(edges[-1], len(edges) - 1)
    for i in range(1, len(edges) - 1):
        edges[i] = max(edges[i], edges[i - 1] + 1)
    for i in range(len(edges) - 2, 0, -1):
        edges[i] = min(edges[i], edges[i + 1] - 1)
    return edges


def _split_groups(groups, counts, rng):
    """Give whole groups to the side that is furthest from its wanted count."""
    names, members = np.unique(groups, return_inverse=True)
    if len(names) < len(counts):
        raise ValueError(
            f"Got {len(names)} groups, expected at least {len(counts)}, one for every "
            "side; use finer groups or fewer sides."
        )
    missing = np.array(counts, float)
    parts = [[] for _ in counts]
    for group in rng.permutation(len(names)):
        rows = np.flatnonzero(members == group)
        side = int(np.argmax(missing))
        parts[side].append(rows)
        missing[side] -= len(rows)
    if not all(parts):
        raise ValueError(
            f"Got groups too uneven for parts of {counts} images: one side is empty; "
            "change the shares or split the largest group."
        )
    return [np.concatenate(part) for part in parts]
