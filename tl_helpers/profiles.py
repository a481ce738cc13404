"""Quick or full: which data and backbone a notebook uses, and where files live."""

import contextlib
import logging
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

YES_OR_NO = {"": None, "1": True, "true": True, "yes": True, "on": True}
YES_OR_NO |= {"0": False, "false": False, "no": False, "off": False}


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
    wanted = _setting("TL_PROFILE")
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
        _setting("TL_DATASET") or dataset,
        _setting("TL_BACKBONE") or backbone,
    )


def is_colab():
    """Whether this process runs in Google Colab."""
    return "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ


def has_gpu():
    """Whether an NVIDIA driver is present; asks the file system, not TensorFlow."""
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists()


def is_offline():
    """Whether `TL_OFFLINE` forbids the network."""
    return bool(_yes_or_no("TL_OFFLINE"))


def is_strict():
    """Whether `TL_STRICT` makes a false claim stop the notebook."""
    return bool(_yes_or_no("TL_STRICT"))


def is_deterministic():
    """Whether TensorFlow is asked to repeat every bit.

    Returns:
        bool: what `TL_DETERMINISTIC` says; where it is unset, whether there is no GPU
        that TensorFlow can use. On a GPU an operation without a deterministic kernel
        would end in an error.
    """
    import tensorflow as tf

    wanted = _yes_or_no("TL_DETERMINISTIC")
    return not tf.config.list_physical_devices("GPU") if wanted is None else wanted


def cache_dir():
    """Folder for downloads and features: `TL_CACHE_DIR` or `~/.cache/tl-helpers`.

    Where there is no home to write to, and no such folder in it, it is below /tmp.
    """
    usual = Path(os.path.expanduser("~"), ".cache", "tl-helpers")
    there = usual if usual.is_dir() else _home() / ".cache" / "tl-helpers"
    return _folder("TL_CACHE_DIR") or there


def mirror_dir():
    """Folder looked at before any download.

    Returns:
        Path that `TL_DATA_DIR` names, or None where it is unset.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    folder = _folder("TL_DATA_DIR")
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(
            f"Got TL_DATA_DIR={folder}, a folder that is not there, expected one with "
            "data sets in it; plug the disk in, correct the name or unset it."
        )
    return folder


def keras_dir():
    """Keras's own folder, as Keras finds it; weights lie in its `models`."""
    if "KERAS_HOME" in os.environ:
        return Path(os.environ["KERAS_HOME"])
    return _home() / ".keras"


def _setting(name):
    """Return what a variable of the environment says; "" where it says nothing."""
    return os.environ.get(name, "").strip()


def _yes_or_no(name):
    """Return bool, or None where the variable is unset or empty.

    Raises:
        ValueError: it says something else.
    """
    text = _setting(name)
    if text.lower() not in YES_OR_NO:
        raise ValueError(
            f"{name} is {text!r}, expected 1 or 0 (yes, no, true, false, on and off do "
            "as well); set one of them or unset it."
        )
    return YES_OR_NO[text.lower()]


def _folder(name):
    """Return the Path that a variable names, or None where it names none."""
    text = _setting(name)
    return Path(os.path.expanduser(text)) if text else None


def _home():
    """Return the home directory; /tmp where there is none to write to, as Keras does.

    In a container a user may be a number without a name and a home.
    """
    home = os.path.expanduser("~")
    return Path(home if os.access(home, os.W_OK) else "/tmp")


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
        is_in_time = _prepare(seed)
        import keras

        keras.ops.zeros(1)  # the first operation looks for a GPU
    _warn_unless(is_in_time)
    # many small models trace many functions, which is no fault in a course
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # Keras says this for every fit on a tf.data.Dataset, which shuffles by itself
    warnings.filterwarnings("ignore", message="`shuffle=True` was passed")
    # pooch asks for Jupyter's own bars; the plain ones are good enough
    warnings.filterwarnings("ignore", message="IProgress not found")
    return current()


def make_deterministic(seed=0):
    """Make the rest of this process repeat bit for bit on the same machine.

    Seeds Python, NumPy and the backend. On TensorFlow, where `is_deterministic`, it
    also asks for deterministic kernels and for one operation at a time, each of which
    still uses all cores. Else `AddN`, the sum of three gradients or more, would begin
    with one that nothing else still reads, so the last bits would depend on which
    operation was done first (TensorFlow 2.21). It has to be told before its first one.

    Args:
        seed: int in [0, 2**32).

    Raises:
        ValueError: another seed.
    """
    _warn_unless(_prepare(seed))


def _prepare(seed):
    """Seed everything, and say whether the rest of `make_deterministic` was in time."""
    import keras

    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(
            f"Got seed={seed!r}, expected a whole number from 0 to 2**32 - 1; take 0."
        )
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() != "tensorflow" or not is_deterministic():
        return True
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    try:
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        return False
    return True


def _warn_unless(is_in_time):
    if not is_in_time:
        warnings.warn(
            "Got a TensorFlow that has computed already, expected one that can still "
            "be told to run one operation at a time; the last bits of a training may "
            "differ from run to run: restart, and call profiles.start before all else.",
            RuntimeWarning,
            stacklevel=3,
        )


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
