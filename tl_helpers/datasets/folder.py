"""A directory of a person's own images, one folder a class."""

import warnings
from pathlib import Path

import numpy as np

from tl_helpers.datasets.files import (
    ImageFiles,
    find_bad_files,
    is_hidden,
    read_class_folders,
)
from tl_helpers.datasets.image_set import ImageSet, Provenance

NUM_SHOWN = 10


def load_folder(path, size_px=128, skip_bad=False):
    """Load a folder that holds one folder of images a class.

    Every file is decoded once, to find the bad ones now and not in mid-training.

    Args:
        path: str or Path; hidden files and folders in it are ignored.
        size_px: int >= 1, height and width to which images are cropped and resized.
        skip_bad: leave files that cannot be read out, with a warning that names them.

    Returns:
        ImageSet decoded on demand, classes in the order of their folders' names.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: fewer than two classes, a class without images, images beside the
            class folders, or (without `skip_bad`) files that cannot be read.
    """
    folder = Path(path).expanduser()
    _check_layout(folder)
    paths, labels, class_names = read_class_folders(folder)
    bad = find_bad_files(paths, size_px)
    if bad:
        report = _report(folder, bad)
        if not skip_bad:
            raise ValueError(f"{report}\nRepair or remove them, or set skip_bad=True.")
        warnings.warn(f"Skipped: {report}", stacklevel=2)
    is_good = np.array([path not in bad for path in paths], bool)
    paths, labels = np.array(paths, object)[is_good], labels[is_good]
    _check_classes(folder, labels, class_names)
    provenance = Provenance(
        name=folder.name,
        origin=str(folder),
        licence="the owner's",
        citation="none",
        size=f"{len(paths)} images, {len(class_names)} classes",
    )
    return ImageSet(ImageFiles(paths, size_px), labels, class_names, provenance)


def _check_layout(folder):
    if not folder.is_dir():
        raise FileNotFoundError(
            f"Got {folder}, which is no folder, expected one that holds one folder of "
            "images a class; check the path."
        )
    entries = [entry for entry in folder.iterdir() if not is_hidden(entry.name)]
    loose = sorted(entry.name for entry in entries if entry.is_file())
    num_classes = len(entries) - len(loose)
    if not entries:
        raise ValueError(
            f"Got {folder}, which is empty, expected one folder of images a class; "
            "make a folder for every class and put its images there."
        )
    if loose:
        raise ValueError(
            f"Got {len(loose)} files directly in {folder} (such as {loose[0]!r}), "
            "expected only class folders; move every file into its class's folder."
        )
    if num_classes < 2:
        raise ValueError(
            f"Got one class folder in {folder} ({entries[0].name!r}), expected at "
            "least two; add a folder for another class."
        )


def _check_classes(folder, labels, class_names):
    counts = np.bincount(labels, minlength=len(class_names))
    empty = [name for name, count in zip(class_names, counts, strict=True) if not count]
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
