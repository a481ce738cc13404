"""Corruptions of our own making: what rain, haste and cheap cameras do to images."""

import hashlib
import io
from dataclasses import replace

import numpy as np
from PIL import Image
from scipy import ndimage

from tl_helpers.inputs import check_choice, check_numbers, check_whole

MAX_SEVERITY = 5
SIDE_PX = 32  # of the images that the strengths in pixels are given for
NOISE = (0.04, 0.06, 0.08, 0.09, 0.10)  # standard deviation, of the range of grey
BLUR_PX = (0.4, 0.6, 0.7, 0.8, 1.0)  # standard deviation, in px of a side of 32
CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)  # what is left of it
FROST = (0.25, 0.4, 0.5, 0.6, 0.7)  # opacity of the thickest ice
PIXELS = (0.9, 0.8, 0.7, 0.6, 0.5)  # of 32 in a row, what share is left
JPEG = (80, 65, 58, 50, 40)  # quality
ICE = np.array([222, 236, 250], np.float32)  # RGB
OCTAVES = (4, 8, 16)  # cells of ice along a side


def corrupt(images, kind, severity, seed=0):
    """Spoil images in one of six ways, as weather, lenses and storage do.

    - noise: normal noise on every value.
    - blur: a Gaussian filter; wider in larger images, so that they look alike.
    - contrast: every colour is drawn towards its mean over the image.
    - frost: bluish ice with crystals that are drawn, not photographed.
    - pixelate: averaged down to fewer pixels, and up again without smoothing.
    - jpeg: written to and read from a JPEG file of low quality.

    Noise and frost are drawn from the seed and the image's own bytes: an image looks
    the same alone as in any set, and at another severity has the same noise, weaker.

    The strengths of noise, blur, contrast and jpeg are those of CIFAR-10-C, milder
    than those of ImageNet-C, which are for larger images; frost and pixelate are our
    own. Numbers measured on these images are not those of the published sets.

    Args:
        images: ImageSet, or uint8 (n, height, width, 3), RGB, [0, 255].
        kind: "noise", "blur", "contrast", "frost", "pixelate" or "jpeg".
        severity: int from 0, which changes nothing, to 5.
        seed: int >= 0.

    Returns:
        what was given, an ImageSet in memory or an array uint8
        (n, height, width, 3), RGB, [0, 255]; a copy.

    Raises:
        ValueError: another type of images, kind or severity.

    Source: Hendrycks & Dietterich 2019 (arXiv:1903.12261).
    """
    if hasattr(images, "pixels"):
        pixels = corrupt(images.pixels(), kind, severity, seed)
        return replace(images, images=pixels)
    images = _check_bytes(images)
    check_choice(CORRUPTIONS, kind=kind)
    check_severity(severity)
    check_whole(seed=seed)
    if severity == 0:
        return images.copy()
    spoil = CORRUPTIONS[kind]
    return np.stack([spoil(image, severity - 1, seed) for image in images])


def check_severity(severity):
    """Refuse what is no severity.

    Args:
        severity: int from 0 to 5.

    Raises:
        ValueError: anything else.
    """
    check_whole(severity=severity)
    if severity > MAX_SEVERITY:
        raise ValueError(
            f"Got severity={severity}, expected 0 to {MAX_SEVERITY}; corrupt twice "
            "for more."
        )


def _check_bytes(images):
    images = check_numbers("images", images, "(n, height, width, 3)")
    if images.dtype != np.uint8:
        raise ValueError(
            f"Got {images.dtype} images, expected uint8 in [0, 255]; round them: "
            "np.rint(images).astype('uint8')."
        )
    return images


def _noise(image, level, seed):
    noise = _rng(image, seed).standard_normal(image.shape, np.float32)
    return _bytes(image + 255 * NOISE[level] * noise)


def _blur(image, level, seed):
    sigma = BLUR_PX[level] * min(image.shape[:2]) / SIDE_PX
    blurred = ndimage.gaussian_filter(image.astype(np.float32), (sigma, sigma, 0))
    return _bytes(blurred)


def _contrast(image, level, seed):
    means = image.mean(axis=(0, 1), keepdims=True)
    return _bytes(means + CONTRAST[level] * (image - means))


def _frost(image, level, seed):
    share = FROST[level] * _crystals(image.shape[:2], _rng(image, seed))[..., None]
    return _bytes(image + share * (ICE - image))


def _crystals(shape, rng):
    """Draw how thick the ice is: float32 (height, width), in [0, 1].

    Ridges, thin lines where smooth noise crosses 0, at three scales; every scale is
    laid over what is still free of ice.
    """
    free = np.ones(shape, np.float32)
    for cells in OCTAVES:
        grid = rng.standard_normal((cells + 1, cells + 1), np.float32)
        rows, columns = (np.linspace(0, cells, size) for size in shape)
        at = np.meshgrid(rows, columns, indexing="ij")
        smooth = ndimage.map_coordinates(grid, at, order=1, mode="nearest")
        free *= 1 - 0.8 * np.exp(-4 * np.abs(smooth))
    return 1 - free


def _pixelate(image, level, seed):
    height, width = image.shape[:2]
    share = PIXELS[level]
    few = max(1, round(share * width)), max(1, round(share * height))
    small = Image.fromarray(image).resize(few, Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.NEAREST))


def _jpeg(image, level, seed):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "jpeg", quality=JPEG[level])
    return np.asarray(Image.open(file))


def _rng(image, seed):
    """Return a generator that depends on the seed and on the image alone."""
    digest = hashlib.blake2b(np.ascontiguousarray(image), digest_size=8).digest()
    return np.random.default_rng([seed, int.from_bytes(digest, "little")])


def _bytes(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


CORRUPTIONS = {
    "noise": _noise,
    "blur": _blur,
    "contrast": _contrast,
    "frost": _frost,
    "pixelate": _pixelate,
    "jpeg": _jpeg,
}
