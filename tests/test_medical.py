"""Medical sets: tiny files of their layout, and the mirror itself."""

import dataclasses
import io

import numpy as np
import pytest
from loopback import loopback_fixture  # noqa: F401 (used by name)
from sklearn.metrics import roc_auc_score

from tl_helpers import datasets
from tl_helpers.datasets import real
from tl_helpers.datasets.catalogue import REAL, Archive
from tl_helpers.datasets.medical import RATINGS
from tl_helpers.scans import to_rgb


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """An empty mirror, and no network."""
    monkeypatch.setenv("TL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TL_OFFLINE", "1")
    return tmp_path


def packed(rows):
    return np.packbits(rows.reshape(len(rows), -1), axis=1)


def lung_arrays(number=3, side=5):
    """What `lung_nodules.npz` holds, at random; masks lie where it is bright."""
    rng = np.random.default_rng(0)
    planes = rng.integers(0, 256, (number, side, side, 3), np.uint8)
    slices = rng.integers(0, 256, (number, 4, side, side), np.uint8)
    return {
        "planes": planes,
        "plane_masks": packed(planes > 200),
        "slices": slices,
        "slice_masks": packed(slices > 200),
        "slice_offsets": np.array([-6, -3, 3, 6]),
        "patient": np.arange(number) + 70,
        "mask_volume": np.array([100, 20, 3], np.int32),
        "patches": slices[:, 0, :4, :4],
        "patch_label": np.array([1, 0, 1], np.uint8),
        "patch_nodule": np.array([0, 2, 2], np.int16),
        "hu_window": np.array([-1200, 400]),
    } | {name: np.array([2, 3, 4], np.uint8) for name in RATINGS}


def test_lung_nodules_come_in_hounsfield_units(mirror):
    arrays = lung_arrays()
    np.savez(mirror / "lung_nodules.npz", **arrays)
    nodules = datasets.load("lung_nodules")
    extras = nodules.extras
    expected = -1200 + arrays["planes"] * (1600 / 255)
    np.testing.assert_allclose(extras["planes_hu"], expected, atol=0.501)
    assert np.array_equal(extras["hu"], extras["planes_hu"][..., 0])
    assert np.array_equal(extras["mask"], arrays["planes"][..., 0] > 200)
    assert np.array_equal(nodules.images, to_rgb(extras["hu"]))
    assert nodules.labels.tolist() == [0, 0, 1]  # 3, "cannot say", is not suspicious
    assert extras["volume_voxels"].tolist() == [100, 20, 3]


def test_lung_slices_lie_in_order_around_the_middle_one(mirror):
    arrays = lung_arrays()
    np.savez(mirror / "lung_nodules.npz", **arrays)
    slices = datasets.load("lung_nodules", "slices")
    extras = slices.extras
    assert extras["slice"].tolist() == 3 * [-6, -3, 0, 3, 6]
    assert extras["patient"].tolist() == np.repeat([70, 71, 72], 5).tolist()
    assert slices.labels.tolist() == np.repeat([0, 0, 1], 5).tolist()
    middle = datasets.load("lung_nodules").extras
    for name in ("hu", "mask"):
        assert np.array_equal(extras[name][extras["slice"] == 0], middle[name])
    code = arrays["slices"][1, 3]  # of nodule 1, 6 voxels up
    np.testing.assert_allclose(extras["hu"][9], -1200 + code * (1600 / 255), atol=0.501)
    assert np.array_equal(extras["mask"][9], code > 200)


def test_lung_patches_know_nodule_and_patient(mirror):
    np.savez(mirror / "lung_nodules.npz", **lung_arrays())
    patches = datasets.load("lung_nodules", "patches")
    assert patches.images.shape == (3, 4, 4, 3)
    assert patches.class_counts() == {"no nodule": 1, "nodule": 2}
    assert patches.extras["patient"].tolist() == [70, 72, 72]
    larger = datasets.load("lung_nodules", "patches", size_px=8)
    assert larger.images.shape == (3, 8, 8, 3) and larger.extras["hu"].shape[1] == 8


def medmnist(volumes=False):
    """Bytes of a file as MedMNIST lays them out, and its training images."""
    rng = np.random.default_rng(0)
    shape, arrays = (28,) * (3 if volumes else 2), {}
    for part, count in {"train": 4, "val": 2, "test": 3}.items():
        images = rng.integers(0, 256, (count, *shape), np.uint8)
        arrays[f"{part}_images"] = images
        arrays[f"{part}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue(), arrays["train_images"]


def test_pneumoniamnist_is_fetched_as_it_is(loopback, monkeypatch, tmp_path):
    content, images = medmnist()
    monkeypatch.delenv("TL_DATA_DIR", raising=False)
    monkeypatch.setenv("TL_CACHE_DIR", str(tmp_path))
    archive = Archive(loopback.url("whole", "pneumoniamnist.npz", content))
    spec = dataclasses.replace(REAL["pneumoniamnist"], archives=(archive,))
    assert REAL["pneumoniamnist"].archives[0].file_name == "pneumoniamnist.npz"
    monkeypatch.setitem(REAL, "pneumoniamnist", spec)
    train = datasets.load("pneumoniamnist")
    assert np.array_equal(train.images, np.repeat(images[..., None], 3, axis=-1))
    assert train.class_counts() == {"normal": 2, "pneumonia": 2}
    assert datasets.load("pneumoniamnist", "val").labels.tolist() == [0, 1]
    assert loopback.hits == {"pneumoniamnist.npz": 1}


def test_train_and_test_of_medmnist_are_the_official_ones(mirror):
    (mirror / "pneumoniamnist.npz").write_bytes(medmnist()[0])
    train, test = datasets.train_and_test("pneumoniamnist")
    assert len(train) == 4 and len(test) == 3


def test_nodulemnist3d_shows_the_three_planes_through_the_middle(mirror):
    content, volumes = medmnist(volumes=True)
    (mirror / "nodulemnist3d.npz").write_bytes(content)
    train = datasets.load("nodulemnist3d")
    assert train.class_names == ("benign", "malignant")
    assert np.array_equal(train.images[..., 0], volumes[:, 14])
    assert np.array_equal(train.images[..., 1], volumes[:, :, 14])
    assert np.array_equal(train.images[..., 2], volumes[:, :, :, 14])


@pytest.mark.parametrize("name", ["lung_nodules", "pneumoniamnist", "nodulemnist3d"])
@pytest.mark.parametrize("content", [b"<html>Sign in</html>", medmnist()[0][:999]])
def test_a_damaged_file_is_named(mirror, name, content):
    (mirror / f"{name}.npz").write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}.npz, which cannot be read.*fetch it"):
        datasets.load(name)


def test_what_no_program_can_fetch_says_where_it_is_looked_for(mirror):
    with pytest.raises(
        FileNotFoundError, match="put it where TL_DATA_DIR/lung_nodules"
    ):
        datasets.load("lung_nodules")
    with pytest.raises(FileNotFoundError, match="TL_DATA_DIR/lidc_predictions.npz"):
        datasets.load_lidc_predictions()


def test_lidc_predictions_unpack_their_masks(mirror):
    is_val = np.random.default_rng(0).random((3, 1, 2, 11)) < 0.5
    fold = np.arange(33, dtype=np.uint8).reshape(3, 1, 11) % 2
    whole = {name: np.arange(11, dtype=np.uint8) for name in ("patient", "nodule")}
    whole |= {"n_annotators": np.full(11, 4, np.uint8), "fold": fold}
    whole |= {"label": np.ones(11, np.uint8), "val": np.packbits(is_val, axis=-1)}
    names = {"arms": np.array(["patient", "random", "nodule"])}
    names |= {"architectures": np.array(["small"])}
    np.savez(mirror / "lidc_predictions.npz", **whole, **names)
    answers = datasets.load_lidc_predictions()
    assert np.array_equal(answers["val"], is_val)
    assert answers["arms"] == ("patient", "random", "nodule")
    assert answers["fold"].dtype == answers["label"].dtype == np.int64


def test_phantom_lungs_are_split_by_patient():
    train, test = datasets.train_and_test("phantom_lungs", "b")
    datasets.check_groups_apart(train.extras["patient"], test.extras["patient"])
    assert 0.2 < len(test) / 672 < 0.3


# --- The mirror ---------------------------------------------------------------------


@pytest.mark.realdata
def test_real_lung_nodules(monkeypatch):
    monkeypatch.setenv("TL_OFFLINE", "1")
    nodules = datasets.load("lung_nodules")
    extras = nodules.extras
    assert len(nodules) == len(np.unique(extras["patient"])) == 134
    assert np.bincount(extras["malignancy"]).tolist() == [0, 2, 24, 41, 39, 28]
    assert extras["hu"].min() == -1200 and extras["hu"].max() == 400
    assert extras["hu"][extras["mask"]].mean() > -300  # not lung, which is near -850
    sure = extras["malignancy"] != 3
    volumes = extras["volume_voxels"][sure]
    assert roc_auc_score(nodules.labels[sure], volumes) == pytest.approx(
        0.782, abs=0.02
    )
    patches = datasets.load("lung_nodules", "patches")
    middle = patches.extras["hu"][:, 12:20, 12:20].mean(axis=(1, 2))
    assert patches.class_counts() == {"no nodule": 399, "nodule": 402}
    assert roc_auc_score(patches.labels, middle) > 0.6


@pytest.mark.realdata
def test_real_pneumoniamnist(monkeypatch):
    monkeypatch.setenv("TL_OFFLINE", "1")
    sizes = [len(datasets.load("pneumoniamnist", x)) for x in ("train", "val", "test")]
    assert sizes == [4708, 524, 624]
    test = datasets.load("pneumoniamnist", "test")
    assert test.class_counts() == {"normal": 234, "pneumonia": 390}


@pytest.mark.realdata
def test_real_nodulemnist3d(monkeypatch):
    monkeypatch.setenv("TL_OFFLINE", "1")
    if real.find("nodulemnist3d") is None:
        pytest.skip("this mirror has no nodulemnist3d.npz")
    assert len(datasets.load("nodulemnist3d", "test")) == 310


@pytest.mark.realdata
def test_real_lidc_predictions_give_the_published_areas(monkeypatch):
    """Fold-mean AUC by slice; the split at random gains 0.064 and 0.082."""
    monkeypatch.setenv("TL_OFFLINE", "1")
    answers = datasets.load_lidc_predictions()
    labels, fold = answers["label"], answers["fold"]
    assert len(np.unique(answers["patient"])) == 740

    def area(architecture, arm):
        prob = answers["prob"][architecture, arm]
        tests = [(r, fold[arm, r] == f) for r in range(3) for f in range(5)]
        return np.mean([roc_auc_score(labels[x], prob[r][x]) for r, x in tests])

    gains = [area(k, 1) - area(k, 0) for k in (0, 1)]
    assert answers["architectures"][:2] == ("densenet121", "efficientnet_b0")
    assert gains == pytest.approx([0.064, 0.082], abs=0.001)
    assert area(0, 0) == pytest.approx(0.906, abs=0.001)
    for repeat in range(3):
        for side in range(5):
            is_test = fold[0, repeat] == side
            patients = answers["patient"]
            datasets.check_groups_apart(patients[is_test], patients[~is_test])
