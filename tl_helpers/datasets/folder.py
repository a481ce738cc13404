"""A directory of a person's own images, one folder a class."""

import os
import re
import warnings
from pathlib import Path

import numpy as np

from tl_helpers.datasets.files import (
    ImageFiles,
    composed,
    find_copies,
    is_hidden,
    read_class_folders,
    survey,
)
from tl_helpers.datasets.image_set import ImageSet, Provenance
from tl_helpers.datasets.levels import check_range, judge_levels
from tl_helpers.inputs import check_class_names, check_flag, check_kind, check_whole

NUM_SHOWN = 10
PART_NAMES = {"train", "training", "val", "valid", "validation", "test", "testing"}


def load_folder(path, size_px=128, skip_bad=False, class_names=None, pixel_range=None):
    """Load a folder that holds one folder of images a class.

    Every file is decoded once, to find the bad ones now and not in mid-training.

    Args:
        path: str or Path; hidden files and folders in it are ignored.
        size_px: int >= 1, height and width to which images are cropped and resized.
        skip_bad: leave files that cannot be read out, with a warning that names them.
        class_names: sequence of str, the classes in the order of their numbers, such
            as `train.class_names` where this folder is for validation; a class without
            a folder here has no images. None for the folders' own names, sorted.
        pixel_range: (black, white), the grey values that become 0 and 255, for files
            of more than 8 bits: (0, 4095) for 12 bits; by default (0, 65535).

    Returns:
        ImageSet decoded on demand.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: fewer than two classes, a class folder without images, or with a
            name that is not asked for, images beside the class folders, folders that
            are parts (train, test) rather than classes, files whose range of values is
            unknown, or (without `skip_bad`) files that cannot be read.

    Warns:
        UserWarning: values that come out almost black, such as 12 bits in 16-bit files;
            byte-identical copies.
    """
    check_kind(str, os.PathLike, path=path)
    check_whole(1, size_px=size_px)
    check_flag(skip_bad=skip_bad)
    folder = Path(path).expanduser()
    if class_names is not None:
        class_names = check_class_names(class_names)
    if pixel_range is not None:
        pixel_range = check_range(pixel_range)
    folders = _check_layout(folder, class_names)
    paths, labels, class_names = read_class_folders(folder, class_names)
    bad, levels = survey(paths, size_px, pixel_range)
    if bad:
        report = _report(folder, bad)
        if not skip_bad:
            raise ValueError(f"{report}\nRepair or remove them, or set skip_bad=True.")
        warnings.warn(f"Skipped: {report}", stacklevel=2)
    is_good = np.array([path not in bad for path in paths], bool)
    paths, labels = np.array(paths, object)[is_good], labels[is_good]
    _check_classes(folder, folders, labels, class_names)
    judge_levels(levels.values(), pixel_range)
    _report_copies(folder, paths, labels)
    provenance = Provenance(
        name=folder.name,
        origin=str(folder),
        licence="the owner's",
        citation="none",
        size=f"{len(paths)} images, {len(class_names)} classes",
    )
    images = ImageFiles(paths, size_px, pixel_range)
    return ImageSet(images, labels, class_names, provenance)


def _check_layout(folder, class_names):
    """Return the names of the class folders, or say what is wrong with them."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"Got {folder}, which is no folder, expected one that holds one folder of "
            "images a class; check the path."
        )
    try:
        entries = [entry for entry in folder.iterdir() if not is_hidden(entry.name)]
        folders = sorted(entry.name for entry in entries if entry.is_dir())
    except PermissionError as error:
        raise PermissionError(
            f"Got {folder}, which may not be listed, expected a folder that you may "
            "read; change its permissions, or copy it."
        ) from error
    loose = sorted({entry.name for entry in entries} - set(folders))
    if not entries:
        raise ValueError(
            f"Got {folder}, which is empty, expected one folder of images a class; "
            "make a folder for every class and put its images there."
        )
    if class_names is None:
        _check_parts(folder, folders)
    if loose:
        raise ValueError(
            f"Got {len(loose)} files directly in {folder} (such as {loose[0]!r}), "
            "expected only class folders; move every file into its class's folder."
        )
    if class_names is not None:
        return folders
    if len(folders) < 2:
        raise ValueError(
            f"Got one class folder in {folder} ({folders[0]!r}), expected at least "
            "two; add a folder for another class, load the folder below if that holds "
            "them, or name all classes: class_names=..."
        )
    _warn_of_level(folder, folders)
    return folders


def _check_parts(folder, folders):
    """Refuse parts of a data set that would be taken for classes."""
    parts = [name for name in folders if PART_NAMES & set(_words(name))]
    if len(parts) > 1:
        first = max(parts, key=lambda name: "train" in name.lower())
        raise ValueError(
            f"Got folders {', '.join(parts)} in {folder}, which are parts of a data "
            "set, expected one folder a class; load each part by itself: train = "
            f"load_folder({str(folder / first)!r}), and the others with "
            "class_names=train.class_names (or name them here, if they are classes)."
        )


def _warn_of_level(folder, folders):
    """Say so where every class holds the same folders, as the parts of a set do."""
    shared = sorted(set.intersection(*(_folders_in(folder / name) for name in folders)))
    if len(shared) > 1:
        warnings.warn(
            f"Took the folders {', '.join(folders[:5])} in {folder} for the classes, "
            f"though each of them holds {', '.join(shared[:5])}; if those are the "
            f"classes, load one part: load_folder({str(folder / folders[0])!r}).",
            stacklevel=4,
        )


def _folders_in(folder):
    try:
        return {path.name for path in folder.iterdir() if path.is_dir()}
    except PermissionError:  # `survey` will report it
        return set()


def _words(name):
    return re.findall("[a-z]+", name.lower())


def _check_classes(folder, folders, labels, class_names):
    counts = dict(
        zip(class_names, np.bincount(labels, minlength=len(class_names)), strict=True)
    )
    empty = [name for name in folders if not counts[composed(name)]]
    if empty:
        raise ValueError(
            f"Got no readable image in class folder {empty[0]!r} of {folder}, expected "
            "at least one in every class; add images or remove the folder."
        )


def _report(folder, bad):
    lines = [f"{len(bad)} files in {folder} cannot be read:"]
    lines += [f"  {fault}" for fault in list(bad.values())[:NUM_SHOWN]]
    if len(bad) > NUM_SHOWN:
        lines.append(f"  and {len(bad) - NUM_SHOWN} more")
    return "\n".join(lines)


def _report_copies(folder, paths, labels):
    """Name byte-identical files: two labels of one image, or a leak in a split."""
    label_of = dict(zip(paths, labels.tolist(), strict=True))
    groups = find_copies(paths)
    pairs = [(group[0], path) for group in groups for path in group[1:]]
    torn = [pair for pair in pairs if label_of[pair[0]] != label_of[pair[1]]]
    if torn:
        warnings.warn(
            f"Got {len(torn)} images in two classes ({_such_as(folder, torn)}), "
            "expected one label an image; keep each in one class.",
            stacklevel=3,
        )
    if pairs:
        warnings.warn(
            f"Got {len(pairs)} byte-identical copies among {len(paths)} images "
            f"({_such_as(folder, pairs)}), which a split may put on both sides; remove "
            "them, or split(images, ..., groups=images.images.copies).",
            stacklevel=3,
        )


def _such_as(folder, pairs):
    one, other = (os.path.relpath(path, folder) for path in pairs[0])
    return f"such as {one} and {other}"
