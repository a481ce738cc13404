import pytest

from tl_helpers import profiles
from tl_helpers.tools import doctor


@pytest.fixture
def home(monkeypatch, tmp_path):
    """An empty machine: no cache, no mirror, no weights; TensorFlow is not started."""
    monkeypatch.setattr(doctor, "TRY_IMPORTS", "print('tensorflow')")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path


def findings():
    return dict(doctor.report())


def test_report_names_versions_profile_and_folders(home):
    found = findings()
    assert found["tl-helpers"] == "0.1.0"
    assert found["keras"][0].isdigit() and found["tensorflow-hub"][0].isdigit()
    assert found["profile"].startswith("quick (the default")
    assert found["mirror"] == "none (TL_DATA_DIR is unset)"
    assert found["cache"] == f"{profiles.cache_dir()}: not there yet"
    assert float(found["free disk"].split()[0]) > 0


def test_report_imports_keras_and_tensorflow_for_good():
    assert findings()["backend"] in ("tensorflow", "jax", "torch")


def test_report_changes_nothing(home):
    doctor.report()
    assert not profiles.cache_dir().exists()
    assert not profiles.keras_dir().exists()


def test_report_adds_up_cache_and_lists_the_mirror(home, monkeypatch):
    (profiles.cache_dir() / "features").mkdir(parents=True)
    (profiles.cache_dir() / "features/a.npz").write_bytes(bytes(3_000_000))
    (home / "stick/pacs").mkdir(parents=True)
    (home / "stick/.pacs.done").touch()
    (home / "stick/mnist.npz").touch()
    monkeypatch.setenv("TL_DATA_DIR", str(home / "stick"))
    found = findings()
    assert found["cache"].endswith("tl-cache: 3 MB")
    assert found["features"].endswith("features: 3 MB")
    assert found["mirror"].endswith("stick: mnist, pacs")


def test_report_says_that_the_mirror_is_gone(home, monkeypatch):
    monkeypatch.setenv("TL_DATA_DIR", str(home / "unplugged"))
    found = findings()
    assert "a folder that is not there" in found["mirror"]
    assert "a folder that is not there" in found["not here yet"]


def test_report_says_that_the_mirror_is_one_level_below(home, monkeypatch):
    (home / "stick/datasets/pacs").mkdir(parents=True)
    monkeypatch.setenv("TL_DATA_DIR", str(home / "stick"))
    assert "set TL_DATA_DIR=" in findings()["not here yet"]


def test_report_says_that_the_network_is_forbidden(home, monkeypatch):
    assert findings()["network"] == "allowed"
    monkeypatch.setenv("TL_OFFLINE", "1")
    assert findings()["network"] == "forbidden (TL_OFFLINE)"


@pytest.mark.parametrize("fault", ["import none_such", "import os; os.abort()"])
def test_report_survives_a_broken_installation(home, monkeypatch, fault):
    monkeypatch.setattr(doctor, "TRY_IMPORTS", fault)
    found = findings()
    assert found["backend"].startswith("Keras or TensorFlow cannot be imported")


def test_report_names_a_gpu_and_a_driver_without_one(home, monkeypatch):
    monkeypatch.setattr(doctor, "TRY_IMPORTS", "print('jax'); print('H200')")
    assert (findings()["backend"], findings()["GPU"]) == ("jax", "H200")
    monkeypatch.setattr(doctor, "TRY_IMPORTS", "print('jax')")
    monkeypatch.setattr(profiles, "has_gpu", lambda: True)
    assert "TensorFlow sees none" in findings()["GPU"]


def test_missing_downloads_shrinks_as_files_arrive(home, monkeypatch):
    names = [line.split(":")[0] for line in doctor.missing_downloads()]
    assert {"mnist", "cifar10", "MobileNetV2"} <= set(names)
    assert "mnist_m" not in names  # made from mnist and bsds500
    (home / "stick/cifar10").mkdir(parents=True)
    monkeypatch.setenv("TL_DATA_DIR", str(home / "stick"))
    models = profiles.keras_dir() / "models"
    models.mkdir(parents=True)
    (
        models / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
    ).touch()
    left = [line.split(":")[0] for line in doctor.missing_downloads()]
    assert sorted(set(names) - set(left)) == ["MobileNetV2", "cifar10"]


def test_missing_downloads_says_what_must_be_fetched_by_hand(home):
    (line,) = [x for x in doctor.missing_downloads() if x.startswith("pacs")]
    assert line.endswith("to be fetched by hand")


def test_folder_bytes_is_zero_without_a_folder(home):
    assert doctor.folder_bytes(home / "none-such") == 0
