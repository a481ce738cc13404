"""Real photographs by name: the mirror first, then the cache, then the network."""

import csv
import os
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tl_helpers import profiles
from tl_helpers.datasets.bundled import boxes_or_nan
from tl_helpers.datasets.catalogue import HELPERS, REAL
from tl_helpers.datasets.files import (
    ImageFiles,
    is_hidden,
    read_class_folders,
    resize_pixels,
)
from tl_helpers.datasets.image_set import ImageSet
from tl_helpers.datasets.medical import read_lung_nodules, read_medmnist
from tl_helpers.datasets.places import IGNORED, NO_BOX
from tl_helpers.downloads import DownloadError, fetch
from tl_helpers.storage import whole_or_nothing

PATCH_SEEDS = {"train": 0, "test": 1}
TRIMAP_BACKGROUND, TRIMAP_BORDER = 2, 3  # of the pets; 1 is the pet
OUTSIDE = 1  # value around a mask that was fitted into a square


def load_real(name, part=None, size_px=None):
    """Load a part of a real data set.

    It is looked for in `TL_DATA_DIR`, then in the cache, and downloaded last.

    Args:
        name: a key of `REAL`.
        part: one of the set's parts; the first by default.
        size_px: int, height and width of the images; the set's own by default.

    Returns:
        ImageSet. Some carry extras, of which `places.targets_of` makes targets:

        - `mnist_m`: patch int64 (n, 3), photograph, row and column in px of the
          background's upper left corner.
        - `oxford_pets`: mask bool (n, size_px, size_px), True on the pet and on its
          border of a few px, which the authors leave undecided; pixel_labels uint8
          (n, size_px, size_px), 0 on the ground, 1 + breed on the pet, 255 on the
          border; box float32 (n, 4), x0, y0, x1, y1 of the mask in px, the last two
          exclusive, NaN where the centre square shows nothing of the pet. A mirror
          made before it kept the trimaps gives none of them.
        - `magnetic_tile`: pixel_labels, 0 where the tile is sound, 1 + class on the
          defect, 255 around the tile, which is fitted whole into the square; group
          int64 (n,), pictures of one tile (only in a mirror that has groups.csv: the
          official archive does not tell).
        - `neu_det`: boxes float32 (n, k, 4), in px, NaN where an image has fewer;
          box_labels int64 (n, k), -1 there.
        - `lung_nodules`, whose images show three windows (`scans.to_rgb`): hu int16
          (n, 51, 51), HU, cut at -1200 and 400 in the file; patient, nodule int64 (n,).
          "nodules" has the middle axial slice of each of 134, "slices" five a nodule
          with slice int64 (n,), -6 to 6 voxels from the middle: mask bool
          (n, 51, 51), empty where a small nodule has ended; volume_voxels int64 (n,),
          voxels of about 1 mm, which is not stated; the ratings of one annotation,
          int64 (n,), 1 to 5: malignancy, of which 4 and 5 are labelled suspicious and
          3 means "cannot say", lobulation, sphericity, margin, texture, spiculation,
          subtlety. "nodules" also has planes_hu int16 (n, 51, 51, 3), axial, coronal,
          sagittal. "patches" holds 801 pieces of 32x32 px with and without a nodule.

        `pneumoniamnist` and `nodulemnist3d` are MedMNIST's; of a nodule's volume the
        three planes through its middle are red, green and blue, and "malignant" is what
        radiologists suspected, no biopsy. Neither names patients, and 8 X-rays of "val"
        are in "train", too.

    Raises:
        ValueError: unknown name or part.
        FileNotFoundError: a set that must be fetched by hand, half of a set, or a part
            that lacks classes of the others.
        DownloadError: it is on no disk and cannot be downloaded.
    """
    spec = describe(name)
    part = part or spec.parts[0]
    if part not in spec.parts:
        raise ValueError(
            f"Got part {part!r} of {name}, expected one of {', '.join(spec.parts)}; "
            "choose one of them."
        )
    read = READERS.get(name, _read_folders)
    images, labels, class_names, extras = read(name, part, size_px or spec.size_px)
    image_set = ImageSet(images, labels, class_names, spec.provenance, extras)
    return image_set.resized(size_px) if size_px else image_set


def describe(name):
    """Return the `RealSet` of a name, helpers included.

    Raises:
        ValueError: unknown name.
    """
    known = {**REAL, **HELPERS}
    if name not in known:
        raise ValueError(
            f"Got data set {name!r}, expected one of {', '.join(known)}; "
            "check the spelling."
        )
    return known[name]


def find(name):
    """Look for a set on the disk, without network.

    Returns:
        Path of its folder (or mnist.npz) in `TL_DATA_DIR` or the cache, or None.

    Raises:
        FileNotFoundError: `TL_DATA_DIR` is not there, or one level too high.
    """
    entry, mirror = entry_name(name), profiles.mirror_dir()
    if mirror is not None and (mirror / entry).exists():
        return mirror / entry
    if mirror is not None and (mirror / "datasets" / entry).exists():
        raise FileNotFoundError(
            f"Got TL_DATA_DIR={mirror}, which holds {entry} one level below, expected "
            f"the data sets themselves; set TL_DATA_DIR={mirror / 'datasets'}."
        )
    cached = profiles.cache_dir() / "datasets" / entry
    return cached if cached.exists() else None


def entry_name(name):
    """Name of a set's folder or file in a mirror."""
    return describe(name).entry or name


def locate(name):
    """Find a set on the disk, or download it into the cache.

    Returns:
        Path of its folder (or mnist.npz).
    """
    path = find(name)
    if path is None:
        path = profiles.cache_dir() / "datasets" / entry_name(name)
        prepare_set(name, path)
    return path


def prepare_set(name, target):
    """Download the official archives and lay them out; all of it or nothing.

    Args:
        name: a key of `REAL` or `HELPERS` that is not made from other sets.
        target: Path that does not exist yet.

    Raises:
        FileNotFoundError: no stable official archive exists.
        DownloadError: no network, or another fault of the download.
    """
    spec, mirror = describe(name), profiles.mirror_dir()
    if mirror is not None:
        held = ", ".join(sorted(path.name for path in mirror.glob("[!.]*"))[:8])
        print(
            f"{name} is not in TL_DATA_DIR={mirror}, which holds {held or 'nothing'}.",
            file=sys.stderr,
        )
    if not spec.archives:
        layout = spec.entry or f"{name}/<{'|'.join(spec.parts)}>/<class>/"
        raise FileNotFoundError(
            f"{name} is not in TL_DATA_DIR and its authors offer no archive that a "
            f"program can fetch; get it by hand from {spec.provenance.origin}, and put "
            f"it where TL_DATA_DIR/{layout} is looked for."
        )
    folder = profiles.cache_dir() / "downloads" / name
    try:
        paths = [
            fetch(archive.url, folder, archive.file_name, archive.checksum)
            for archive in spec.archives
        ]
    except DownloadError as error:
        raise DownloadError(
            f"{error} Or set TL_DATA_DIR to a folder filled by 'tl-helpers mirror'."
        ) from error
    with whole_or_nothing(target) as half_made:
        spec.lay_out(paths, half_made)
    for path in paths:
        path.unlink(missing_ok=True)  # the pictures are laid out; halve the disk use


def blend_with_patches(digits, photographs, seed):
    """Put digits on photographs: absolute difference with a random patch.

    image = |digit - patch|, channel by channel.

    Args:
        digits: uint8 (n, height, width, 3), RGB, [0, 255].
        photographs: list of uint8 (H, W, 3), RGB, H >= height, W >= width.
        seed: int.

    Returns:
        (images, positions): uint8 (n, height, width, 3); int64 (n, 3), photograph,
        row and column in px of each patch's upper left corner.

    Raises:
        ValueError: a photograph is smaller than the digits.

    Source: Ganin et al. 2016 (arXiv:1505.07818), section 5.2.4.
    """
    height, width = digits.shape[1:3]
    sizes = np.array([photograph.shape[:2] for photograph in photographs])
    limits = sizes - (height, width) + 1  # (photographs, 2)
    if limits.min() < 1:
        raise ValueError(
            f"Got a photograph of {sizes.min(axis=0)} px, expected at least "
            f"{height} x {width}; leave small ones out."
        )
    rng = np.random.default_rng(seed)
    which = rng.integers(len(photographs), size=len(digits))
    corners = rng.integers(0, limits[which])  # (n, 2)
    patches = np.empty_like(digits)
    for i, (photograph, (row, column)) in enumerate(zip(which, corners, strict=True)):
        patches[i] = photographs[photograph][
            row : row + height, column : column + width
        ]
    images = np.maximum(digits, patches) - np.minimum(digits, patches)
    return images, np.column_stack([which, corners])


def _read_folders(name, part, size_px):
    folder = locate(name) / part
    if not folder.is_dir():
        raise FileNotFoundError(
            f"Got {folder.parent} without its folder {part!r}, expected "
            f"{', '.join(describe(name).parts)} in it; remove it or fill it again."
        )
    paths, labels, class_names = read_class_folders(folder)
    _check_classes(name, folder, np.array(class_names)[np.unique(labels)].tolist())
    return ImageFiles(paths, size_px), labels, class_names, {}


def _check_classes(name, folder, found):
    """Refuse a part without a class of the others: its classes would be renumbered.

    Where all parts hold the same classes, and fewer than the set has, somebody took
    a part of the set: that is told.
    """
    spec = describe(name)
    others = [folder.parent / part for part in spec.parts if part != folder.name]
    known = {
        entry.name
        for other in others
        if other.is_dir()
        for entry in other.iterdir()
        if entry.is_dir() and not is_hidden(entry.name)
    }
    if len(found) == spec.num_classes and known <= set(found):
        return
    lacking = sorted(known - set(found))
    missing = f"no image of {', '.join(lacking[:5])} and " if lacking else ""
    got = (
        f"Got {missing}{len(found)} classes in {folder} ({', '.join(found[:10])}), "
        f"expected the {spec.num_classes} of {name}"
    )
    if known == set(found) and len(found) < spec.num_classes:
        warnings.warn(
            f"{got}; its parts agree, so this is a part of the set: compare no number "
            "with those of the whole.",
            stacklevel=2,
        )
        return
    raise FileNotFoundError(
        f"{got}; remove {folder.parent} and fill it again, or load a part of the set "
        f"as your own: load_folder({str(folder)!r})."
    )


def _read_lfw(name, part, size_px):
    """Take any number of people: whoever is there keeps the own name."""
    folder, spec = locate(name) / part, describe(name)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"Got {folder.parent} without its folder {part!r}, expected a folder a "
            "person in it; remove it or fill it again."
        )
    paths, labels, class_names = read_class_folders(folder)
    if len(class_names) < spec.num_classes:
        warnings.warn(
            f"Got {len(class_names)} people in {folder}, expected the "
            f"{spec.num_classes:,} of {name}; this is a part of the set: compare no "
            "number with those of the whole.",
            stacklevel=2,
        )
    return ImageFiles(paths, size_px), labels, class_names, {}


def _read_tiny_imagenet(name, part, size_px):
    """Call classes by the first of their names, where only one class has it."""
    images, labels, wnids, extras = _read_folders(name, part, size_px)
    words = (locate(name) / "words.txt").read_text(encoding="utf-8")
    table = dict(line.split("\t", 1) for line in words.splitlines() if "\t" in line)
    names = [table.get(wnid, wnid).split(",")[0].strip() for wnid in wnids]
    unique = [
        word if names.count(word) == 1 else wnid
        for word, wnid in zip(names, wnids, strict=True)
    ]
    return images, labels, tuple(unique), extras


def _read_oxford_pets(name, part, size_px):
    images, labels, class_names, extras = _read_folders(name, part, size_px)
    folder = locate(name) / "trimaps"
    if folder.is_dir():
        trimaps = _read_masks(folder, images.paths, size_px)
        mask = trimaps != TRIMAP_BACKGROUND
        pixel_labels = np.where(mask, 1 + labels[:, None, None], 0).astype(np.uint8)
        pixel_labels[trimaps == TRIMAP_BORDER] = IGNORED
        extras = {"mask": mask, "pixel_labels": pixel_labels, "box": boxes_or_nan(mask)}
    return images, labels, class_names, extras


def _read_magnetic_tile(name, part, size_px):
    """Keep the whole tile, which is no square: a cut would lose half of the breaks."""
    files, labels, class_names, _ = _read_folders(name, part, size_px)
    paths, folder, side = files.paths, locate(name) / "masks", (size_px, size_px)
    with ThreadPoolExecutor() as pool:
        masks = pool.map(_open_mask, [folder / f"{Path(x).stem}.png" for x in paths])
        pairs = list(pool.map(lambda *pair: _padded(*pair, side), paths, masks))
    images, masks = map(np.stack, zip(*pairs, strict=True))
    pixel_labels = np.where(masks == 255, 1 + labels[:, None, None], 0)
    pixel_labels[masks == OUTSIDE] = IGNORED
    extras = {"pixel_labels": pixel_labels.astype(np.uint8)}
    table = locate(name) / "groups.csv"
    if table.exists():
        group_of = {row["file"]: int(row["group"]) for row in _rows(table)}
        extras["group"] = np.array([group_of[x] for x in _listed(name, paths)])
    return images, labels, class_names, extras


def _padded(path, mask, side):
    """Fit a photograph and its mask into a square, black and `OUTSIDE` around them."""
    with Image.open(path) as photograph:
        image = ImageOps.pad(photograph.convert("RGB"), side)
    mask = mask.point(lambda value: 255 * (value > 127))
    mask = ImageOps.pad(mask, side, Image.Resampling.NEAREST, color=OUTSIDE)
    return np.asarray(image), np.asarray(mask)


def _read_neu_det(name, part, size_px):
    """Scale the boxes to the images' size; a box may be of another class."""
    images, labels, class_names, _ = _read_folders(name, part, size_px)
    spec, found = describe(name), {x: [] for x in _listed(name, images.paths)}
    for row in _rows(locate(name) / "boxes.csv"):
        if row["file"] in found:
            box = [float(row[side]) for side in ("x0", "y0", "x1", "y1")]
            found[row["file"]].append((class_names.index(row["class"]), box))
    most = max(map(len, found.values()))
    boxes = np.full((len(labels), most, 4), np.nan, np.float32)
    box_labels = np.full((len(labels), most), NO_BOX)
    for i, entries in enumerate(found.values()):
        for k, (label, box) in enumerate(entries):
            box_labels[i, k], boxes[i, k] = label, box
    boxes *= size_px / spec.size_px
    extras = {"boxes": boxes, "box_labels": box_labels}
    return images, labels, class_names, extras


def _listed(name, paths):
    """Names of files as a table of the mirror lists them: <part>/<class>/<file>."""
    return [Path(path).relative_to(locate(name)).as_posix() for path in paths]


def _rows(table):
    """Rows of a CSV file as dictionaries, or a sentence where it is not there."""
    try:
        with open(table, newline="", encoding="utf-8") as lines:
            return list(csv.DictReader(lines))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"Got {table.parent} without {table.name}, expected it beside the images; "
            "fill the folder again."
        ) from error


def _read_masks(folder, paths, size_px):
    """Read a mask an image, uint8 (n, size_px, size_px), cut like the images."""

    def read(path):
        mask = _open_mask(folder / f"{Path(path).stem}.png")
        return ImageOps.fit(mask, (size_px, size_px), Image.Resampling.NEAREST)

    with ThreadPoolExecutor() as pool:
        return np.stack(list(map(np.asarray, pool.map(read, paths))))


def _open_mask(path):
    try:
        with Image.open(path) as mask:
            return mask.convert("L")
    except OSError as error:
        raise ValueError(
            f"Got mask {path}, which cannot be read: {error}; expected one for every "
            "photograph: remove the set and fill it again."
        ) from error


def _read_svhn(name, part, size_px):
    """Read uint8 X (32, 32, 3, n), RGB, and y (n, 1), where 10 stands for digit 0."""
    from scipy.io import loadmat

    path = locate(name) / f"{part}_32x32.mat"
    if not path.exists():
        raise FileNotFoundError(
            f"Got {path.parent} without {path.name}, expected both official files in "
            "it; remove it or fill it again."
        )
    try:
        arrays = loadmat(path, variable_names=("X", "y"))
        images = np.ascontiguousarray(arrays["X"].transpose(3, 0, 1, 2))
    except Exception as error:  # SciPy's reader raises whatever a bad file provokes
        raise ValueError(
            f"Got {path}, which cannot be read: {error}; expected the official file: "
            f"remove {path.parent} and load {name} again."
        ) from error
    labels = arrays["y"].ravel() % 10
    return resize_pixels(images, size_px), labels, tuple("0123456789"), {}


def _read_mnist(_, part, size_px):
    with np.load(locate("mnist"), allow_pickle=False) as arrays:
        grey, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
    images = np.repeat(grey[..., np.newaxis], 3, axis=-1)
    return resize_pixels(images, size_px), labels, tuple("0123456789"), {}


def _read_mnist_m(_, part, size_px):
    digits, labels, class_names, _ = _read_mnist("mnist", part, 28)
    folder = locate("bsds500") / "train"
    photographs = [
        np.asarray(Image.open(folder / file).convert("RGB"))
        for file in sorted(os.listdir(folder))
        if file.endswith(".jpg")
    ]
    images, positions = blend_with_patches(digits, photographs, PATCH_SEEDS[part])
    extras = {"patch": positions}
    return resize_pixels(images, size_px), labels, class_names, extras


def _read_lung_nodules(name, part, _):
    return read_lung_nodules(locate(name), part)


def _read_medmnist(name, part, _):
    return read_medmnist(locate(name), name, part)


READERS = {
    "lfw": _read_lfw,
    "lung_nodules": _read_lung_nodules,
    "magnetic_tile": _read_magnetic_tile,
    "mnist": _read_mnist,
    "mnist_m": _read_mnist_m,
    "neu_det": _read_neu_det,
    "nodulemnist3d": _read_medmnist,
    "oxford_pets": _read_oxford_pets,
    "pneumoniamnist": _read_medmnist,
    "svhn": _read_svhn,
    "tiny_imagenet": _read_tiny_imagenet,
}
