"""Feature extraction: right values, in order, cached by content, never trusted."""

import json
import multiprocessing
import pickle

import keras
import numpy as np
import pytest

from tl_helpers import backbones, features
from tl_helpers.datasets import ImageSet, Provenance


@pytest.fixture(scope="module")
def backbone():
    return backbones.load("embedded")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TL_CACHE_DIR", str(tmp_path))
    return tmp_path / "features"


def make_images(num_images=10, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (num_images, 48, 48, 3), np.uint8)
    labels = np.arange(num_images) % 2
    return ImageSet(pixels, labels, ("a", "b"), Provenance("test", "", "", ""))


def count_computations(monkeypatch):
    calls = []
    compute = features.compute
    monkeypatch.setattr(
        features, "compute", lambda *args: calls.append(1) or compute(*args)
    )
    return calls


def test_extract_equals_one_image_at_a_time(backbone, monkeypatch):
    monkeypatch.setattr(features, "batch_size", lambda shape: 4)
    images = make_images()
    values, labels = features.extract(backbone, images, "block3")
    one = backbone.extractor("block3")
    singly = [one(images.pixels([i]))[0] for i in range(len(images))]
    np.testing.assert_allclose(values, np.array(singly), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(labels, images.labels)
    assert values.dtype == np.float32


def test_extract_twice_computes_once(backbone, monkeypatch):
    calls = count_computations(monkeypatch)
    first = features.extract(backbone, make_images())
    second = features.extract(backbone, make_images())
    assert len(calls) == 1
    np.testing.assert_array_equal(first.values, second.values)


@pytest.mark.parametrize(
    "change",
    [
        {"image_set": make_images(seed=1)},
        {"block": "block2"},
        {"image_set": make_images().resized(64)},
        {"backbone": "fresh"},
    ],
)
def test_extract_recomputes_when_anything_changed(backbone, monkeypatch, change):
    calls = count_computations(monkeypatch)
    same = {"backbone": backbone, "image_set": make_images()}
    features.extract(**same)
    if "backbone" in change:
        change = {"backbone": backbones.load("embedded", pretrained=False)}
    features.extract(**(same | change))
    assert len(calls) == 2


def damage(entry, how):
    manifest = entry.with_suffix(".json")
    if how == "truncated":
        entry.write_bytes(entry.read_bytes()[:-20])
    elif how == "one bit":
        data = bytearray(entry.read_bytes())
        data[len(data) // 2] ^= 1
        entry.write_bytes(bytes(data))
    elif how == "pickled":
        entry.write_bytes(pickle.dumps(np.zeros((10, 192), np.float32)))
    elif how == "foreign":
        np.savez(entry, values=np.zeros((10, 192), np.float32))
    elif how == "no manifest":
        manifest.unlink()
    elif how == "broken manifest":
        manifest.write_text("[1")
    elif how == "manifest of a list":
        manifest.write_text(json.dumps([1]))


@pytest.mark.parametrize(
    "how",
    [
        "truncated",
        "one bit",
        "pickled",
        "foreign",
        "no manifest",
        "broken manifest",
        "manifest of a list",
    ],
)
def test_extract_never_trusts_a_damaged_entry(backbone, cache, monkeypatch, how):
    first = features.extract(backbone, make_images())
    damage(next(cache.glob("*.npz")), how)
    calls = count_computations(monkeypatch)
    second = features.extract(backbone, make_images())
    assert len(calls) == 1
    np.testing.assert_array_equal(first.values, second.values)


def test_cache_holds_no_pickle(cache, monkeypatch):
    values = np.array([[1.0, None]], object)
    features._write_entry("key", values)
    assert features._read_entry("key") is None


def test_cache_drops_what_was_not_used_for_longest(cache, monkeypatch):
    monkeypatch.setattr(features, "MAX_CACHE_BYTES", 2500)
    for key in "abc":
        features._write_entry(key, np.ones((1, 200), np.float32))
    assert [entry.stem for entry in features._entries()] == ["b", "c"]
    assert not (cache / "a.json").exists()


def test_clear_cache_leaves_nothing(cache):
    features._write_entry("key", np.ones((1, 2), np.float32))
    assert features.cache_info()["entries"] == 1
    assert features.clear_cache() == 1
    assert not list(cache.iterdir())


def _write_often(value):
    for _ in range(30):
        features._write_entry("same", np.full((50, 50), value, np.float32))
        values = features._read_entry("same")
        assert values is None or len(np.unique(values)) == 1


def test_two_processes_do_each_other_no_harm(cache):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write_often, args=(v,)) for v in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert {path.suffix for path in cache.iterdir()} == {".npz", ".json"}


def test_standardise_leaves_constant_columns_at_zero():
    values = features.standardise(np.array([[1.0, 5], [3, 5]]))
    np.testing.assert_array_equal(values, [[-1, 0], [1, 0]])


def test_standardise_takes_the_unit_of_another_set():
    rows = features.Features(np.array([[1.0, 5], [3, 5]]), np.array([0, 1]))
    like = np.array([[0.0, 3], [4, 3]])  # means 2 and 3, deviations 2 and 0
    unit = features.standardise(rows, like=like)
    np.testing.assert_array_equal(unit.values, [[-0.5, 2], [0.5, 2]])
    np.testing.assert_array_equal(unit.labels, rows.labels)
    np.testing.assert_array_equal(
        features.standardise(rows.values, like=features.Features(like, [0, 1])),
        unit.values,
    )


def test_class_names_go_along_with_features(backbone):
    rows = features.standardise(features.extract(backbone, make_images())[1:])
    assert rows.class_names == ("a", "b") and len(list(rows)) == 2


@pytest.mark.parametrize(
    ("values", "labels", "names", "sentence"),
    [
        (np.ones((3, 2)), [0, 1], None, r"labels of shape \(2,\) for 3 rows"),
        (np.ones((3, 2)), [[0], [1], [1]], None, r"labels of shape \(3, 1\) for 3"),
        (np.ones((3, 2)), ["a", "b", "b"], None, "such as a, b, b, expected class num"),
        (np.ones((3, 2)), [0, 1, 2], ("a", "b"), "from 0 to 2, expected 0 to 1 for 2"),
        (np.ones((3, 2)), [0, 1, 1], ("a", "a"), "class name 'a' twice"),
        ("abc", [0, 1, 1], None, "values of type str, expected an array"),
    ],
)
def test_features_refuse_labels_that_do_not_fit(values, labels, names, sentence):
    with pytest.raises(ValueError, match=sentence):
        features.Features(values, labels, names)


@pytest.mark.parametrize("rows", [[3], [-1], [0.0], [True, False], 1])
def test_features_refuse_rows_that_they_lack(rows):
    three = features.Features(np.ones((3, 2)), [0, 1, 1])
    with pytest.raises(ValueError, match="^Got .*expected"):
        three[rows]


def test_standardise_refuses_another_width():
    with pytest.raises(ValueError, match="as many columns"):
        features.standardise(np.ones((2, 3)), like=np.ones((2, 4)))


@pytest.mark.parametrize(
    ("size_px", "wanted"), [(16, 128), (64, 64), (96, 32), (224, 8), (1000, 8)]
)
def test_batch_size_falls_with_the_pixels(monkeypatch, size_px, wanted):
    monkeypatch.setattr(features.profiles, "has_gpu", lambda: False)
    assert features.batch_size((size_px, size_px, 3)) == wanted


def test_batch_size_keeps_a_gpu_busy(monkeypatch):
    monkeypatch.setattr(features.profiles, "has_gpu", lambda: True)
    assert features.batch_size((224, 224, 3)) == 128


def test_compute_follows_weights_that_changed(backbone):
    copy = backbones.Backbone("copy", *_clone(backbone), backbone.provenance)
    images = make_images()
    before = features.compute(copy, images)
    for weight in copy.network.weights:
        weight.assign(weight * 1.5)
    wanted = copy.extractor().predict(images.pixels(), verbose=0)
    after = features.compute(copy, images)
    np.testing.assert_allclose(after, wanted, rtol=1e-3, atol=1e-5)
    assert not np.allclose(before, after)


def _clone(backbone):
    network = keras.models.clone_model(backbone.network)
    network.set_weights(backbone.network.get_weights())
    return network, backbone.block_layers
