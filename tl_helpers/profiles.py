"""Quick or full: which data and backbone a notebook uses, and where files live."""

import contextlib
import logging
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Profile:
    """The knobs that differ between a laptop and a GPU.

    Attributes:
        name: "quick" (bundled data, offline) or "full" (real data).
        reason: one clause that says why this profile was chosen.
        dataset: name for `datasets.load`; `TL_DATASET` overrides it.
        backbone: name for `backbones.load`; `TL_BACKBONE` overrides it.
    """

    name: str
    reason: str
    dataset: str
    backbone: str

    def pick(self, *, quick, full):
        """Return `quick` in the quick profile and `full` in the full one."""
        return quick if self.name == "quick" else full

    def __str__(self):
        return (
            f"profile {self.name} ({self.reason}): "
            f"dataset {self.dataset}, backbone {self.backbone}"
        )


def current():
    """Choose the profile from the environment.

    Returns:
        Profile: full where `TL_PROFILE=full`, or on Colab with a GPU; else quick.

    Raises:
        ValueError: `TL_PROFILE` is neither "quick" nor "full".
    """
    wanted = os.environ.get("TL_PROFILE", "")
    if wanted not in ("", "quick", "full"):
        raise ValueError(
            f"TL_PROFILE is {wanted!r}, expected 'quick' or 'full'; "
            "set one of them or unset it."
        )
    if wanted:
        name, reason = wanted, f"TL_PROFILE={wanted}"
    elif is_colab() and has_gpu():
        name, reason = "full", "Colab with a GPU"
    else:
        name, reason = "quick", "the default; TL_PROFILE=full for real photographs"
    dataset, backbone = {
        "quick": ("solids", "embedded"),
        "full": ("cifar10", "MobileNetV2"),
    }[name]
    return Profile(
        name,
        reason,
        os.environ.get("TL_DATASET", dataset),
        os.environ.get("TL_BACKBONE", backbone),
    )


def is_colab():
    """Whether this process runs in Google Colab."""
    return "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ


def has_gpu():
    """Whether an NVIDIA driver is present; asks the file system, not TensorFlow."""
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists()


def is_offline():
    """Whether `TL_OFFLINE` forbids the network (any value but empty or 0)."""
    return os.environ.get("TL_OFFLINE", "") not in ("", "0")


def is_strict():
    """Whether `TL_STRICT` makes a false claim stop the notebook (not empty, not 0)."""
    return os.environ.get("TL_STRICT", "") not in ("", "0")


def cache_dir():
    """Folder for downloads and features: `TL_CACHE_DIR` or `~/.cache/tl-helpers`."""
    default = Path.home() / ".cache" / "tl-helpers"
    return Path(os.environ.get("TL_CACHE_DIR", default)).expanduser()


def mirror_dir():
    """Folder looked at before any download (`TL_DATA_DIR`), or None."""
    folder = os.environ.get("TL_DATA_DIR")
    return Path(folder).expanduser() if folder else None


def keras_dir():
    """Keras's own folder: `KERAS_HOME` or `~/.keras`; weights lie in its `models`."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")).expanduser()


def data_dir():
    """Folder of the bundled data: inside an installed wheel, else the checkout's.

    Raises:
        FileNotFoundError: neither place holds it.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "data", package.parent / "data"):
        if (folder / "embedded.npz").exists() or (folder / "solids").exists():
            return folder
    raise FileNotFoundError(
        f"Got no bundled data beside {package}, expected a folder 'data' with "
        "solids and embedded.npz; reinstall the package or clone the repository."
    )


def start(seed=0):
    """Begin a notebook: choose the profile, seed everything, wake the backend up.

    TensorFlow greets with a page of log lines about the machine; they are kept out of
    the notebook, Python's own errors are not.

    Args:
        seed: int in [0, 2**32).

    Returns:
        Profile.
    """
    # later lines too: a `fit` on a PyDataset logs harmless "errors" about threads
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _quiet_log():
        make_deterministic(seed)
        import keras

        keras.ops.zeros(1)  # the first operation looks for a GPU
    # many small models trace many functions, which is no fault in a course
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # Keras says this for every fit on a tf.data.Dataset, which shuffles by itself
    warnings.filterwarnings("ignore", message="`shuffle=True` was passed")
    # pooch asks for Jupyter's own bars; the plain ones are good enough
    warnings.filterwarnings("ignore", message="IProgress not found")
    return current()


def make_deterministic(seed=0):
    """Make the rest of this process repeat bit for bit on the same machine.

    Seeds Python, NumPy and the backend; on TensorFlow also asks for deterministic
    kernels.

    Args:
        seed: int in [0, 2**32).
    """
    import keras

    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


@contextlib.contextmanager
def _quiet_log():
    """Send what C++ writes to file descriptor 2 nowhere."""
    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
