"""Images through a frozen backbone, once: (n, d) arrays, streamed and cached."""

import hashlib
import json
import os
import time
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from tl_helpers import profiles
from tl_helpers.backbones.backbone import Backbone
from tl_helpers.datasets.image_set import ImageSet
from tl_helpers.inputs import (
    check_class_names,
    check_features,
    check_kind,
    check_labels,
    check_numbers,
    check_rows,
)
from tl_helpers.storage import (
    read_json,
    remove_left_overs,
    whole_or_nothing,
    write_json,
    write_text,
)

PIXELS_AT_ONCE = 2**18  # in one batch on a CPU; make bench compares with others
MIN_BATCH_SIZE, MAX_BATCH_SIZE = 8, 128
MAX_CACHE_BYTES = 4 * 2**30
FORMAT = 4  # part of every key: raise it when the meaning of an entry changes
MARKER = "tl-helpers-features.txt"  # lies where this module keeps entries
ENTRY = "tl-features-" + 32 * "[0-9a-f]"  # the names that it gives
SHOW_BAR_FROM = 5000  # images
MAX_FUNCTIONS = 4  # sizes of images for which a network is kept traced
_FROZEN = WeakKeyDictionary()  # network: (fingerprint, {shape: function})


@dataclass(frozen=True)
class Features:
    """What a probe learns from.

    Attributes:
        values: float32 (n, d), the block's map averaged over height and width.
        labels: int64 (n,).
        class_names: one name a class, in label order; None where they are not known.

    Raises:
        ValueError: labels that are not one class number for each row, or names that
            do not fit them.
    """

    values: np.ndarray
    labels: np.ndarray
    class_names: tuple | None = None

    def __post_init__(self):
        """Check the labels against the values and the names."""
        names = self.class_names
        values = check_numbers("values", self.values, "(n, ...)", 0, finite=False)
        if names is not None:
            names = check_class_names(names)
        num_classes = None if names is None else len(names)
        labels = check_labels("", values, self.labels, num_classes)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "class_names", names)

    def __getitem__(self, rows):
        """Return the Features of these rows (indices, a slice or a boolean mask)."""
        rows = check_rows(rows, len(self))
        return Features(self.values[rows], self.labels[rows], self.class_names)

    def __len__(self):
        """Return the number of images."""
        return len(self.labels)

    def __iter__(self):
        """Unpack as `values, labels = features`."""
        return iter((self.values, self.labels))


def extract(backbone, image_set, block=None):
    """Extract features, or read them from the cache.

    An entry is found by content: pixels and labels, the network with its weights and
    types, and block. One that is damaged or was not written by this function is
    computed again. Where the cache cannot be read or written, or the network holds
    code that no key describes, a warning says so, and features are computed.

    Args:
        backbone: Backbone.
        image_set: ImageSet with n images; `image_set.resized(...)` for another size.
        block: block name; None for the last.

    Returns:
        Features: values float32 (n, d), labels int64 (n,) and class names.

    Raises:
        ValueError: no Backbone, no ImageSet, or no such block.
    """
    check_kind(Backbone, backbone=backbone)
    check_kind(ImageSet, image_set=image_set)
    block = block or backbone.blocks[-1]
    key = _key(backbone, image_set, block)
    values = None if key is None else _read_entry(key)
    if values is None or len(values) != len(image_set):
        values = compute(backbone, image_set, block)
        if key is not None and key == _key(backbone, image_set, block):
            _write_entry(key, values)  # nothing changed meanwhile
    return Features(values, image_set.labels, image_set.class_names)


def compute(backbone, image_set, block=None):
    """Extract features without looking at the cache.

    Only one batch of decoded images is in memory at a time, and the next one is
    decoded meanwhile.

    Args:
        backbone: Backbone.
        image_set: ImageSet with n images.
        block: block name; None for the last.

    Returns:
        float32 (n, d).

    Raises:
        ValueError: as for `extract`.
    """
    check_kind(Backbone, backbone=backbone)
    check_kind(ImageSet, image_set=image_set)
    network = backbone.extractor(block)
    shape = image_set.images.shape[1:]
    size = batch_size(shape)
    answer = _frozen(backbone, network, shape)
    values = np.empty((len(image_set), network.output_shape[-1]), np.float32)
    starts = range(0, len(image_set), size)
    bar = tqdm(starts, "features", disable=len(image_set) < SHOW_BAR_FROM, leave=False)
    with ThreadPoolExecutor(1) as decoder:
        pending = decoder.submit(image_set.pixels, slice(0, size))
        for start in bar:
            images = pending.result()
            stop = start + size
            pending = decoder.submit(image_set.pixels, slice(stop, stop + size))
            values[start:stop] = answer(images)
    return values


def batch_size(shape):
    """Choose how many images go through a network at a time.

    On a CPU as many as keep the maps of the first blocks near the processor's cache;
    on a GPU a hundred or so, which keep it busy.

    Args:
        shape: (height, width, channels) of an image.

    Returns:
        int, a power of two from 8 to 128.
    """
    check_numbers("shape", shape, "(3,)")
    if profiles.has_gpu():
        return MAX_BATCH_SIZE
    fitting = max(1, PIXELS_AT_ONCE / (shape[0] * shape[1]))
    return int(np.clip(2 ** round(np.log2(fitting)), MIN_BATCH_SIZE, MAX_BATCH_SIZE))


def _frozen(backbone, network, shape):
    """Return a function, uint8 images -> float32 values, made for weights that rest.

    TensorFlow folds what it knows to be constant: batch normalisation disappears into
    the convolutions before it. The function is made anew where the network changed.
    """
    fingerprint = _fingerprint(backbone)
    if keras.backend.backend() != "tensorflow" or fingerprint is None:
        return network.predict_on_batch
    known, functions = _FROZEN.get(network, (None, {}))
    if known != fingerprint:
        functions = {}
        _FROZEN[network] = fingerprint, functions
    if shape not in functions:
        if len(functions) >= MAX_FUNCTIONS:
            functions.pop(next(iter(functions)))
        functions[shape] = _as_constants(network, shape)
    function = functions[shape]
    return lambda images: function(images).numpy()


def _as_constants(network, shape):
    import tensorflow as tf

    weights = [
        [ops.convert_to_numpy(variable) for variable in variables]
        for variables in (network.trainable_variables, network.non_trainable_variables)
    ]

    def answer(images):
        constants = [[tf.constant(values) for values in part] for part in weights]
        return network.stateless_call(*constants, images, training=False)[0]

    return tf.function(answer).get_concrete_function(
        tf.TensorSpec((None, *shape), tf.uint8)
    )


def standardise(rows, like=None):
    """Subtract the mean of some rows and divide by their standard deviation.

    With `like` the unit is another set's: a probe fitted on `standardise(train)` takes
    `standardise(test, like=train)`. Each domain in its own unit is AdaBN on features.

    Args:
        rows: Features, or float (n, d).
        like: Features, or float (m, d), whose mean and deviation are taken, column by
            column; None for those of `rows`.

    Returns:
        what `rows` is, with the values standardised; columns without spread are
        shifted only.

    Raises:
        ValueError: no table of finite numbers, or another width than `like`'s.
    """
    values, reference = (
        x.values if isinstance(x, Features) else np.asarray(x)
        for x in (rows, rows if like is None else like)
    )
    check_numbers("rows", values, "(n, d)")
    check_features("rows that give the unit", reference)
    if values.shape[1:] != reference.shape[1:]:
        raise ValueError(
            f"Got rows of shape {values.shape} to standardise like rows of shape "
            f"{reference.shape}, expected as many columns; take both from one block."
        )
    spread = reference.std(axis=0)
    unit = np.where(spread > 0, spread, 1)
    standardised = (values - reference.mean(axis=0)) / unit
    if isinstance(rows, Features):
        return Features(standardised, rows.labels, rows.class_names)
    return standardised


def cache_info():
    """Return {"folder": Path, "entries": int, "bytes": int} of the feature cache."""
    entries = _entries()
    return {
        "folder": _folder(),
        "entries": len(entries),
        "bytes": sum(size for size, _ in entries.values()),
    }


def clear_cache():
    """Delete every cached entry; return how many there were.

    What this module did not name stays, and so does what another process is writing.
    """
    entries = _entries()
    if (_folder() / MARKER).exists():
        for name in [*_folder().glob(f"{ENTRY}.npz"), *_folder().glob(f"{ENTRY}.json")]:
            name.unlink(missing_ok=True)
        remove_left_overs(_folder())
    return len(entries)


def _key(backbone, image_set, block):
    """Return the name of an entry, or None where no name can tell it from others."""
    fingerprint = _fingerprint(backbone)
    parts = {
        "images": image_set.fingerprint,
        "backbone": fingerprint,
        "block": block,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "format": FORMAT,
    }
    text = json.dumps(parts, sort_keys=True)
    digits = hashlib.sha256(text.encode()).hexdigest()[:32]
    return None if fingerprint is None else f"tl-features-{digits}"


def _fingerprint(backbone):
    """Return the backbone's, or None where it holds code that is not described."""
    try:
        return backbone.fingerprint
    except TypeError as error:
        warnings.warn(f"{error}; its features are not cached.", stacklevel=3)
        return None


def _folder():
    return profiles.cache_dir() / "features"


def _entries():
    """Return {path: (bytes, time of the last use)} of whole entries, oldest first."""
    found = {}
    if (_folder() / MARKER).exists():
        for path in _folder().glob(f"{ENTRY}.npz"):
            with suppress(FileNotFoundError):  # another process cleared it
                status = path.stat()
                found[path] = status.st_size, status.st_mtime
    return dict(sorted(found.items(), key=lambda item: item[1][1]))


def _read_entry(key):
    """Return the cached values, or None for anything that is not whole and ours."""
    entry, manifest = _folder() / f"{key}.npz", _folder() / f"{key}.json"
    try:
        wanted = read_json(manifest)["sha256"]
        if hashlib.sha256(entry.read_bytes()).hexdigest() != wanted:
            return None
        with np.load(entry, allow_pickle=False) as stored:
            values = stored["values"]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
    with suppress(OSError):  # a folder that may only be read
        os.utime(entry, (time.time(),) * 2)  # the newest use decides who stays
    return values if values.dtype == np.float32 and values.ndim == 2 else None


def _write_entry(key, values):
    """Keep values where that is possible, then drop the oldest."""
    try:
        entry = _folder() / f"{key}.npz"
        if not (_folder() / MARKER).exists():
            write_text(_folder() / MARKER, "Features kept by tl_helpers.features.\n")
        digest = _write_values(entry, values)
        manifest = {"sha256": digest, "shape": values.shape}
        write_json(entry.with_suffix(".json"), manifest)  # makes them valid
        _prune(keep=entry)
    except OSError as error:
        warnings.warn(
            f"Got no place for features in {_folder()}: {error}; expected a folder "
            "that can be written, with room; they are computed again next time. Set "
            "TL_CACHE_DIR to another folder.",
            stacklevel=3,
        )


def _write_values(entry, values):
    """Write what np.savez writes, without its copy in memory; return the sha256."""
    header = np.lib.format.header_data_from_array_1_0(values)
    with whole_or_nothing(entry) as partial:
        with (
            zipfile.ZipFile(partial, "w") as archive,
            archive.open("values.npy", "w", force_zip64=True) as member,
        ):
            np.lib.format.write_array_header_1_0(member, header)
            member.write(memoryview(values))
        with partial.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def _prune(keep: Path):
    entries = _entries()
    total = sum(size for size, _ in entries.values())
    for entry, (size, _) in entries.items():
        if total <= MAX_CACHE_BYTES or entry == keep:
            continue
        total -= size
        entry.with_suffix(".json").unlink(missing_ok=True)
        entry.unlink(missing_ok=True)
