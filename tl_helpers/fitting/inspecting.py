"""A folder of a person's own images -> what is in it, and what can be used."""

import os
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tl_helpers.datasets.files import (
    ImageFiles,
    composed,
    find_copies,
    is_hidden,
    survey,
    walk,
)
from tl_helpers.datasets.image_set import ImageSet, Provenance
from tl_helpers.datasets.levels import judge_levels
from tl_helpers.fitting.copies import THUMBNAIL_PX, find_look_alikes
from tl_helpers.inputs import check_kind, check_whole

TEST_NAMES, TRAIN_NAMES = {"test", "testing"}, {"train", "training"}
OTHER_PARTS = {"val", "valid", "validation"}
MIN_TO_LEARN = 2  # different images of a class: one to learn from, one to check by
MAX_COMPARED = 20_000  # images whose thumbnails are held against each other


@dataclass(frozen=True)
class Inspection:
    """What a folder holds. Files are named by their path inside of it.

    Attributes:
        folder: Path.
        class_names: classes that can be used, sorted.
        train: ImageSet of different pictures to learn from; where there is no test
            folder they are all of them.
        test: ImageSet of the test folder; None where there is none.
        counts: {class: {"files": int, "train": int, "test": int}}, of every class
            folder; the last two count what is used.
        broken: {file: why it cannot be read}.
        copies: list of [file that is used, file that is left out], one picture of one
            class.
        contradictions: list of lists of files that show one picture in several
            classes; none of them is used.
        leaks: list of [test file, file to learn from, which is left out], one picture.
        left_out: {class: why it cannot be used}.
        loose: names of files in no class folder.
        sizes: {"median", "smallest", "largest"}: [width, height] in px.
        notes: list of str, further warnings.
    """

    folder: Path
    class_names: tuple
    train: ImageSet
    test: ImageSet | None
    counts: dict
    broken: dict
    copies: list
    contradictions: list
    leaks: list
    left_out: dict
    loose: list
    sizes: dict
    notes: list


@dataclass
class _File:
    """One file: where it is, what it is said to show, and what it turned out to be."""

    path: str
    name: str  # inside the folder
    label: str
    is_test: bool
    group: int = -1
    is_used: bool = True


def inspect_folder(folder, size_px=64):
    """Read every file of a folder and say what can be used.

    Args:
        folder: str or Path with one sub-folder a class. Beside them, or beside a
            folder `train` that holds the class folders, there may be a folder `test`
            with the same classes. Images are only read.
        size_px: int >= 1, to which the images of the sets are cropped and resized.

    Returns:
        Inspection.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: fewer than two classes with two different readable images.
    """
    check_kind(str, os.PathLike, folder=folder)
    check_whole(1, size_px=size_px)
    folder = Path(folder).expanduser()
    files, class_names, loose = _list_files(folder)
    broken, notes = _read(files, size_px)
    readable = [one for one in files if one.path not in broken]
    _group(readable)
    contradictions, leaks, copies = _set_aside(readable)
    counts = _count(files, readable, class_names)
    left_out = _too_few(counts)
    used = [name for name in class_names if name not in left_out]
    if len(used) < 2:
        raise ValueError(
            f"Got {len(used)} classes with at least {MIN_TO_LEARN} different readable "
            f"images in {folder} ({_shown(left_out)}), expected at least two; put the "
            "images of every class into a folder of its own."
        )
    sets = [_image_set(folder, readable, used, size_px, x) for x in (False, True)]
    return Inspection(
        folder=folder,
        class_names=tuple(used),
        train=sets[0],
        test=sets[1] if len(sets[1]) else None,
        counts=counts,
        broken={one.name: broken[one.path] for one in files if one.path in broken},
        copies=copies,
        contradictions=contradictions,
        leaks=leaks,
        left_out=left_out,
        loose=loose,
        sizes=_sizes([one.path for one in readable]),
        notes=notes,
    )


def _list_files(folder):
    """Return the files, the names of all class folders, and files in none."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"Got {folder}, which is no folder, expected one that holds one folder of "
            "images a class; check the path."
        )
    classes, loose = _entries(folder)
    parts = [(folder, False)]
    test = [name for name in classes if _is_part(folder / name, TEST_NAMES)]
    inner = [
        name for name in classes if _is_part(folder / name, TRAIN_NAMES | OTHER_PARTS)
    ]
    if inner and set(classes) <= {*test, *inner}:
        parts = [(folder / name, False) for name in inner]
    parts += [(folder / name, True) for name in test]
    files, names = [], set()
    for part, is_test in parts:
        for name in _entries(part)[0]:
            if part == folder and name in test:
                continue
            label = composed(name)
            names |= {label}
            for path in sorted(walk(str(part / name))):
                inside = os.path.relpath(path, folder)
                files.append(_File(path, inside, label, is_test))
    return files, sorted(names), loose


def _entries(folder):
    """Return the names of sub-folders and of files, sorted, hidden ones left out."""
    entries = [one for one in os.scandir(folder) if not is_hidden(one.name)]
    folders = sorted(one.name for one in entries if one.is_dir())
    return folders, sorted({one.name for one in entries} - set(folders))


def _is_part(path, names):
    """Whether a folder is a part of a set: its name says so, and it holds folders."""
    return path.name.lower() in names and bool(_entries(path)[0])


def _read(files, size_px):
    """Return {path: why it cannot be read}, and sentences on strange values."""
    broken, levels = survey([one.path for one in files], size_px)
    broken = {path: _reason(text) for path, text in broken.items()}
    for path, level in levels.items():
        if level.kind == "unknown":
            broken[path] = "its values have no known range"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        judge_levels([x for path, x in levels.items() if path not in broken], None)
    return broken, [str(one.message) for one in caught]


def _reason(text):
    """Cut the reason out of a sentence of `decode_image`."""
    return text.partition("cannot be read: ")[2].partition("; expected")[0] or text


def _group(files):
    """Give every file the number of its picture."""
    paths = [one.path for one in files]
    if len(files) <= MAX_COMPARED:
        groups = find_look_alikes(ImageFiles(paths, THUMBNAIL_PX)[:])
    else:
        groups = np.arange(len(files))
    number = dict(zip(paths, groups.tolist(), strict=True))
    for same in find_copies(paths):  # thumbnails of one file are equal, too
        for path in same:
            number[path] = number[same[0]]
    for one in files:
        one.group = number[one.path]


def _set_aside(files):
    """Mark what is not used; return contradictions, leaks and copies by name."""
    pictures = {}
    for one in files:
        pictures.setdefault(one.group, []).append(one)
    contradictions, leaks, copies = [], [], []
    for same in pictures.values():
        if len({one.label for one in same}) > 1:
            contradictions.append([one.name for one in same])
            kept = []
        else:
            tests = [one for one in same if one.is_test]
            kept = (tests or same)[:1]
            for one in same:
                if one is not kept[0]:
                    is_leak = kept[0].is_test and not one.is_test
                    (leaks if is_leak else copies).append([kept[0].name, one.name])
        for one in same:
            one.is_used = one in kept
    return contradictions, leaks, copies


def _count(files, readable, class_names):
    all_files = Counter(one.label for one in files)
    used = Counter((one.label, one.is_test) for one in readable if one.is_used)
    return {
        name: {
            "files": all_files[name],
            "train": used[name, False],
            "test": used[name, True],
        }
        for name in class_names
    }


def _too_few(counts):
    """Return {class: why it cannot be learnt}."""
    has_test = any(one["test"] for one in counts.values())
    least = MIN_TO_LEARN if has_test else MIN_TO_LEARN + 1  # one to test by
    found = {}
    for name, count in counts.items():
        if count["train"] < least:
            found[name] = (
                f"{count['train']} usable image{'s' * (count['train'] != 1)}, "
                f"where {least} are the least"
            )
    return found


def _shown(left_out):
    return "; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:5])


def _image_set(folder, files, class_names, size_px, is_test):
    chosen = [
        one
        for one in files
        if one.is_used and one.is_test == is_test and one.label in class_names
    ]
    paths = [one.path for one in chosen]
    labels = np.array([class_names.index(one.label) for one in chosen], np.int64)
    size = f"{len(chosen)} images, {len(class_names)} classes"
    provenance = Provenance(folder.name, str(folder), "the owner's", "none", size)
    return ImageSet(ImageFiles(paths, size_px), labels, class_names, provenance)


def _sizes(paths):
    """Return the median, smallest and largest [width, height] in px."""
    sizes = []
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a large one was read already
            with Image.open(path) as image:
                sizes.append(image.size)
    sizes = sorted(sizes, key=lambda one: (one[0] * one[1], one))
    picks = {"median": len(sizes) // 2, "smallest": 0, "largest": len(sizes) - 1}
    return {name: list(sizes[row]) for name, row in picks.items()}
