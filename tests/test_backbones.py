"""Backbones: the embedded one's weights, blocks, errors, and freezing."""

import keras
import numpy as np
import pytest

from tl_helpers import backbones, features, profiles
from tl_helpers.backbones import hub
from tl_helpers.datasets import ImageSet, Provenance
from tl_helpers.saving import load_model, save_model


@pytest.fixture(scope="module")
def embedded():
    return backbones.load("embedded")


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)


def test_embedded_ships_small(embedded):
    assert (profiles.data_dir() / "embedded.npz").stat().st_size <= 3e6
    assert embedded.num_parameters <= 1_200_000
    assert len(embedded.blocks) >= 5


def test_load_freezes_pretrained_only(embedded):
    assert not embedded.network.trainable_weights
    assert backbones.load("embedded", pretrained=False).network.trainable_weights


def test_frozen_statistics_do_not_move_in_fit(embedded, images):
    """Trap 1: `training=False` is not enough on Keras 3, frozen layers are."""
    before = [w.numpy() for w in embedded.network.weights]
    head = keras.layers.Dense(2)(embedded.extractor().output)
    model = keras.Model(embedded.network.input, head)
    model.compile("sgd", "mse")
    model.fit(images, np.ones((4, 2)), verbose=0)
    for old, new in zip(before, embedded.network.weights, strict=True):
        np.testing.assert_array_equal(old, new.numpy())


def test_extractor_takes_bytes_and_floats_alike(embedded, images):
    as_bytes = embedded.extractor().predict_on_batch(images)
    as_floats = embedded.extractor().predict_on_batch(images.astype("float32"))
    np.testing.assert_array_equal(as_bytes, as_floats)


def test_extractor_pools_the_named_block(embedded, images):
    maps = embedded.extractor("block2", pool=False)(images)
    pooled = embedded.extractor("block2")(images)
    assert maps.shape == (4, 16, 16, 48)
    np.testing.assert_allclose(pooled, np.mean(maps, axis=(1, 2)), rtol=1e-4)


def test_extractor_names_the_blocks_there_are(embedded):
    with pytest.raises(ValueError, match="no block 'block9'; expected one of stem"):
        embedded.extractor("block9")


def test_embedded_saves_and_reloads(embedded, images, tmp_path):
    path = save_model(embedded.network, tmp_path / "embedded.keras")
    np.testing.assert_array_equal(
        load_model(path).predict_on_batch(images),
        embedded.network.predict_on_batch(images),
    )


def test_fingerprint_follows_the_weights():
    one = backbones.load("embedded")
    other = backbones.load("embedded")
    assert one.fingerprint == other.fingerprint
    changed = backbones.load("embedded")
    kernel = changed.network.get_layer("stem_conv").kernel
    kernel.assign(kernel + 1e-3)
    assert changed.fingerprint != one.fingerprint
    kernel.assign(one.network.get_layer("stem_conv").kernel)
    assert changed.fingerprint == one.fingerprint


def test_embedded_refuses_foreign_weights(tmp_path, monkeypatch):
    np.savez(tmp_path / "embedded.npz", wrong=np.zeros(3, np.float16))
    monkeypatch.setattr(profiles, "data_dir", lambda: tmp_path)
    with pytest.raises(ValueError, match="not those of the embedded network"):
        backbones.load("embedded")


@pytest.mark.realdata
def test_embedded_is_as_accurate_as_its_card_says():
    """The classifier is not shipped: a probe on the features must still know much."""
    from tl_helpers import datasets, features, probes

    train = datasets.load("tiny_imagenet", "val")
    classes = train[train.labels < 20]
    fit, test = datasets.split(classes, 0.8, 0.2)
    backbone = backbones.load("embedded")
    sets = [features.extract(backbone, part) for part in (fit, test)]
    assert probes.probe_accuracy(*sets) > 0.4


def write_hub_module(folder, size_px):
    """Write a module with a moving mean and return the network that it came from."""
    pixels = keras.Input((size_px, size_px, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="last")(pixels)
    network = keras.Model(pixels, keras.layers.BatchNormalization(name="norm")(x))
    toy = backbones.Backbone("toy", network, {"norm": "norm"}, None)
    hub.export_module(toy, folder)
    return toy


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A toy backbone and its name as a TF Hub module."""
    folder = tmp_path_factory.mktemp("hub") / "toy"
    return write_hub_module(folder, None), f"hub:{folder}"


def test_load_takes_a_hub_module(toy, images):
    original, name = toy
    backbone = backbones.load(name)
    assert backbone.blocks == ("features",) and backbone.name == name
    assert backbone.provenance.origin == name.removeprefix("hub:")
    assert backbone.num_parameters == original.num_parameters
    for pixels in (images, images.astype("float32")):
        values = backbone.extractor().predict_on_batch(pixels)
        expected = original.extractor().predict_on_batch(pixels)
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-4)


def test_hub_module_arrives_frozen_and_thaws(toy, images):
    network = backbones.load(toy[1]).network
    assert not network.trainable_weights
    network.trainable = True
    model = keras.Sequential([network, keras.layers.Dense(1)])
    before = network.get_weights()
    model.compile("sgd", "mse")
    model.fit(images / 255, np.ones((4, 1)), verbose=0)
    for old, weight in zip(before, network.weights, strict=True):
        assert not np.array_equal(old, weight.numpy()), weight.path


def test_hub_module_of_fixed_size_gets_its_size(tmp_path, images):
    original = write_hub_module(tmp_path / "fixed", 32)
    backbone = backbones.load(f"hub:{tmp_path / 'fixed'}")
    smaller = keras.layers.Resizing(32, 32)(images.astype("float32"))
    np.testing.assert_allclose(
        backbone.extractor().predict_on_batch(images),
        original.extractor().predict_on_batch(smaller),
        rtol=1e-4,
        atol=1e-4,
    )


def test_hub_module_gives_features(toy, images, monkeypatch):
    nowhere = Provenance("noise", "this test", "", "")
    image_set = ImageSet(images, np.array([0, 1, 0, 1]), ("even", "odd"), nowhere)
    values = features.extract(backbones.load(toy[1]), image_set).values
    assert values.shape == (4, 4)
    monkeypatch.setattr(features, "compute", None)  # the cache must answer
    again = features.extract(backbones.load(toy[1]), image_set).values
    np.testing.assert_array_equal(values, again)


def test_hub_module_has_no_random_weights(toy):
    with pytest.raises(ValueError, match="expected True: a module comes with its"):
        backbones.load(toy[1], pretrained=False)
