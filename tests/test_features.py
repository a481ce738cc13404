"""Feature extraction: right values, in order, cached by content, never trusted."""

import errno
import json
import multiprocessing
import pickle

import keras
import numpy as np
import pytest

from tl_helpers import backbones, features, storage
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


def name_of(letter):
    return f"tl-features-{32 * letter}"


def test_cache_holds_no_pickle(cache, monkeypatch):
    values = np.array([[1.0, None]], object)
    features._write_entry(name_of("a"), values)
    assert features._read_entry(name_of("a")) is None


def test_cache_drops_what_was_not_used_for_longest(cache, monkeypatch):
    monkeypatch.setattr(features, "MAX_CACHE_BYTES", 2500)
    for key in "abc":
        features._write_entry(name_of(key), np.ones((1, 200), np.float32))
    assert [entry.stem for entry in features._entries()] == [name_of("b"), name_of("c")]
    assert not (cache / f"{name_of('a')}.json").exists()


FOREIGN = ["my_results.csv", "0123456789abcdef0123456789abcdef.npz", "notes/a.json"]


def put_foreign_files(folder):
    for name in FOREIGN:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("a person's own")


def test_clear_cache_deletes_only_what_it_named(cache):
    put_foreign_files(cache)
    features._write_entry(name_of("a"), np.ones((1, 2), np.float32))
    assert features.cache_info()["entries"] == 1
    assert features.clear_cache() == 1
    left = {str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file()}
    assert left == {*FOREIGN, features.MARKER}


def test_clear_cache_touches_no_folder_without_its_marker(cache):
    put_foreign_files(cache)
    (cache / f"{name_of('a')}.npz").write_text("named alike")
    assert features.cache_info()["entries"] == 0
    assert features.clear_cache() == 0
    assert (cache / f"{name_of('a')}.npz").exists()


def test_cache_makes_room_among_its_own_files_only(cache, monkeypatch):
    monkeypatch.setattr(features, "MAX_CACHE_BYTES", 0)
    put_foreign_files(cache)
    for key in "ab":
        features._write_entry(name_of(key), np.ones((1, 200), np.float32))
    assert all((cache / name).exists() for name in FOREIGN)
    assert [entry.stem for entry in features._entries()] == [name_of("b")]


def test_clear_cache_leaves_what_is_being_written(cache):
    entry = cache / f"{name_of('a')}.npz"
    with storage.whole_or_nothing(entry) as part:
        part.write_text("half")
        features._write_entry(name_of("b"), np.ones((1, 2), np.float32))
        assert features.clear_cache() == 1
        part.write_text("whole")
    assert entry.read_text() == "whole"


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("step", ["write_text", "_write_values", "write_json"])
def test_extract_outlives_a_full_disk(backbone, monkeypatch, step):
    monkeypatch.setattr(features, step, full_disk)
    with pytest.warns(UserWarning, match="No space left on device; expected a folder"):
        found = features.extract(backbone, make_images())
    np.testing.assert_array_equal(
        found.values, features.compute(backbone, make_images())
    )


def test_extract_reads_from_a_cache_that_may_only_be_read(backbone, cache, monkeypatch):
    first = features.extract(backbone, make_images())
    monkeypatch.setattr(features.os, "utime", full_disk)
    monkeypatch.setattr(features, "compute", None)
    second = features.extract(backbone, make_images())
    np.testing.assert_array_equal(first.values, second.values)


def _write_often(value):
    for _ in range(30):
        features._write_entry(name_of("a"), np.full((50, 50), value, np.float32))
        values = features._read_entry(name_of("a"))
        assert values is None or len(np.unique(values)) == 1


def _clear_often():
    for _ in range(100):
        features.clear_cache()
        features.cache_info()


def test_two_processes_do_each_other_no_harm(cache):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write_often, args=(v,)) for v in (1, 2)]
    workers.append(context.Process(target=_clear_often))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert {path.suffix for path in cache.iterdir()} <= {".npz", ".json", ".txt"}


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
        ("abc", [0, 1, 1], None, "values of type str and shape"),
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


@pytest.mark.parametrize("look", [features.extract, features.compute])
def test_features_follow_weights_that_changed(look):
    backbone, images = tiny(), make_images()
    before = look(backbone, images)
    kernel = backbone.network.get_layer("first").kernel
    kernel.assign(-1.5 * kernel)
    after = look(backbone, images)
    wanted = backbone.extractor().predict(images.pixels(), verbose=0)
    after, before = (getattr(x, "values", x) for x in (after, before))
    np.testing.assert_allclose(after, wanted, rtol=1e-3, atol=1e-5)
    assert not np.allclose(before, after)


def test_extract_follows_an_array_that_changed(backbone):
    pixels = np.array(make_images().images)
    images = ImageSet(pixels, np.arange(10) % 2, ("a", "b"), make_images().provenance)
    before = features.extract(backbone, images).values
    pixels[:] = 0
    after = features.extract(backbone, images).values
    np.testing.assert_array_equal(after, features.compute(backbone, images))
    assert not np.allclose(before, after)


def test_extract_keeps_nothing_of_images_that_change_meanwhile(backbone, monkeypatch):
    pixels = np.array(make_images().images)
    images = ImageSet(pixels, np.arange(10) % 2, ("a", "b"), make_images().provenance)
    compute = features.compute

    def change_and_compute(*arguments):
        pixels[:] = 0
        return compute(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(features, "compute", change_and_compute)
        dark = features.extract(backbone, images).values
    bright = features.extract(backbone, make_images()).values  # not from the cache
    assert not np.allclose(dark, bright)


def tiny(activation="relu", policy="float32", end="first", layer=None):
    """A backbone of one block with fixed weights, from 48 px."""
    policy = keras.DTypePolicy(policy)
    images = keras.Input((48, 48, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    for name in ("first", "second"):
        x = keras.layers.Conv2D(
            4, 3, 4, name=name, dtype=policy, activation=activation
        )(x)
    x = x if layer is None else layer(x)
    network = keras.Model(images, x)
    rng = np.random.default_rng(0)
    network.set_weights([rng.normal(size=w.shape) / 9 for w in network.weights])
    return backbones.Backbone("tiny", network, {"block": end}, None)


@pytest.mark.parametrize(
    "change",
    [{"policy": "mixed_float16"}, {"activation": "silu"}, {"end": "second"}],
)
def test_extract_tells_networks_of_equal_weights_apart(change):
    images = make_images()
    plain = features.extract(tiny(), images).values
    other = features.extract(tiny(**change), images).values
    assert not np.array_equal(plain, other)
    np.testing.assert_array_equal(other, features.compute(tiny(**change), images))


def test_extract_follows_a_layer_whose_activation_changed():
    images, backbone = make_images(), tiny()
    plain = features.extract(backbone, images).values
    backbone.network.get_layer("first").activation = keras.activations.silu
    other = features.extract(backbone, images).values
    wanted = features.compute(tiny(), images)
    np.testing.assert_array_equal(plain, wanted)
    assert not np.allclose(other, wanted)


def test_extract_finds_the_same_network_again(monkeypatch):
    """Keras counts its layers on; names that it made decide nothing."""
    calls = count_computations(monkeypatch)
    for _ in range(2):
        features.extract(tiny(), make_images())
    assert len(calls) == 1


class Doubled(keras.layers.Layer):
    """A layer whose code no key describes."""

    def call(self, x):
        return 2 * x


@pytest.mark.parametrize(
    "layer",
    [
        Doubled(),
        keras.layers.Lambda(lambda x: 2 * x),
        keras.layers.Activation(lambda x: 2 * x),
    ],
)
def test_extract_does_not_cache_what_it_cannot_describe(cache, layer):
    backbone = tiny(end=layer.name, layer=layer)
    with pytest.warns(UserWarning, match="; its features are not cached"):
        values = features.extract(backbone, make_images()).values
    wanted = 2 * features.compute(tiny(end="second"), make_images())
    np.testing.assert_allclose(values, wanted, rtol=1e-4)
    assert not list(cache.glob("*.npz"))


def test_compute_traces_once_for_each_size(monkeypatch):
    backbone, traced = tiny(), []
    as_constants = features._as_constants
    monkeypatch.setattr(
        features, "_as_constants", lambda *a: traced.append(1) or as_constants(*a)
    )
    small, large = make_images(), make_images().resized(64)
    for images in (small, large, small, large):
        features.compute(backbone, images)
    assert len(traced) == 2


def test_pooling_is_float32_and_channels_last_however_keras_is_set():
    images = make_images()
    wanted = features.compute(tiny(), images)
    backbone = tiny()
    keras.config.set_dtype_policy("mixed_float16")
    keras.config.set_image_data_format("channels_first")
    try:
        found = features.compute(backbone, images)
    finally:
        keras.config.set_dtype_policy("float32")
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_array_equal(found, wanted)
