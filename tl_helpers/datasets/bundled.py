"""What ships with the package: rendered solids, scenes, lungs and faces; digits."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tl_helpers import profiles
from tl_helpers.datasets.image_set import ImageSet, Provenance
from tl_helpers.scans import to_rgb

# side of a tile in the sheets
TILE_PX = {"solids": 64, "scenes": 96, "phantom_lungs": 48, "drawn_faces": 64}
DIGIT_PX = 32
DIGIT_NAMES = tuple("0123456789")
PRINTED_PER_CLASS = 200
FONTS = (
    "DejaVuSans DejaVuSans-Bold DejaVuSans-Oblique DejaVuSansMono DejaVuSerif "
    "DejaVuSerif-Bold DejaVuSerif-Italic STIXGeneral STIXGeneralBol STIXGeneralItalic "
    "cmb10 cmr10 cmss10 cmtt10"
).split()
PHOTOGRAPHS = (
    "china.jpg and flower.jpg of scikit-learn, Creative Commons Attribution 2.0, "
    "by danielbuechele and vultilion on Flickr"
)
DIGITS_CITATION = (
    "Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits, "
    "UCI Machine Learning Repository, doi:10.24432/C50P49"
)


@functools.cache
def load_solids(part="studio"):
    """Load one domain of the rendered shapes.

    Args:
        part: "studio" (plain sweep of paper) or "photo" (cut from photographs).

    Returns:
        ImageSet of 1,800 images, 64x64, ten classes. Extras, one row an image:
        mask bool (64, 64), True on the object; box int16 (4,), x0, y0, x1, y1 in
        px, the last two exclusive; depth float32 (64, 64), distance from the
        camera along its axis in object units (an unscaled shape has a radius of
        about 1), NaN off the object; pose float32
        (4,), unit quaternion (w, x, y, z) from the shape's axes to the camera's.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged.
    """
    folder = profiles.data_dir() / "solids"
    facts = _read(folder / f"{part}.npz", _read_arrays, "pose", "depth_scale")
    count = len(facts["labels"])
    tile_px = TILE_PX["solids"]
    images = _read(folder / f"{part}.webp", _read_tiles, count, tile_px)
    codes = _read(folder / f"{part}_depth.webp", _read_tiles, count, tile_px)[..., 0]
    mask = codes > 0
    near, step = facts["depth_scale"]
    depth = np.where(mask, near + step * (codes.astype(np.float32) - 1), np.nan)
    return ImageSet(
        images,
        facts["labels"].astype(np.int64),
        tuple(facts["class_names"].tolist()),
        _rendered("solids", part, count),
        {
            "mask": mask,
            "box": boxes_of(mask),
            "depth": depth.astype(np.float32),
            "pose": facts["pose"],
        },
    )


@functools.cache
def load_scenes(part="studio"):
    """Load one domain of the rendered scenes: one to five solids on one ground.

    Args:
        part: "studio" (plain sweep of paper) or "photo" (cut from photographs).

    Returns:
        ImageSet of 600 images, 96x96; the label is the class that most pixels show.
        Extras, one row an image of up to k = 5 objects: objects uint8 (96, 96), 0 on
        the ground, i on the i-th object, counted from 1; pixel_labels uint8 (96, 96),
        0 on the ground, 1 + class on an object; boxes float32 (k, 4), x0, y0, x1, y1
        in px of what can be seen, the last two exclusive, NaN where there is no
        object; box_labels int64 (k,), -1 there; visible float32 (k,), share of the
        object's own pixels that no other hides, in (0, 1], 0 there.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged.
    """
    folder = profiles.data_dir() / "scenes"
    facts = _read(folder / f"{part}.npz", _read_arrays, "visible")
    labels = facts["labels"].astype(np.int64)
    count, most = labels.shape
    tile_px = TILE_PX["scenes"]
    images = _read(folder / f"{part}.webp", _read_tiles, count, tile_px)
    sheet = folder / f"{part}_objects.webp"
    objects = _read(sheet, _read_tiles, count, tile_px)[..., 0]
    codes = np.pad(labels + 1, ((0, 0), (1, 0)))  # (n, 1 + k): ground, then objects
    pixel_labels = np.take_along_axis(codes, objects.reshape(count, -1), axis=1)
    pixel_labels = pixel_labels.reshape(objects.shape).astype(np.uint8)
    boxes = [boxes_or_nan(objects == i) for i in range(1, most + 1)]
    class_names = tuple(facts["class_names"].tolist())
    pixels = [(pixel_labels == 1 + k).sum((1, 2)) for k in range(len(class_names))]
    return ImageSet(
        images,
        np.argmax(pixels, axis=0),
        class_names,
        _rendered("scenes", part, count),
        {
            "objects": objects,
            "pixel_labels": pixel_labels,
            "boxes": np.stack(boxes, axis=1),
            "box_labels": labels,
            "visible": facts["visible"],
        },
    )


@functools.cache
def load_phantom_lungs(part="a"):
    """Load the slices of one scanner through the phantom lungs, none of them real.

    Args:
        part: "a" (100 patients; thin slices, smooth, little noise) or "b" (50 others;
            thick slices, sharp, much noise).

    Returns:
        ImageSet of 48x48 px of 1 mm, five to nine neighbouring axial slices a nodule,
        one to four nodules a patient: split by patient, or the same nodule is on both
        sides. The images show three windows (`scans.to_rgb`). The label is the
        nodule's, 1 for suspicious, drawn with a chance that depends on its size, edge
        and texture. Extras, one row a slice: hu int16 (48, 48), HU in steps of 8;
        mask bool (48, 48), True on the nodule; pixel_labels uint8 (48, 48), 0 beside
        it, 1 + label on it; patient, nodule int64 (n,), numbers that no two share,
        over both parts; slice int64 (n,), from the middle one, 1.25 mm apart;
        volume_mm3 float32 (n,), of the whole nodule; spiculation, texture float32
        (n,), in [0, 1]; chance float32 (n,), with which the label was drawn.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged.
    """
    folder = profiles.data_dir() / "phantom_lungs"
    numbers = "patient nodule slice volume_mm3 spiculation texture chance".split()
    facts = _read(folder / f"{part}.npz", _read_arrays, "hu_scale", *numbers)
    labels, count = facts["labels"].astype(np.int64), len(facts["labels"])
    tile_px = TILE_PX["phantom_lungs"]
    codes = _read(folder / f"{part}.webp", _read_tiles, count, tile_px)[..., 0]
    mask = _read(folder / f"{part}_mask.webp", _read_tiles, count, tile_px)[..., 0] > 0
    lowest, step = facts["hu_scale"]
    hu = (lowest + step * codes.astype(np.int16)).astype(np.int16)
    extras = {"hu": hu, "mask": mask}
    extras["pixel_labels"] = (mask * (1 + labels[:, None, None])).astype(np.uint8)
    for name in numbers:
        is_whole = facts[name].dtype.kind == "i"
        extras[name] = facts[name].astype(np.int64) if is_whole else facts[name]
    provenance = Provenance(
        f"phantom_lungs ({part})",
        "phantom: rendered by data/render_lungs.py of this repository, no scan of "
        "anybody; nothing learnt on it is a clinical claim",
        "MIT like the code",
        "this repository, data/phantom_lungs.md",
        f"{count:,} slices of {len(np.unique(facts['nodule']))} nodules, "
        f"{tile_px}x{tile_px} px",
    )
    class_names = tuple(facts["class_names"].tolist())
    return ImageSet(to_rgb(hu), labels, class_names, provenance, extras)


@functools.cache
def load_drawn_faces(part="train"):
    """Load one part of the drawn people, none of whom is anybody.

    Args:
        part: "train" (44 people) or "held_out" (32 others, for verification).

    Returns:
        ImageSet of 20 pictures a person, 64x64; the label is the person, and the parts
        share none. Extras, one row a picture, drawn without regard to the person: pose
        float32 (n, 3), yaw, pitch and roll in degrees; light float32 (n, 3), unit
        vector towards it (x right, y up, z towards the viewer); strength float32 (n,),
        of the light, in [0.45, 1.05]; tone float32 (n,), of the skin, 0 dark to 1
        light; smile float32 (n,), below 0 for corners of the mouth that hang;
        has_glasses bool (n,).

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged.
    """
    folder = profiles.data_dir() / "drawn_faces"
    drawn = "pose light strength tone smile has_glasses".split()
    facts = _read(folder / f"{part}.npz", _read_arrays, *drawn)
    count = len(facts["labels"])
    tile_px = TILE_PX["drawn_faces"]
    images = _read(folder / f"{part}.webp", _read_tiles, count, tile_px)
    extras = {name: facts[name] for name in drawn}
    extras["pose"] = extras["pose"].astype(np.float32)
    return ImageSet(
        images,
        facts["labels"],
        tuple(facts["class_names"].tolist()),
        _rendered("drawn_faces", part, count),
        extras,
    )


def boxes_of(mask):
    """Smallest boxes around masks.

    Args:
        mask: bool (n, height, width), each with at least one True.

    Returns:
        int16 (n, 4), x0, y0, x1, y1 in px; x1 and y1 are exclusive.
    """
    columns, rows = mask.any(1), mask.any(2)
    edges = [
        columns.argmax(1),
        rows.argmax(1),
        columns.shape[1] - columns[:, ::-1].argmax(1),
        rows.shape[1] - rows[:, ::-1].argmax(1),
    ]
    return np.stack(edges, axis=1).astype(np.int16)


def boxes_or_nan(mask):
    """Smallest boxes around masks, of which some may be empty.

    Args:
        mask: bool (n, height, width).

    Returns:
        float32 (n, 4), as `boxes_of`; a row of NaN for an empty mask.
    """
    boxes = boxes_of(mask).astype(np.float32)
    boxes[~mask.any((1, 2))] = np.nan
    return boxes


def _rendered(name, part, count):
    side_px = TILE_PX[name]
    return Provenance(
        f"{name} ({part})",
        f"rendered by data/{_script_of(name)} of this repository",
        f"MIT like the code; photo contains {PHOTOGRAPHS}"
        if part == "photo"
        else "MIT like the code",
        f"this repository, data/{name}.md",
        f"{count:,} images, {side_px}x{side_px} px",
    )


def _read(path, reader, *arguments):
    if not path.exists():
        raise FileNotFoundError(
            f"Got no file {path}, expected it to ship with the package; reinstall it "
            f"or run python data/{_script_of(path.parent.name)} in a clone."
        )
    try:
        return reader(path, *arguments)
    except Exception as error:
        raise ValueError(
            f"Got a damaged file {path} ({type(error).__name__}), expected it as "
            "shipped; reinstall the package or run python data/"
            f"{_script_of(path.parent.name)}."
        ) from error


def _script_of(name):
    return f"render_{name.removeprefix('phantom_').removeprefix('drawn_')}.py"


def _read_arrays(path, *names):
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in ("labels", "class_names", *names)}


def _read_tiles(path, count, tile_px):
    """Cut a sheet into uint8 (count, tile_px, tile_px, 3)."""
    from PIL import Image

    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    rows, columns = pixels.shape[0] // tile_px, pixels.shape[1] // tile_px
    tiles = pixels.reshape(rows, tile_px, columns, tile_px, 3).swapaxes(1, 2)
    tiles = tiles.reshape(-1, tile_px, tile_px, 3)
    if len(tiles) < count:
        raise ValueError(f"{len(tiles)} tiles for {count} images")
    return tiles[:count]


@functools.cache
def load_digits(part="all"):
    """Load scikit-learn's 1,797 handwritten digits, white on black, 32x32."""
    grey, labels = _handwritten()
    provenance = Provenance(
        "digits",
        "sklearn.datasets.load_digits, 8x8 px enlarged to 32x32",
        "Creative Commons Attribution 4.0 (UCI)",
        DIGITS_CITATION,
        "1,797 images, 32x32 px",
    )
    images = np.repeat(grey[..., None], 3, axis=3)
    return ImageSet(images, labels, DIGIT_NAMES, provenance)


@functools.cache
def load_digits_on_photos(part="all"):
    """Load the same digits in the way of MNIST-M: |photograph - digit|.

    Returns:
        ImageSet like `load_digits`; extra patch int64 (n, 3): number of the
        photograph (0 china, 1 flower), top and left of the crop in px.

    Source: Ganin & Lempitsky 2015 (arXiv:1409.7495), section 4.
    """
    from sklearn.datasets import load_sample_images

    grey, labels = _handwritten()
    photographs = np.stack(load_sample_images().images).astype(np.int16)
    limits = [2, *(np.array(photographs.shape[1:3]) - DIGIT_PX + 1)]
    patch = np.random.default_rng(0).integers(limits, size=(len(grey), 3))
    steps = np.arange(DIGIT_PX)
    rows = patch[:, 1, None, None] + steps[:, None]
    columns = patch[:, 2, None, None] + steps
    crops = photographs[patch[:, 0, None, None], rows, columns]
    images = np.abs(crops - grey[..., None]).astype(np.uint8)
    provenance = Provenance(
        "digits_on_photos",
        "sklearn.datasets.load_digits against crops of load_sample_images",
        f"Creative Commons Attribution 4.0 (digits); {PHOTOGRAPHS}",
        f"{DIGITS_CITATION}; recipe of Ganin & Lempitsky 2015, arXiv:1409.7495",
        "1,797 images, 32x32 px",
    )
    return ImageSet(images, labels, DIGIT_NAMES, provenance, {"patch": patch})


@functools.cache
def load_printed_digits(part="all"):
    """Load 2,000 digits printed in matplotlib's fonts, white on black, 32x32.

    Returns:
        ImageSet; extra font int64 (n,), row of `FONTS`.
    """
    rng = np.random.default_rng(0)
    labels = np.arange(PRINTED_PER_CLASS * 10) % 10
    fonts = rng.integers(len(FONTS), size=len(labels))
    pairs = zip(labels, fonts, strict=True)
    grey = np.stack([_print_digit(rng, str(digit), font) for digit, font in pairs])
    provenance = Provenance(
        "printed_digits",
        "drawn here with the fonts that matplotlib brings along",
        "MIT like the code; fonts: DejaVu (Bitstream Vera), STIX and BaKoMa licences",
        "this repository, tl_helpers/datasets/bundled.py",
        "2,000 images, 32x32 px",
    )
    images = np.repeat(grey[..., None], 3, axis=3)
    return ImageSet(images, labels, DIGIT_NAMES, provenance, {"font": fonts})


@functools.cache
def _handwritten():
    """Return digits uint8 (1797, 32, 32), [0, 255], and labels int64 (1797,)."""
    from PIL import Image
    from sklearn.datasets import load_digits as load_small

    small = load_small()
    tiles = np.rint(small.images * (255 / 16)).astype(np.uint8)
    size = (DIGIT_PX, DIGIT_PX)
    grey = [Image.fromarray(tile).resize(size, Image.BICUBIC) for tile in tiles]
    return np.stack(grey), small.target


@functools.cache
def _font(row, size_px):
    import matplotlib
    from PIL import ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(folder / f"{FONTS[row]}.ttf", size_px)


def _print_digit(rng, digit, font):
    """Draw a digit, twice too large, turned and shifted -> uint8 (32, 32)."""
    from PIL import Image, ImageDraw

    canvas = Image.new("L", (2 * DIGIT_PX, 2 * DIGIT_PX))
    place = DIGIT_PX + rng.uniform(-5, 5, size=2)
    ImageDraw.Draw(canvas).text(
        tuple(place),
        digit,
        fill=255,
        font=_font(font, int(rng.integers(38, 57))),
        anchor="mm",
        stroke_width=int(rng.integers(3)),
        stroke_fill=255,
    )
    turned = canvas.rotate(rng.uniform(-20, 20), Image.BICUBIC)
    return np.asarray(turned.resize((DIGIT_PX, DIGIT_PX), Image.BOX))


class Bundled(NamedTuple):
    """A bundled set: the function that loads one part, and the names of its parts."""

    load: Callable
    parts: tuple


BUNDLED = {
    "solids": Bundled(load_solids, ("studio", "photo")),
    "scenes": Bundled(load_scenes, ("studio", "photo")),
    "phantom_lungs": Bundled(load_phantom_lungs, ("a", "b")),
    "drawn_faces": Bundled(load_drawn_faces, ("train", "held_out")),
    "digits": Bundled(load_digits, ("all",)),
    "digits_on_photos": Bundled(load_digits_on_photos, ("all",)),
    "printed_digits": Bundled(load_printed_digits, ("all",)),
}
