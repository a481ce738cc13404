"""Heads, freezing and thawing by block, and a model that refuses stale training."""

import keras
import numpy as np
import pytest
from tiny import moved, tiny_backbone, tiny_images, values_of

from tl_helpers import backbones, probes
from tl_helpers.backbones import applications, hub
from tl_helpers.finetuning import (
    classifier,
    freeze,
    layer_rates,
    parts,
    start_from_probe,
    thaw,
)
from tl_helpers.saving import load_model, save_model

STATISTICS = ("moving_mean", "moving_variance")


def compile_and_fit(model, images=None, epochs=1):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)
    model.fit((images or tiny_images()).batches(8), epochs=epochs, verbose=0)


def layers_of(paths):
    return {path.split("/")[0] for path in paths}


def test_classifier_gives_logits_of_the_backbones_features():
    backbone = tiny_backbone()
    model, pixels = classifier(backbone, 3), tiny_images().pixels()
    kernel, bias = model.get_layer("head_logits").get_weights()
    features = backbone.extractor().predict(pixels, verbose=0)
    logits = model.predict(pixels, verbose=0)
    np.testing.assert_allclose(logits, features @ kernel + bias, atol=1e-5)


def test_classifier_leaves_the_backbone_alone():
    backbone = tiny_backbone()
    before = values_of(backbone.network)
    model = classifier(backbone, 2)
    thaw(model, "block1", batch_norm=True)
    compile_and_fit(model)
    assert not moved(before, backbone.network)


def test_classifier_stops_after_a_block():
    model = classifier(tiny_backbone(), 2, block="block1")
    assert model.extractor().output_shape == (None, 4)
    assert list(parts(model)) == ["block1", "head"]


def test_classifier_builds_hidden_layers_and_dropout():
    model = classifier(tiny_backbone(), 2, hidden_units=(5, 7), dropout=0.5)
    widths = [x.units for x in parts(model)["head"] if hasattr(x, "units")]
    assert widths == [5, 7, 2]
    images = tiny_images().pixels().astype("float32")
    assert not np.allclose(model(images, training=True), model(images, training=True))


def test_classifier_refuses_one_class():
    with pytest.raises(ValueError, match="num_classes=1, expected .* from 2 on"):
        classifier(tiny_backbone(), 1)


def test_classifier_refuses_an_unknown_block():
    with pytest.raises(ValueError, match="no block 'block7'; expected one of block1"):
        classifier(tiny_backbone(), 2, block="block7")


def test_classifier_reloads_with_its_blocks_and_thaws(tmp_path):
    model = classifier(tiny_backbone(), 2)
    compile_and_fit(model)
    again = load_model(save_model(model, tmp_path / "model.keras"))
    pixels = tiny_images().pixels()
    np.testing.assert_array_equal(model.predict(pixels), again.predict(pixels))
    thaw(again, "block2")
    before = values_of(again)
    compile_and_fit(again)
    assert layers_of(moved(before, again)) == {"block2_conv", "head_logits"}


def test_clone_knows_its_blocks_and_thaws():
    model = classifier(tiny_backbone(), 2, block="block1")
    again = keras.models.clone_model(model)
    again.set_weights(model.get_weights())
    assert again.block_layers == model.block_layers == {"block1": "block1"}
    freeze(again)
    assert layers_of(w.path for w in again.trainable_weights) == {"head_logits"}
    thaw(again, "block1")
    assert layers_of(w.path for w in again.trainable_weights) == {
        "block1_conv",
        "head_logits",
    }
    pixels = tiny_images().pixels()
    np.testing.assert_array_equal(model.predict(pixels), again.predict(pixels))


@pytest.mark.parametrize("num_classes", [2, 3])
def test_start_from_probe_gives_the_probes_answers(num_classes):
    model = classifier(tiny_backbone(), num_classes)
    pixels = tiny_images(30).pixels()
    features = model.extractor().predict(pixels, verbose=0)
    probe = probes.fit_probe((features, np.arange(30) % num_classes))
    start_from_probe(model, probe)
    logits = model.predict(pixels, verbose=0)
    probabilities = keras.ops.softmax(logits)
    np.testing.assert_allclose(probabilities, probe.predict_proba(features), atol=1e-4)


@pytest.mark.parametrize("kind", ["svm", "knn", "prototypes"])
def test_start_from_probe_refuses_another_kind_of_probe(kind):
    """A margin is no logit: its softmax would be a probability of nothing."""
    values = np.random.default_rng(0).normal(size=(30, 6))
    probe = probes.fit_probe((values, np.arange(30) % 3), kind)
    with pytest.raises(ValueError, match="expected a logistic one"):
        start_from_probe(classifier(tiny_backbone(), 3), probe)


def test_start_from_probe_refuses_features_of_another_block():
    values = np.random.default_rng(0).normal(size=(30, 4))
    probe = probes.fit_probe((values, np.arange(30) % 3))
    with pytest.raises(ValueError, match=r"shape \(4, 3\) .* expected \(6, 3\)"):
        start_from_probe(classifier(tiny_backbone(), 3), probe)


def test_parts_names_every_layer_once():
    model = classifier(tiny_backbone(), 2)
    listed = [layer.name for members in parts(model).values() for layer in members]
    assert listed == [layer.name for layer in model.layers]
    assert parts(model)["block2"][0].name == "block2_conv"


def test_freeze_moves_the_head_and_nothing_else_by_one_bit():
    model = classifier(tiny_backbone(), 2)
    before = values_of(model)
    compile_and_fit(model, epochs=2)
    assert moved(before, model) == {"head_logits/kernel", "head_logits/bias"}


def test_freeze_undoes_thaw():
    model = classifier(tiny_backbone(), 2)
    thaw(model, "block1", batch_norm=True)
    freeze(model)
    assert layers_of(w.path for w in model.trainable_weights) == {"head_logits"}


def test_thaw_moves_its_blocks_and_no_batch_normalisation():
    """Trap 1: the statistics of a thawed backbone stay, to the bit."""
    model = classifier(tiny_backbone(), 2)
    thaw(model, "block2")
    before = values_of(model)
    compile_and_fit(model, epochs=2)
    assert layers_of(moved(before, model)) == {"block2_conv", "head_logits"}


def test_thaw_moves_batch_normalisation_where_asked():
    model = classifier(tiny_backbone(), 2)
    thaw(model, "block2", batch_norm=True)
    before = values_of(model)
    compile_and_fit(model, epochs=2)
    changed = moved(before, model)
    assert {f"block2_norm/{name}" for name in STATISTICS} <= changed
    assert not any(path.startswith("block1") for path in changed)


def test_training_false_does_not_protect_batch_normalisation():
    """Trap 1, the wrong way that the well-known guides teach."""
    backbone = tiny_backbone()
    images = keras.Input((8, 8, 3))
    x = backbone.network(images, training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(images, keras.layers.Dense(2)(x))
    backbone.network.trainable = True
    before = values_of(backbone.network)
    compile_and_fit(model)
    assert any(path.endswith(STATISTICS) for path in moved(before, backbone.network))


def test_thaw_refuses_an_unknown_block():
    with pytest.raises(ValueError, match="'stage9', expected one of block1, block2"):
        thaw(classifier(tiny_backbone(), 2), "stage9")


def test_fit_refuses_layers_thawed_after_compile():
    """Trap 2: Keras would train the old layers on without a word."""
    model = classifier(tiny_backbone(), 2)
    compile_and_fit(model)
    thaw(model, "block2")
    with pytest.raises(ValueError, match="block2_conv changed .* call compile again"):
        model.fit(tiny_images().batches(8), verbose=0)
    compile_and_fit(model)


def test_keras_ignores_layers_thawed_after_compile():
    """Trap 2, in a plain model: this is what the guard is there for."""
    guarded = classifier(tiny_backbone(), 2)
    model = keras.Model(guarded.input, guarded.output)
    compile_and_fit(model)
    model.get_layer("block2_conv").trainable = True
    before = values_of(model)
    model.fit(tiny_images().batches(8), verbose=0)
    assert "block2_conv" not in layers_of(moved(before, model))


def test_fit_honours_layers_thawed_between_compile_and_the_first_fit():
    model = classifier(tiny_backbone(), 2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    thaw(model, "block2")
    before = values_of(model)
    model.fit(tiny_images().batches(8), verbose=0)
    assert "block2_conv" in layers_of(moved(before, model))


def test_penalty_is_added_to_the_logged_loss():
    model, images = classifier(tiny_backbone(), 2), tiny_images(8)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    by_hand = float(loss(images.labels, model.predict(images.pixels(), verbose=0)))
    model.penalty = lambda x: keras.ops.mean(x) * 0 + 3.0
    model.compile(keras.optimizers.SGD(0.0), loss)
    logged = model.fit(images.batches(8), verbose=0).history["loss"][0]
    assert logged == pytest.approx(by_hand + 3, rel=1e-5)
    assert model.evaluate(images.batches(8), verbose=0) == pytest.approx(by_hand, 1e-5)


def test_fit_refuses_a_penalty_set_after_compile():
    model = classifier(tiny_backbone(), 2)
    compile_and_fit(model)
    model.penalty = lambda images: 1e3
    with pytest.raises(ValueError, match="the penalty changed .* call compile again"):
        model.fit(tiny_images().batches(8), verbose=0)


def test_layer_rates_lists_the_layers_that_have_weights():
    rates = layer_rates(classifier(tiny_backbone(), 2), {"block2": 0.1, "head": 2})
    assert rates == {"block2_conv": 0.1, "block2_norm": 0.1, "head_logits": 2.0}


def test_layer_rates_refuses_unknown_parts():
    with pytest.raises(ValueError, match="rates for stem, expected some of block1"):
        layer_rates(classifier(tiny_backbone(), 2), {"stem": 0.1})


QUICK = ("MobileNetV2", "EfficientNetV2B0", "ConvNeXtTiny")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
        for name in applications.names()
    ],
)
def test_thaw_holds_for_applications(name):
    """The rule must hold for every backbone; three families run every time."""
    model = classifier(backbones.load(name, pretrained=False), 2)
    last = list(model.block_layers)[-1]
    thaw(model, last)
    learning = [layer for layer in model.layers if layer.trainable_weights]
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert not any(x.trainable for x in norms)
    assert {x.name for x in learning} <= {
        x.name for part in (last, "head") for x in parts(model)[part]
    }
    assert len(learning) > 1


def test_thaw_keeps_the_statistics_inside_a_hub_module(tmp_path):
    module = hub.export_module(tiny_backbone(), tmp_path / "module")
    model = classifier(backbones.load(f"hub:{module}"), 2)
    for batch_norm in (False, True):
        thaw(model, "features", batch_norm)
        before = values_of(model)
        compile_and_fit(model)
        changed = moved(before, model)
        assert any(path.endswith("kernel") for path in changed)
        assert any(path.endswith(STATISTICS) for path in changed) == batch_norm
    thaw(model, "features", batch_norm=False)
    with pytest.raises(ValueError, match=r"features \(statistics\) changed"):
        model.fit(tiny_images().batches(8), verbose=0)
