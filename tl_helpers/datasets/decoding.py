"""One image file of any format -> RGB uint8, or a sentence that says why not."""

import contextlib
import os
import stat
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from tl_helpers.datasets.levels import COLOUR, SIXTEEN_BITS, Levels, likely_range

MAX_PIXELS = 80_000_000  # about 240 MB decoded
MAX_SIDE_PX = 2**16  # 70 million rows of one pixel take half a minute
# What Pillow makes of a PNG's grey or colour values, but not of its transparent one.
TRANSPARENT_SCALE = {"L;2": 85, "L;4": 17, "RGB;16B": 1 / 256}
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0  # of TIFF; Pillow turns 8 bits, but no more
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def decode_image(path, size_px, pixel_range=None):
    """Read one image file, upright, cropped to its centre square and resized.

    Transparent pixels come out on white; of an animation the first frame is taken;
    grey values of more than 8 bits are scaled, not clipped.

    Args:
        path: str or Path.
        size_px: int >= 1.
        pixel_range: (black, white), the grey values that become 0 and 255, for files
            of more than 8 bits; by default (0, 65535) for 16 bits.

    Returns:
        uint8 (size_px, size_px, 3), RGB, [0, 255].

    Raises:
        ValueError: no image, a truncated one, one with values of unknown range, or
            one of more than MAX_PIXELS pixels or MAX_SIDE_PX a side.
    """
    pixels, levels = _decode(path, size_px, pixel_range)
    if pixels is None:
        raise ValueError(
            f"Got {path} with values from {levels.low:g} to {levels.high:g}, expected "
            "8 or 16 bits; name the values of black and white, such as "
            f"pixel_range={likely_range(*levels[:2])}."
        )
    return pixels


def decode_and_judge(path, size_px, pixel_range=None):
    """Decode as `decode_image` does, and tell what values the file holds.

    Args:
        path: str or Path.
        size_px: int >= 1.
        pixel_range: as in `decode_image`.

    Returns:
        (pixels, Levels); pixels None where the range of the values is unknown.

    Raises:
        ValueError: as `decode_image`.
    """
    pixels, levels = _decode(path, size_px, pixel_range)
    if levels is None:
        levels = Levels(int(pixels.min()), int(pixels.max()), "8 bits")
    return pixels, levels


def _decode(path, size_px, pixel_range):
    """Return pixels and, where the file has more than 8 bits, its Levels."""
    try:
        check_is_file(path)
        with open(path, "rb") as file, _open(file) as image:
            _reduce(image, size_px)
            raw_mode = _raw_mode(image)
            image.load()
            _scale_transparent_value(image, raw_mode)
            levels = _levels(image, raw_mode)
            if levels and levels.kind == "unknown" and pixel_range is None:
                return None, levels
            is_one_channel = levels and levels.kind != COLOUR
            rgb = _scaled(image, pixel_range) if is_one_channel else to_rgb(image)
            upright = ImageOps.exif_transpose(rgb)
    except Exception as error:  # Pillow's readers raise whatever a bad file provokes
        raise ValueError(
            f"Got {path} (class folder {Path(path).parent.name!r}), which cannot be "
            f"read: {error}; expected a whole image of at most "
            f"{MAX_PIXELS // 10**6} million pixels and {MAX_SIDE_PX} px a side: "
            f"{_way_out(path)}."
        ) from error
    square = ImageOps.fit(upright, (size_px, size_px), Image.Resampling.BILINEAR)
    return np.asarray(square), levels


def _open(file):
    """Open with Pillow, whose own `open` refuses a large JPEG before it is reduced."""
    is_jpeg = file.read(3) == b"\xff\xd8\xff"
    file.seek(0)
    try:
        return JpegImageFile(file) if is_jpeg else Image.open(file)
    except UnidentifiedImageError:
        raise ValueError("no format that Pillow knows") from None


def _reduce(image, size_px):
    """Decode a JPEG at a fraction of its size; refuse what is too large even so."""
    if image.format == "EPS":
        raise ValueError("PostScript is a program, which may never end")
    _check_size(image, 4 * MAX_PIXELS if image.format == "JPEG" else MAX_PIXELS)
    # Twice the wanted size leaves enough to average.
    image.draft(None, (2 * size_px, 2 * size_px))
    _check_size(image, MAX_PIXELS)


def _scale_transparent_value(image, raw_mode):
    clear, scale = image.info.get("transparency"), TRANSPARENT_SCALE.get(raw_mode)
    if clear is not None and scale:
        scaled = tuple(int(scale * value) for value in np.ravel(clear))
        image.info["transparency"] = scaled if len(scaled) == 3 else scaled[0]


def check_is_file(path):
    """Refuse what would keep a reader waiting.

    Args:
        path: str or Path.

    Returns:
        os.stat_result.

    Raises:
        ValueError: a folder, a pipe, a socket or a device.
        OSError: nothing is there, or it may not be looked at.
    """
    status = os.stat(path)
    if stat.S_ISREG(status.st_mode):
        return status
    fault = "is a pipe, a socket or a device"
    if stat.S_ISDIR(status.st_mode):
        fault = "is a folder that cannot be listed, or that a link led to before"
    raise ValueError(f"{Path(path).name} {fault}")


def _check_size(image, max_pixels):
    width, height = image.size
    if width * height > max_pixels or max(width, height) > MAX_SIDE_PX:
        raise ValueError(f"{width} x {height} pixels")


def _raw_mode(image):
    """How the file stores its values, such as "RGB;16B"; "" where Pillow hides it."""
    args = image.tile[0][3] if image.tile else ""
    args = args[0] if isinstance(args, tuple) and args else args
    return args if isinstance(args, str) else ""


def _way_out(path):
    """What to do with a file that cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        check_is_file(path)
        with open(path, "rb") as file:
            head = file.read(12)
        if head[4:8] == b"ftyp" and head[8:] in HEIC_BRANDS:
            return (
                "this is HEIC, as iPhones write it, so export it as JPEG (Settings, "
                "Camera, Formats, Most Compatible), or install pillow-heif and call "
                "pillow_heif.register_heif_opener() first"
            )
    return "repair, shrink or remove it"


def _levels(image, raw_mode):
    """What a file of more than 8 bits holds; None where it has no more."""
    if not image.mode.startswith(("I", "F")):
        if ";16" not in raw_mode:
            return None
        bands = zip(image.getbands(), image.getextrema(), strict=True)
        ends = [end for band, pair in bands if band != "A" for end in pair]
        return Levels(257 * min(ends), 257 * max(ends), COLOUR)
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise ValueError("values that are not finite (NaN or infinity)")
    low, high = values.min(), values.max()
    if values.dtype.kind == "f" or low < 0 or high > SIXTEEN_BITS[1]:
        return Levels(low.item(), high.item(), "unknown")
    inner = values[(values > 0) & (values < SIXTEEN_BITS[1])]
    if inner.size:
        low, high = inner.min(), inner.max()
    return Levels(low.item(), high.item(), "16 bits")


def _scaled(image, pixel_range):
    """Scale one channel of more than 8 bits: black to 0, white to 255."""
    black, white = pixel_range or SIXTEEN_BITS
    values = np.asarray(image).astype(np.float64)
    grey = np.clip((values - black) * (255 / (white - black)), 0, 255)
    if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO:
        grey = 255 - grey
    grey = np.rint(grey).astype(np.uint8)
    clear = image.info.get("transparency")
    if clear is not None:
        grey[values == clear] = 255
    rgb = Image.fromarray(grey).convert("RGB")
    rgb.info = image.info  # keeps the orientation
    return rgb


def to_rgb(image):
    """Convert a Pillow image of 8 bits a channel to RGB, transparency on white.

    Args:
        image: PIL.Image.Image, loaded.

    Returns:
        PIL.Image.Image in mode RGB.
    """
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.info = image.info  # keeps the orientation
        white.alpha_composite(image)
        return white.convert("RGB")
    return image.convert("RGB")
