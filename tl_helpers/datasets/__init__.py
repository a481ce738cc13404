"""Data sets by name: `load("solids", "studio")` gives an `ImageSet`."""

from tl_helpers.datasets.bundled import BUNDLED
from tl_helpers.datasets.catalogue import REAL
from tl_helpers.datasets.folder import load_folder
from tl_helpers.datasets.image_set import ImageSet, Provenance
from tl_helpers.datasets.lfw import lfw_pairs, read_pairs
from tl_helpers.datasets.published import load_lidc_predictions
from tl_helpers.datasets.real import load_real
from tl_helpers.datasets.splitting import check_groups_apart, few_per_class, split
from tl_helpers.datasets.uploads import own_picture, upload_button
from tl_helpers.inputs import check_whole

__all__ = [
    "ImageSet",
    "Provenance",
    "check_groups_apart",
    "few_per_class",
    "lfw_pairs",
    "load",
    "load_folder",
    "load_lidc_predictions",
    "names",
    "own_picture",
    "parts",
    "read_pairs",
    "split",
    "train_and_test",
    "upload_button",
]


def names():
    """Return every name that `load` knows, the bundled ones first."""
    return (*BUNDLED, *REAL)


def parts(name):
    """Return the parts of a data set: domains, or official train and test.

    Raises:
        ValueError: unknown name.
    """
    if name not in names():
        raise ValueError(
            f"Got data set {name!r}, expected one of {', '.join(names())}; for images "
            "of your own use load_folder."
        )
    return (BUNDLED | REAL)[name].parts


def load(name, part=None, size_px=None):
    """Load one part of a data set by name.

    Args:
        name: one of `names()`.
        part: one of `parts(name)`; the first by default.
        size_px: height and width, as in `ImageSet.resized`; by default the data
            set's own.

    Returns:
        ImageSet.

    Raises:
        ValueError: unknown name or part, or no size.
        OSError: a real data set that is neither here nor to be had.
    """
    if size_px is not None:
        check_whole(1, size_px=size_px)
    known = parts(name)
    part = part or known[0]
    if part not in known:
        raise ValueError(
            f"Got part {part!r} of {name}, expected one of {', '.join(known)}; choose "
            "one of them."
        )
    if name in REAL:
        return load_real(name, part, size_px)
    image_set = BUNDLED[name].load(part)
    return image_set if size_px is None else image_set.resized(size_px)


def train_and_test(name, part=None, size_px=None, seed=0):
    """Load images to learn from and images to be judged by.

    The official split where there is one, else three to one: whole patients where the
    set knows them, else by index with the same share of every class.

    Args:
        name: one of `names()`.
        part: the part to split, where it is not "train" and "test".
        size_px: as in `load`.
        seed: int, decides the split by index.

    Returns:
        (train, test): two ImageSets without a common image, nor a common patient.
    """
    if {"train", "test"} <= set(parts(name)):
        return load(name, "train", size_px), load(name, "test", size_px)
    images = load(name, part, size_px)
    return split(images, 0.75, 0.25, groups=images.extras.get("patient"), seed=seed)
