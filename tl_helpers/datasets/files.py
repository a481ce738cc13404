"""Images in files: decoded on demand, whatever their format, to RGB uint8."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

MAX_PIXELS = 80_000_000  # about 240 MB decoded
MAX_THREADS = min(8, os.cpu_count() or 1)
CLUTTER = ("thumbs.db", "desktop.ini")


class ImageFiles:
    """Paths that behave like a uint8 array of images.

    Only the rows that are asked for are decoded, so a set may be larger than memory.

    Attributes:
        paths: object array (n,) of str.
        shape: (n, size_px, size_px, 3).
        dtype: uint8.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, paths, size_px):
        """Remember the paths; nothing is read yet.

        Args:
            paths: sequence of n str or Path.
            size_px: int >= 1, height and width of every decoded image.
        """
        self.paths = np.array([str(path) for path in paths], dtype=object)
        self.size_px = size_px
        self.shape = (len(self.paths), size_px, size_px, 3)

    def __len__(self):
        """Return the number of images."""
        return len(self.paths)

    def __getitem__(self, rows):
        """Decode rows.

        Args:
            rows: int, slice or int (k,).

        Returns:
            uint8 (k, size_px, size_px, 3), RGB, [0, 255]; one image for an int.
        """
        paths = self.paths[rows]
        if isinstance(paths, str):
            return decode_image(paths, self.size_px)
        images = np.empty((len(paths), *self.shape[1:]), np.uint8)

        def decode(row):
            images[row] = decode_image(paths[row], self.size_px)

        list(_pool().map(decode, range(len(paths))))
        return images

    def subset(self, rows):
        """Return the ImageFiles of these rows, still undecoded."""
        return ImageFiles(self.paths[rows], self.size_px)

    def resized(self, size_px):
        """Return the same files, to be decoded at another size."""
        return ImageFiles(self.paths, size_px)

    @cached_property
    def fingerprint(self):
        """Hash of the files' bytes in order and of the size, as hex digits."""
        digest = hashlib.sha256(str(self.size_px).encode())
        for start in range(0, len(self), 1024):  # a task waiting costs 1 kB
            for one in _pool().map(file_digest, self.paths[start : start + 1024]):
                digest.update(one)
        return digest.hexdigest()


def decode_image(path, size_px):
    """Read one image file, upright, cropped to its centre square and resized.

    Transparent pixels come out on white; of an animation the first frame is taken;
    16-bit values are scaled, not clipped.

    Args:
        path: str or Path.
        size_px: int >= 1.

    Returns:
        uint8 (size_px, size_px, 3), RGB, [0, 255].

    Raises:
        ValueError: no image, a truncated one, one with values of unknown range, or
            one of more than MAX_PIXELS pixels.
    """
    try:
        with Image.open(path) as image:
            # A JPEG can be decoded at a fraction of its size; twice the wanted one
            # leaves enough to average.
            image.draft(None, (2 * size_px, 2 * size_px))
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels")
            image.load()
            upright = ImageOps.exif_transpose(to_rgb(image))
    except Exception as error:  # Pillow's readers raise whatever a bad file provokes
        raise ValueError(
            f"Got {path} (class folder {Path(path).parent.name!r}), which cannot be "
            f"read: {error}; expected a whole image of at most "
            f"{MAX_PIXELS // 10**6} million pixels: repair, shrink or remove it."
        ) from error
    square = ImageOps.fit(upright, (size_px, size_px), Image.Resampling.BILINEAR)
    return np.asarray(square)


def to_rgb(image):
    """Convert a Pillow image of any mode to RGB.

    Args:
        image: PIL.Image.Image, loaded.

    Returns:
        PIL.Image.Image in mode RGB.

    Raises:
        ValueError: float or 32-bit pixels, whose range is not known.
    """
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.info = image.info  # keeps the orientation
        white.alpha_composite(image)
        return white.convert("RGB")
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
            raise ValueError(f"pixels of mode {image.mode}, not 8 or 16 bits")
        eight_bits = np.rint(values / 257).astype(np.uint8)  # 65535 / 257 = 255
        return Image.fromarray(eight_bits).convert("RGB")
    return image.convert("RGB")


def resize_pixels(images, size_px):
    """Resize an array of images to a square.

    Args:
        images: uint8 (n, height, width, 3), RGB, [0, 255].
        size_px: int >= 1.

    Returns:
        uint8 (n, size_px, size_px, 3); `images` itself where it has that size.
    """
    if images.shape[1:3] == (size_px, size_px):
        return images
    resized = np.empty((len(images), size_px, size_px, 3), np.uint8)
    for row, image in enumerate(images):
        pixels = Image.fromarray(image)
        resized[row] = pixels.resize((size_px, size_px), Image.Resampling.BILINEAR)
    return resized


def find_bad_files(paths, size_px):
    """Decode every file once.

    Args:
        paths: sequence of n str or Path.
        size_px: int, the size at which they will be used.

    Returns:
        dict {path: sentence that says what is wrong}, in the order of `paths`.
    """
    from tqdm import tqdm
    from tqdm.contrib.concurrent import thread_map

    def check(path):
        try:
            decode_image(path, size_px)
        except ValueError as error:
            return str(error)

    bar = {"desc": "checking images", "disable": len(paths) < 1000}
    faults = thread_map(check, paths, max_workers=MAX_THREADS, tqdm_class=tqdm, **bar)
    return {path: fault for path, fault in zip(paths, faults, strict=True) if fault}


def read_class_folders(folder, class_names=None):
    """List the images below a folder that holds one folder a class.

    Args:
        folder: Path.
        class_names: sequence of str, the classes in the order of their numbers; one
            may lack its folder. None for those whose folders are there.

    Returns:
        (paths, labels, class names): list of n str, int64 (n,), tuple of str; classes
        and files sorted by name, hidden ones left out.

    Raises:
        ValueError: a folder that is not among the class names.
    """
    folders = sorted(
        entry.name
        for entry in os.scandir(folder)
        if entry.is_dir() and not is_hidden(entry.name)
    )
    classes = folders if class_names is None else list(class_names)
    unknown = [name for name in folders if name not in classes]
    if unknown:
        raise ValueError(
            f"Got class folder {unknown[0]!r} in {folder}, expected only "
            f"{', '.join(classes[:10])}{', ...' * (len(classes) > 10)}; move it away, "
            "or load both sets with a name for it."
        )
    paths, labels = [], []
    for name in folders:
        found = sorted(_walk(os.path.join(folder, name)))
        paths += found
        labels += [classes.index(name)] * len(found)
    return paths, np.array(labels, np.int64), tuple(classes)


def is_hidden(name):
    """Whether a file or folder is the system's, not the person's."""
    return name.startswith((".", "__MACOSX")) or name.lower() in CLUTTER


def file_digest(path):
    """Return sha256 of a file's bytes; repeated calls read an unchanged file once."""
    status = os.stat(path)
    return _digest(str(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=2**18)
def _digest(path, size, changed_ns):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _walk(folder):
    for entry in os.scandir(folder):
        if is_hidden(entry.name):
            continue
        if entry.is_dir():
            yield from _walk(entry.path)
        else:
            yield entry.path


@cache
def _pool():
    return ThreadPoolExecutor(MAX_THREADS, "decode")
