"""The official pairs of Labeled Faces in the Wild, by row number."""

import warnings
from pathlib import Path

import numpy as np

from tl_helpers.datasets.image_set import ImageSet
from tl_helpers.datasets.real import locate
from tl_helpers.evaluation import Pairs
from tl_helpers.inputs import check_kind


def lfw_pairs(images):
    """Find the 6,000 pairs of the official protocol in a loaded `lfw`.

    Args:
        images: ImageSet, `datasets.load("lfw")`, or rows of it.

    Returns:
        Pairs with the fold of each, 0 to 9: in each 300 of one person, 300 of two.

    Raises:
        FileNotFoundError: the mirror has no pairs.txt.
        ValueError: as for `read_pairs`.

    Source: Huang et al. 2007, technical report 07-49, view 2.
    """
    path = locate("lfw") / "pairs.txt"
    if not path.exists():
        raise FileNotFoundError(
            f"Got {path.parent} without pairs.txt, expected the official list beside "
            "the images; get it from the authors' site and put it there."
        )
    return read_pairs(path, images)


def read_pairs(path, images):
    """Read a list of pairs in the official format, for whichever images are there.

    Pairs of which an image is missing are left out, and a warning counts them.

    Args:
        path: str or Path of a text file: "folds<tab>n" in its first line, then for
            each fold n lines "person i j" and n lines "person i other j".
        images: ImageSet whose files are called person_0001.jpg.

    Returns:
        Pairs, rows of `images`, with the fold of each.

    Raises:
        ValueError: an ImageSet without files, a file in another format, or no pair
            of which both images are there.
    """
    check_kind(ImageSet, images=images)
    paths = getattr(images.images, "paths", None)
    if paths is None:
        raise ValueError(
            "Got images in memory, expected those of files, by whose names the list "
            "calls them; give datasets.load('lfw')."
        )
    row_of = {Path(one).stem: row for row, one in enumerate(paths)}
    listed = _read_lines(Path(path))
    found = [
        (row_of[first], row_of[second], fold)
        for first, second, fold in listed
        if first in row_of and second in row_of
    ]
    missing = len(listed) - len(found)
    if not found:
        raise ValueError(
            f"Got {len(listed)} pairs in {path} and both images of none, expected "
            "some; fill the folder of the images, or make pairs of your own by "
            "evaluation.pairs_of(labels)."
        )
    if missing:
        warnings.warn(
            f"Got both images of {len(found)} pairs of {len(listed)}, {missing} were "
            "left out; compare no number with those of the whole protocol.",
            stacklevel=2,
        )
    first, second, fold = np.array(found, np.int64).T
    people = np.stack([images.labels[first], images.labels[second]], axis=1)
    return Pairs(first, second, people, fold)


def _read_lines(path):
    """Return a list of (stem, stem, fold)."""
    lines = [one.split() for one in path.read_text(encoding="utf-8").splitlines()]
    lines = [one for one in lines if one]
    try:
        (num_folds, half), *rest = (lines[0], *lines[1:])
        num_folds, half = int(num_folds), int(half)
        listed = [
            (*_stems(words, row // half % 2 == 0), row // (2 * half))
            for row, words in enumerate(rest)
        ]
        if len(listed) != 2 * half * num_folds:
            raise ValueError
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise ValueError(
            f"Got {path} in another format, expected the folds and the pairs of each "
            "kind in its first line, then 'person i j' and 'person i other j'; fetch "
            "pairs.txt again."
        ) from error
    return listed


def _stems(words, is_same):
    """Return the names of two files, without ending, of the words of a line."""
    if is_same:
        person, one, other = words
        return f"{person}_{int(one):04}", f"{person}_{int(other):04}"
    person, one, stranger, other = words
    return f"{person}_{int(one):04}", f"{stranger}_{int(other):04}"
