import os
import subprocess
import sys
from pathlib import Path

import pytest

from tl_helpers import profiles


def test_current_is_quick_by_default_and_says_so():
    profile = profiles.current()
    assert (profile.name, profile.dataset, profile.backbone) == (
        "quick",
        "solids",
        "embedded",
    )
    assert "default" in str(profile)


def test_current_is_full_where_the_environment_says_so(monkeypatch):
    monkeypatch.setenv("TL_PROFILE", "full")
    profile = profiles.current()
    assert (profile.name, profile.reason) == ("full", "TL_PROFILE=full")
    assert profile.backbone == "MobileNetV2"


@pytest.mark.parametrize(
    ("on_colab", "gpu", "expected"),
    [(True, True, "full"), (True, False, "quick"), (False, True, "quick")],
)
def test_current_is_full_only_on_colab_with_a_gpu(monkeypatch, on_colab, gpu, expected):
    monkeypatch.setattr(profiles, "is_colab", lambda: on_colab)
    monkeypatch.setattr(profiles, "has_gpu", lambda: gpu)
    assert profiles.current().name == expected


def test_current_obeys_quick_even_on_colab_with_a_gpu(monkeypatch):
    monkeypatch.setattr(profiles, "is_colab", lambda: True)
    monkeypatch.setattr(profiles, "has_gpu", lambda: True)
    monkeypatch.setenv("TL_PROFILE", "quick")
    assert profiles.current().name == "quick"


def test_current_takes_dataset_and_backbone_from_the_environment(monkeypatch):
    monkeypatch.setenv("TL_DATASET", "pacs")
    monkeypatch.setenv("TL_BACKBONE", "ResNet50")
    profile = profiles.current()
    assert (profile.name, profile.dataset, profile.backbone) == (
        "quick",
        "pacs",
        "ResNet50",
    )


def test_current_refuses_an_unknown_profile(monkeypatch):
    monkeypatch.setenv("TL_PROFILE", "fast")
    with pytest.raises(ValueError, match="'fast', expected 'quick' or 'full'"):
        profiles.current()


def test_pick_follows_the_profile(monkeypatch):
    assert profiles.current().pick(quick=3, full=30) == 3
    monkeypatch.setenv("TL_PROFILE", "full")
    assert profiles.current().pick(quick=3, full=30) == 30


SWITCHES = {"TL_OFFLINE": profiles.is_offline, "TL_STRICT": profiles.is_strict}


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize(
    ("expected", "values"),
    [
        (True, ("1", "true", "TRUE", "yes", " on ")),
        (False, ("0", "false", "False", "no", "off", "", " ")),
    ],
)
def test_switches_know_yes_from_no(monkeypatch, name, expected, values):
    monkeypatch.delenv(name, raising=False)
    assert SWITCHES[name]() is False
    for value in values:
        monkeypatch.setenv(name, value)
        assert SWITCHES[name]() is expected, value


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("value", ["2", "flase", "none", "-1"])
def test_switches_refuse_other_words(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"{name} is '{value}', expected 1 or 0"):
        SWITCHES[name]()


@pytest.mark.parametrize(
    ("gpus", "value", "expected"),
    [
        ([], "", True),
        (["GPU:0"], "", False),
        (["GPU:0"], "1", True),
        ([], "0", False),
    ],
)
def test_is_deterministic_where_there_is_no_gpu_or_where_told(
    monkeypatch, gpus, value, expected
):
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setenv("TL_DETERMINISTIC", value)
    assert profiles.is_deterministic() is expected


def test_is_colab_sees_the_environment_variable(monkeypatch):
    assert not profiles.is_colab()
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    assert profiles.is_colab()


def test_folders_come_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TL_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "stick").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TL_DATA_DIR", "~/stick")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    assert profiles.cache_dir() == tmp_path / "cache"
    assert profiles.mirror_dir() == tmp_path / "stick"
    assert profiles.keras_dir() == tmp_path / "keras"


def test_folders_have_defaults_below_home(monkeypatch):
    for name in ("TL_CACHE_DIR", "TL_DATA_DIR", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert profiles.cache_dir() == Path.home() / ".cache" / "tl-helpers"
    assert profiles.mirror_dir() is None
    assert profiles.keras_dir() == Path.home() / ".keras"


def test_an_empty_setting_is_none_at_all(monkeypatch):
    names = ("PROFILE", "DATASET", "BACKBONE", "OFFLINE", "STRICT", "CACHE_DIR")
    for name in names:
        monkeypatch.delenv(f"TL_{name}", raising=False)
    without = profiles.current(), profiles.cache_dir()
    for name in names:
        monkeypatch.setenv(f"TL_{name}", "")
    monkeypatch.setenv("TL_DATA_DIR", " ")
    assert (profiles.current(), profiles.cache_dir()) == without
    assert profiles.mirror_dir() is None


def test_mirror_dir_says_that_the_folder_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("TL_DATA_DIR", str(tmp_path / "datasest"))
    with pytest.raises(FileNotFoundError, match="datasest, a folder that is not there"):
        profiles.mirror_dir()


@pytest.fixture
def no_home(monkeypatch):
    """A user who is a number, without a name and a home, as in a container."""
    pwd = pytest.importorskip("pwd")

    def nobody(number):
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("HOME", "TL_CACHE_DIR", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RuntimeError):
        Path.home()


def test_folders_are_found_without_a_home(no_home, monkeypatch):
    assert profiles.cache_dir() == Path("/tmp/.cache/tl-helpers")
    assert profiles.keras_dir() == Path("/tmp/.keras")  # where Keras looks, too
    monkeypatch.setenv("TL_DATA_DIR", "~/stick")
    with pytest.raises(FileNotFoundError, match="TL_DATA_DIR=~/stick, a folder that"):
        profiles.mirror_dir()


def test_data_dir_prefers_the_data_inside_the_package(monkeypatch, tmp_path):
    for folder in (tmp_path / "tl_helpers" / "data", tmp_path / "data"):
        (folder / "solids").mkdir(parents=True)
    monkeypatch.setattr(profiles, "__file__", str(tmp_path / "tl_helpers/profiles.py"))
    assert profiles.data_dir() == tmp_path / "tl_helpers" / "data"


def test_data_dir_says_where_it_looked(monkeypatch, tmp_path):
    monkeypatch.setattr(profiles, "__file__", str(tmp_path / "tl_helpers/profiles.py"))
    with pytest.raises(FileNotFoundError, match="reinstall the package"):
        profiles.data_dir()


# Batch normalization on rows adds three gradients up, which is where the bits went.
TRAIN = """
import hashlib, sys
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(2)
from tl_helpers import profiles
profiles.make_deterministic(0)
import keras, numpy as np
from keras import layers
from tl_helpers import training
from tl_helpers.adaptation import CDAN, Ramp, pairs
from tl_helpers.features import Features

def digest(model):
    weights = b"".join(weight.tobytes() for weight in model.get_weights())
    return hashlib.sha256(weights).hexdigest()

def compiled(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, steps_per_execution=32)
    return model

rng = np.random.default_rng(0)
images, labels = rng.random((64, 8, 8, 3), "float32"), np.arange(64) % 4
model = compiled(keras.Sequential([layers.Conv2D(8, 3), layers.BatchNormalization(),
    layers.ReLU(), layers.Dropout(0.5), layers.Flatten(), layers.Dense(4)]))
model.fit(images, labels, epochs=2, batch_size=16, verbose=0)
print("images", digest(model))

source, target = rng.normal(size=(2, 640, 192)).astype("float32")
labels = np.arange(640) % 8
encoder = keras.Sequential([keras.Input((192,)), layers.Dense(256, "relu")])
head = keras.Sequential([keras.Input((256,)), layers.Dense(8)])
model = compiled(CDAN(encoder, head))
for seed in (0, 1, 0):
    training.reinitialise(model, seed)
    data = pairs(Features(source, labels), target, 64, seed)
    model.fit(data, epochs=int(sys.argv[1]), callbacks=[Ramp()], verbose=0)
    print("CDAN", seed, digest(model))
threads = tf.config.threading
print(threads.get_inter_op_parallelism_threads(), "operation at a time on",
      threads.get_intra_op_parallelism_threads(), "threads")
"""
EIGHT_OPERATIONS = {"TF_NUM_INTEROP_THREADS": "8"}  # at a time, if nothing says less
BUSY = "while True: pass"


def start(code, *arguments):
    quiet = os.environ | EIGHT_OPERATIONS | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, env=quiet, stdout=subprocess.PIPE, text=True)


def assert_repeated(outputs):
    assert len(set(outputs)) == 1, outputs
    _, first, other, again, threads = outputs[0].splitlines()
    assert first == again and first.split()[-1] != other.split()[-1]
    assert threads == "1 operation at a time on 2 threads"


def test_make_deterministic_repeats_trainings_in_other_processes():
    processes = [start(TRAIN, "1") for _ in range(2)]
    assert_repeated([process.communicate()[0] for process in processes])


@pytest.mark.slow
def test_make_deterministic_repeats_a_longer_training_under_load():
    """Without it, every second one comes out another: 8 threads start operations."""
    outputs = [start(TRAIN, "10").communicate()[0]]
    busy = [start(BUSY) for _ in range(2)]
    try:
        under_load = [start(TRAIN, "10") for _ in range(2)]
        outputs += [process.communicate()[0] for process in under_load]
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert_repeated(outputs)


AWAKE = """
import tensorflow as tf
tf.zeros(1)
from tl_helpers import profiles
profiles.start()
"""


def test_start_says_that_it_comes_too_late():
    done = subprocess.run(
        [sys.executable, "-c", AWAKE], capture_output=True, text=True, check=True
    )
    assert "RuntimeWarning: Got a TensorFlow that has computed already" in done.stderr


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, "0", None])
def test_start_refuses_what_is_no_seed(seed):
    with pytest.raises(ValueError, match="expected a whole number from 0 to"):
        profiles.start(seed)


FIT = """
import sys
from tl_helpers import profiles
profiles.start()
import keras, numpy as np
from tl_helpers.adaptation import DANN, dense_network, pairs
from tl_helpers.features import Features
rows = np.random.default_rng(0).random((32, 3), "float32")
model = DANN(dense_network(3, (), 4), dense_network(4, (), 2))
model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(pairs(Features(rows, np.arange(32) % 2), rows, 8), verbose=0)
"""


def test_start_keeps_the_log_of_later_fits_out_of_the_notebook():
    plain = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-c", FIT]
    done = subprocess.run(command, env=plain, check=True, capture_output=True)
    assert done.stderr == b""
