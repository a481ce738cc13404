"""What this machine has and what a course run would fetch, in one page."""

import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from tl_helpers import profiles

PACKAGES = ("tl-helpers", "keras", "tensorflow", "tensorflow-hub", "matplotlib")
TRY_IMPORTS = """
import keras, tensorflow as tf
print(keras.backend.backend())
for gpu in tf.config.list_physical_devices("GPU"):
    print(tf.config.experimental.get_device_details(gpu).get("device_name", "unnamed"))
"""
MOBILENET_MB = 24  # MobileNetV2's weights, with and without its classifier


def report():
    """Look at versions, hardware, folders and downloads; change nothing.

    Returns:
        list of (str, str): what was looked at, and what was found.

    Raises:
        ValueError: `TL_PROFILE` names no profile.
    """
    backend, gpus = _try_imports()
    return [
        ("python", f"{platform.python_version()} ({sys.prefix})"),
        *((name, _version(name)) for name in PACKAGES),
        ("backend", backend),
        ("GPU", gpus),
        ("profile", str(profiles.current()).removeprefix("profile ")),
        ("network", "forbidden (TL_OFFLINE)" if profiles.is_offline() else "allowed"),
        ("cache", _describe(profiles.cache_dir())),
        ("features", _describe(profiles.cache_dir() / "features")),
        ("mirror", _describe_mirror()),
        ("Keras home", _describe(profiles.keras_dir())),
        ("free disk", f"{_free_gb(profiles.cache_dir()):.1f} GB for the cache"),
        *(("not here yet", line) for line in _missing()),
    ]


def missing_downloads():
    """List what neither mirror, cache nor Keras's home holds yet.

    Returns:
        list of str: real data sets and the full profile's weights, with their sizes.
    """
    from tl_helpers.datasets.catalogue import HELPERS, REAL
    from tl_helpers.datasets.real import find

    missing = []
    for name, known in {**REAL, **HELPERS}.items():
        if known.needs or find(name):
            continue
        how = "" if known.archives else "; to be fetched by hand"
        missing.append(f"{name}: {known.provenance.size}{how}")
    weights = profiles.keras_dir() / "models"
    if not list(weights.glob("mobilenet_v2_weights_*_1.0_*_no_top.h5")):
        missing.append(f"MobileNetV2: ImageNet weights, {MOBILENET_MB} MB")
    return missing


def folder_bytes(folder):
    """Add up the sizes of a folder's files.

    Args:
        folder: Path; it need not exist.

    Returns:
        int, bytes; files that vanish meanwhile count 0.
    """
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
    return total


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing: pip install " + name


def _try_imports():
    """Import Keras and TensorFlow as a notebook would; return backend and GPUs.

    In a process of its own: a broken installation may take it down, and TensorFlow's
    start-up notes stay there.
    """
    command = [sys.executable, "-c", TRY_IMPORTS]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        reason = f"cannot be imported (status {done.returncode}: {last})"
        return f"Keras or TensorFlow {reason}", "unknown"
    backend, *gpus = done.stdout.splitlines()
    if not gpus and profiles.has_gpu():
        return backend, (
            "a driver, but TensorFlow sees none: pip install tensorflow[and-cuda]"
        )
    return backend, ", ".join(gpus) or "none"


def _describe(folder):
    if not folder.is_dir():
        return f"{folder}: not there yet"
    return f"{folder}: {folder_bytes(folder) / 1e6:,.0f} MB"


def _describe_mirror():
    try:
        folder = profiles.mirror_dir()
    except FileNotFoundError as error:
        return str(error)
    if folder is None:
        return "none (TL_DATA_DIR is unset)"
    names = sorted(path.stem for path in folder.glob("[!.]*"))
    return f"{folder}: {', '.join(names) or 'empty'}"


def _missing():
    try:
        return missing_downloads() or ["nothing"]
    except FileNotFoundError as error:  # TL_DATA_DIR is wrong
        return [str(error)]


def _free_gb(folder):
    """Free space where a folder is, or would be made."""
    folder = Path(folder).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 1e9
