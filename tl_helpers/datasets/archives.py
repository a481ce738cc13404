"""Official archives, laid out as `<part>/<class>/<image>`, the mirror's layout.

Every function takes the downloaded archives and a path that does not exist yet.
"""

import errno
import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from tl_helpers.datasets.files import survey
from tl_helpers.downloads import extract

CIFAR_RECORD_BYTES = 1 + 3 * 32 * 32  # a label, then the red, green and blue planes


def lay_out_one_file(archives, target):
    """Keep the one file as it is."""
    shutil.copyfile(archives[0], target)


def lay_out_svhn(archives, target):
    """Keep the two .mat files as they are."""
    target.mkdir()
    for path in archives:
        shutil.copyfile(path, target / path.name)


def lay_out_cifar10(archives, target):
    """Turn the binary version (no pickle inside) into PNG files in its order."""
    with _unpacked(archives[0], target) as folder:
        root = folder / "cifar-10-batches-bin"
        class_names = (root / "batches.meta.txt").read_text().split()
        train = [root / f"data_batch_{i}.bin" for i in range(1, 6)]
        _write_cifar_part(train, target / "train", class_names)
        _write_cifar_part([root / "test_batch.bin"], target / "test", class_names)


def lay_out_tiny_imagenet(archives, target):
    """Drop the `images` level of train and sort val into classes."""
    with _unpacked(archives[0], target) as folder:
        root = folder / "tiny-imagenet-200"
        for wnid in (root / "wnids.txt").read_text().split():
            _move(root / "train" / wnid / "images", target / "train" / wnid)
        table = (root / "val" / "val_annotations.txt").read_text()
        for line in table.splitlines():
            name, wnid = line.split("\t")[:2]
            _move(root / "val" / "images" / name, target / "val" / wnid / name)
        for name in ("wnids.txt", "words.txt"):
            _move(root / name, target / name)


def lay_out_flowers(archives, target):
    """Keep the class folders and the list of photographers."""
    with _unpacked(archives[0], target) as folder:
        root = folder / "flower_photos"
        for path in sorted(root.iterdir()):
            if path.is_dir():
                _move(path, target / "all" / path.name)
        _move(root / "LICENSE.txt", target / "LICENSE.txt")


def lay_out_cats_and_dogs(archives, target):
    """Keep every photograph that can be decoded; name the others in skipped.txt."""
    with _unpacked(archives[0], target) as folder:
        for name in ("Cat", "Dog"):
            for path in _photographs(folder / "PetImages" / name):
                _move(path, target / "all" / name.lower() / path.name)
    bad, _ = survey(sorted(target.glob("all/*/*.jpg")), size_px=64)
    names = [path.relative_to(target).as_posix() for path in bad]
    for path in bad:
        path.unlink()
    (target / "skipped.txt").write_text("".join(f"{name}\n" for name in names))
    if names:
        print(f"Left out, cannot be decoded: {', '.join(names)}", file=sys.stderr)


def lay_out_lfw(archives, target):
    """Keep a folder a person, and the pairs of the official protocol beside them."""
    images, pairs = archives
    with _unpacked(images, target) as folder:
        for path in sorted((folder / "lfw-deepfunneled").iterdir()):
            if path.is_dir():
                _move(path, target / "all" / path.name)
    shutil.copyfile(pairs, target / "pairs.txt")


def lay_out_stanford_dogs(archives, target):
    """Sort the breeds into the official train and test lists."""
    from scipy.io import loadmat

    images, lists = archives
    with _unpacked(images, target) as folder, _unpacked(lists, target) as tables:
        for part in ("train", "test"):
            table = loadmat(tables / f"{part}_list.mat")["file_list"]
            for cell in table.ravel():
                folder_name, file_name = str(np.squeeze(cell)).split("/")
                breed = folder_name.split("-", 1)[1]  # n02085620-Chihuahua
                source = folder / "Images" / folder_name / file_name
                _move(source, target / part / breed / file_name)


def lay_out_oxford_pets(archives, target):
    """Sort the breeds into the official trainval (here: train) and test lists.

    The trimaps of both go into one folder, since their names differ.
    """
    images, annotations = archives
    parts = {"train": "trainval.txt", "test": "test.txt"}
    with _unpacked(images, target) as folder, _unpacked(annotations, target) as tables:
        for part, table in parts.items():
            for line in (tables / "annotations" / table).read_text().splitlines():
                if line.startswith("#"):
                    continue
                stem = line.split()[0]
                breed = stem.rsplit("_", 1)[0]
                source = folder / "images" / f"{stem}.jpg"
                _move(source, target / part / breed / source.name)
                trimap = tables / "annotations" / "trimaps" / f"{stem}.png"
                _move(trimap, target / "trimaps" / trimap.name)


def lay_out_magnetic_tile(archives, target):
    """Sort the photographs by defect; their masks, named alike, into one folder."""
    with _unpacked(archives[0], target) as folder:
        root = folder / "Magnetic-tile-defect-datasets.-master"
        for name in ("Blowhole", "Break", "Crack", "Fray", "Free", "Uneven"):
            for path in _photographs(root / f"MT_{name}" / "Imgs"):
                _move(path.with_suffix(".png"), target / "masks" / f"{path.stem}.png")
                _move(path, target / "all" / name.lower() / path.name)


def lay_out_bsds500(archives, target):
    """Keep the 200 training photographs, which are the backgrounds of MNIST-M."""
    with _unpacked(archives[0], target) as folder:
        root = folder / "BSR" / "BSDS500" / "data" / "images" / "train"
        for path in _photographs(root):
            _move(path, target / "train" / path.name)


@contextmanager
def _unpacked(archive, target):
    """Unpack beside the target, so that moving is renaming."""
    with TemporaryDirectory(prefix=".unpacked-", dir=target.parent) as folder:
        root = extract(archive, Path(folder) / "all")
        try:
            yield root
        except FileNotFoundError as error:
            missing = Path(error.filename or "")
            if not missing.is_relative_to(root):  # it is another archive's
                raise
            raise ValueError(
                f"Got {archive} without {missing.relative_to(root)}, expected its "
                "authors' layout; delete it and fetch it again, or look whether they "
                "replaced it."
            ) from error


def _photographs(folder):
    found = sorted(folder.glob("*.jpg"))
    if not found:
        raise FileNotFoundError(errno.ENOENT, "no photographs", str(folder / "*.jpg"))
    return found


def _move(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(source, target)


def _write_cifar_part(batches, folder, class_names):
    from tqdm import tqdm

    records = np.concatenate([np.fromfile(path, np.uint8) for path in batches])
    records = records.reshape(-1, CIFAR_RECORD_BYTES)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    for name in class_names:
        (folder / name).mkdir(parents=True)
    labels = tqdm(records[:, 0].tolist(), desc=f"cifar10 {folder.name}")
    for row, label in enumerate(labels):
        image = Image.fromarray(np.ascontiguousarray(images[row]))
        image.save(folder / class_names[label] / f"{row:05}.png")
