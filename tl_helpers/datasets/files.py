"""Images in files: decoded on demand, whatever their format, to RGB uint8."""

import hashlib
import os
import struct
import time
import unicodedata
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from tl_helpers.datasets.decoding import (
    check_is_file,
    decode_and_judge,
    decode_image,
)

MAX_THREADS = min(8, os.cpu_count() or 1)
MAX_DIGESTS = 2**18
_DIGESTS = {}  # path: size, time of change (ns) and sha256, as 48 bytes
UNSETTLED_NS = 10**9  # within a tick of the clock a file may change unseen
# Left in folders by Windows, macOS, and by Synology's and QNAP's disks.
CLUTTER = {
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "$recycle.bin",
    "system volume information",
    "icon\r",
    "icon\uf00d",
    "__macosx",
    "@eadir",
    "#recycle",
    "@recycle",
    "@__thumb",
    "lost+found",
}


class ImageFiles:
    """Paths that behave like a uint8 array of images.

    Only the rows that are asked for are decoded, so a set may be larger than memory.

    Attributes:
        paths: object array (n,) of str.
        shape: (n, size_px, size_px, 3).
        dtype: uint8.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, paths, size_px, pixel_range=None):
        """Remember the paths; nothing is read yet.

        Args:
            paths: sequence of n str or Path.
            size_px: int >= 1, height and width of every decoded image.
            pixel_range: as in `decode_image`.
        """
        self.paths = np.array([str(path) for path in paths], dtype=object)
        self.size_px = size_px
        self.pixel_range = None if pixel_range is None else tuple(pixel_range)
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
            return decode_image(paths, self.size_px, self.pixel_range)
        images = np.empty((len(paths), *self.shape[1:]), np.uint8)

        def decode(row):
            images[row] = decode_image(paths[row], self.size_px, self.pixel_range)

        list(_pool().map(decode, range(len(paths))))
        return images

    def subset(self, rows):
        """Return the ImageFiles of these rows, still undecoded."""
        return ImageFiles(self.paths[rows], self.size_px, self.pixel_range)

    def resized(self, size_px):
        """Return the same files, to be decoded at another size."""
        return ImageFiles(self.paths, size_px, self.pixel_range)

    @property
    def fingerprint(self):
        """Hash of the files' bytes in order, the size and the range, as hex digits."""
        digest = hashlib.sha256(str(self.size_px).encode())
        if self.pixel_range is not None:
            digest.update(repr(tuple(map(float, self.pixel_range))).encode())
        for one in _in_blocks(file_digest, self.paths):
            digest.update(one)
        return digest.hexdigest()

    @property
    def copies(self):
        """One number for each content, int64 (n,): byte-identical files share theirs.

        As `groups` of `split` they keep an image and its copies on one side.
        """
        digests = list(_in_blocks(file_digest, self.paths))
        return np.unique(digests, return_inverse=True)[1]


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


def survey(paths, size_px, pixel_range=None):
    """Decode every file once.

    Args:
        paths: sequence of n str or Path.
        size_px: int, the size at which they will be used.
        pixel_range: as in `decode_image`.

    Returns:
        (faults, levels): {path: sentence that says what is wrong} and {path: Levels}
        of the others, both in the order of `paths`.
    """
    from tqdm import tqdm
    from tqdm.contrib.concurrent import thread_map

    def check(path):
        try:
            return decode_and_judge(path, size_px, pixel_range)[1]
        except ValueError as error:
            return str(error)

    bar = {"desc": "checking images", "disable": len(paths) < 1000}
    found = thread_map(check, paths, max_workers=MAX_THREADS, tqdm_class=tqdm, **bar)
    faults, levels = {}, {}
    for path, one in zip(paths, found, strict=True):
        (faults if isinstance(one, str) else levels)[path] = one
    return faults, levels


def find_copies(paths):
    """Find byte-identical files.

    Args:
        paths: sequence of n str or Path.

    Returns:
        list of lists of at least two paths each, in the order of `paths`.
    """
    sizes = [os.stat(path).st_size for path in paths]
    counts = Counter(sizes)
    alike = [path for path, size in zip(paths, sizes, strict=True) if counts[size] > 1]
    copies = defaultdict(list)
    for path, digest in zip(alike, _in_blocks(file_digest, alike), strict=True):
        copies[digest].append(path)
    return [group for group in copies.values() if len(group) > 1]


def read_class_folders(folder, class_names=None):
    """List the images below a folder that holds one folder a class.

    Links are followed, but never twice to one folder of a class. Names are compared
    in Unicode's composed form (NFC), since macOS decomposes accents.

    Args:
        folder: Path.
        class_names: sequence of str, the classes in the order of their numbers; one
            may lack its folder. None for those whose folders are there.

    Returns:
        (paths, labels, class names): list of n str, int64 (n,), tuple of str; classes
        and files sorted by name, hidden ones left out. Among the paths are those that
        are no files; `survey` says why.

    Raises:
        ValueError: a folder that is not among the class names, or two that differ in
            their Unicode form only.
    """
    folders = {}
    for entry in os.scandir(folder):
        if is_hidden(entry.name) or not _is_folder(entry):
            continue
        name = composed(entry.name)
        if name in folders:
            raise ValueError(
                f"Got two folders in {folder} that both read {name!r}, one composed "
                "(Unicode NFC) and one decomposed, as macOS writes it, expected one a "
                "class; move the images of one into the other."
            )
        folders[name] = entry.path
    classes = [composed(name) for name in class_names or sorted(folders)]
    unknown = sorted(folders.keys() - set(classes))
    if unknown:
        raise ValueError(
            f"Got class folder {unknown[0]!r} in {folder}, expected only "
            f"{', '.join(classes[:10])}{', ...' * (len(classes) > 10)}; move it away, "
            "or load both sets with a name for it."
        )
    root = Path(folder).resolve()
    above = [(x.stat().st_dev, x.stat().st_ino) for x in (root, *root.parents)]
    paths, labels = [], []
    for name in sorted(folders):
        found = sorted(walk(folders[name], above))
        paths += found
        labels += [classes.index(name)] * len(found)
    return paths, np.array(labels, np.int64), tuple(classes)


def composed(name):
    """Return a name as most systems spell it, with composed accents (NFC)."""
    return unicodedata.normalize("NFC", name)


def walk(folder, seen=()):
    """List what lies below a folder, hidden ones left out, links followed.

    Args:
        folder: str.
        seen: (device, inode) of folders that are not to be entered.

    Yields:
        str: path of every entry that is no folder, and of every folder that cannot be
        listed or was entered already, by a link.
    """
    seen, waiting = set(seen), [folder]
    while waiting:
        folder = waiting.pop()
        try:
            status = os.stat(folder)
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            yield folder
            continue
        if (status.st_dev, status.st_ino) in seen:
            yield folder
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in entries:
            if not is_hidden(entry.name):
                if _is_folder(entry):
                    waiting.append(entry.path)
                else:
                    yield entry.path


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def is_hidden(name):
    """Whether a file or folder is the system's, not the person's."""
    return name.startswith(".") or name.lower() in CLUTTER


def file_digest(path):
    """Return sha256 of a file's bytes; repeated calls read an unchanged file once."""
    status, path = check_is_file(path), str(path)
    changed_ns = max(status.st_mtime_ns, status.st_ctime_ns)
    is_settled = time.time_ns() - changed_ns >= UNSETTLED_NS
    stamp = struct.pack("<qq", status.st_size, changed_ns)
    known = _DIGESTS.get(path, b"")
    if is_settled and known.startswith(stamp):
        return known[len(stamp) :]
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    if is_settled:
        if len(_DIGESTS) >= MAX_DIGESTS:
            _DIGESTS.clear()
        _DIGESTS[path] = stamp + digest
    return digest


def _in_blocks(function, paths):
    """Map over paths in threads, some a task: known files take less than a task does.

    A task that waits costs 1 kB, so not all at once.
    """
    size = max(1, min(32, len(paths) // (4 * MAX_THREADS)))

    def work(block):
        return [function(path) for path in block]

    for start in range(0, len(paths), 1024 * size):
        part = paths[start : start + 1024 * size]
        blocks = [part[i : i + size] for i in range(0, len(part), size)]
        for results in _pool().map(work, blocks):
            yield from results


@cache
def _pool():
    return ThreadPoolExecutor(MAX_THREADS, "decode")
