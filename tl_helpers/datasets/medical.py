"""Sets of medical images, each one .npz file, and what stands in it."""

import numpy as np

from tl_helpers.scans import to_rgb

SUSPICIOUS_FROM = 4  # of the ratings 1 to 5
RATINGS = "malignancy lobulation sphericity margin texture spiculation subtlety".split()
SUSPICION = ("unsuspicious", "suspicious")
MEDMNIST_CLASSES = {
    "pneumoniamnist": ("normal", "pneumonia"),
    "nodulemnist3d": ("benign", "malignant"),
}


def read_lung_nodules(path, part):
    """Read `lung_nodules.npz`; `real.load_real` says what comes out.

    Args:
        path: Path.
        part: "nodules", "slices" or "patches".

    Returns:
        tuple: images uint8 (n, s, s, 3); labels int64 (n,); class names; extras.
    """
    stored = read_arrays(path)
    if part == "patches":
        hu = _hu(stored["patches"], stored["hu_window"])
        nodule = stored["patch_nodule"].astype(np.int64)
        extras = {"hu": hu, "nodule": nodule, "patient": stored["patient"][nodule]}
        names = ("no nodule", "nodule")
        return to_rgb(hu), stored["patch_label"].astype(np.int64), names, extras
    planes = _hu(stored["planes"], stored["hu_window"])
    masks = _unpacked(stored["plane_masks"], planes.shape)
    extras = {name: stored[name].astype(np.int64) for name in RATINGS}
    extras["volume_voxels"] = stored["mask_volume"].astype(np.int64)
    extras["patient"] = stored["patient"]
    extras["nodule"] = np.arange(len(planes))
    if part == "nodules":
        extras |= {"hu": planes[..., 0], "mask": masks[..., 0], "planes_hu": planes}
    else:
        extras = _slices(stored, planes[..., 0], masks[..., 0], extras)
    labels = (extras["malignancy"] >= SUSPICIOUS_FROM).astype(np.int64)
    return to_rgb(extras["hu"]), labels, SUSPICION, extras


def _slices(stored, middle_hu, middle_mask, extras):
    """Lay the axial slices of each nodule under each other, the middle one included."""
    hu = _hu(stored["slices"], stored["hu_window"])  # (n, 4, 51, 51)
    mask = _unpacked(stored["slice_masks"], hu.shape)
    offsets = np.array([*stored["slice_offsets"], 0])
    order = np.argsort(offsets)
    rows = {name: np.repeat(values, len(offsets)) for name, values in extras.items()}
    for name, others, middle in (("hu", hu, middle_hu), ("mask", mask, middle_mask)):
        every = np.concatenate([others, middle[:, None]], axis=1)[:, order]
        rows[name] = every.reshape(-1, *every.shape[2:])
    return rows | {"slice": np.tile(offsets[order], len(hu))}


def read_medmnist(path, name, part):
    """Read a part of an official MedMNIST file; arguments and answer as above.

    Of a volume the three planes through its middle become red, green and blue.
    """
    stored = read_arrays(path)
    images, labels = stored[f"{part}_images"], stored[f"{part}_labels"]
    if images.ndim == 4:
        middle = images.shape[1] // 2
        planes = [np.take(images, middle, axis) for axis in (1, 2, 3)]
        images = np.stack(planes, axis=-1)
    else:
        images = np.repeat(images[..., None], 3, axis=-1)
    return images, labels.ravel().astype(np.int64), MEDMNIST_CLASSES[name], {}


def read_arrays(path):
    """Read all arrays of an .npz file, or say in one sentence that it is damaged.

    Args:
        path: Path.

    Returns:
        dict of arrays.

    Raises:
        ValueError: no such file, or one that NumPy cannot read without pickle.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except Exception as error:  # cut off, a web page, a pickle, ...
        raise ValueError(
            f"Got {path}, which cannot be read: {error}; expected the whole file: "
            "remove it and fetch it again."
        ) from error


def _hu(codes, window):
    """Turn codes in [0, 255] into HU: 0 is the lower end of the window, 255 the upper.

    Beyond its ends (-1200 and 400) the file knows nothing.
    """
    low, high = map(int, window)
    return np.rint(low + codes * ((high - low) / 255)).astype(np.int16)


def _unpacked(bits, shape):
    """Unpack bits of rows into bool of a shape (n, ...)."""
    count = int(np.prod(shape[1:]))
    return np.unpackbits(bits, axis=1)[:, :count].reshape(shape).astype(bool)
