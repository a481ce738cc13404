import hashlib
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


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), ("0", False), ("", False)]
)
def test_is_offline_reads_the_environment(monkeypatch, value, expected):
    monkeypatch.setenv("TL_OFFLINE", value)
    assert profiles.is_offline() is expected


def test_is_colab_sees_the_environment_variable(monkeypatch):
    assert not profiles.is_colab()
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    assert profiles.is_colab()


def test_folders_come_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TL_DATA_DIR", "~/stick")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    assert profiles.cache_dir() == tmp_path / "cache"
    assert profiles.mirror_dir() == Path.home() / "stick"
    assert profiles.keras_dir() == tmp_path / "keras"


def test_folders_have_defaults_below_home(monkeypatch):
    for name in ("TL_CACHE_DIR", "TL_DATA_DIR", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert profiles.cache_dir() == Path.home() / ".cache" / "tl-helpers"
    assert profiles.mirror_dir() is None
    assert profiles.keras_dir() == Path.home() / ".keras"


def test_data_dir_prefers_the_data_inside_the_package(monkeypatch, tmp_path):
    for folder in (tmp_path / "tl_helpers" / "data", tmp_path / "data"):
        (folder / "solids").mkdir(parents=True)
    monkeypatch.setattr(profiles, "__file__", str(tmp_path / "tl_helpers/profiles.py"))
    assert profiles.data_dir() == tmp_path / "tl_helpers" / "data"


def test_data_dir_says_where_it_looked(monkeypatch, tmp_path):
    monkeypatch.setattr(profiles, "__file__", str(tmp_path / "tl_helpers/profiles.py"))
    with pytest.raises(FileNotFoundError, match="reinstall the package"):
        profiles.data_dir()


TRAIN = """
import sys, numpy as np
from tl_helpers import profiles
profiles.make_deterministic(int(sys.argv[1]))
import keras
from keras import layers
images = np.random.default_rng(0).random((64, 8, 8, 3), "float32")
labels = np.arange(64) % 4
model = keras.Sequential([layers.Conv2D(8, 3), layers.BatchNormalization(),
    layers.ReLU(), layers.Dropout(0.5), layers.Flatten(), layers.Dense(4)])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile("adam", loss)
model.fit(images, labels, epochs=3, batch_size=16, verbose=0)
sys.stdout.buffer.write(b"".join(w.tobytes() for w in model.get_weights()))
"""


def weights_after_training(seed):
    command = [sys.executable, "-c", TRAIN, str(seed)]
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    output = subprocess.run(command, env=quiet, check=True, capture_output=True).stdout
    return hashlib.sha256(output).hexdigest()


def test_make_deterministic_repeats_training_bit_for_bit():
    first = weights_after_training(seed=0)
    assert weights_after_training(seed=0) == first
    assert weights_after_training(seed=1) != first


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
