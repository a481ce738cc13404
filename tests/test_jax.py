"""What the course says runs on JAX too, does: losses, layers, models and their files.

    KERAS_BACKEND=jax python -m pytest -m slow tests/test_jax.py

Compiling takes JAX a second or more for every model. The losses' own tests
(test_adaptation_losses.py, test_penalties.py) run under either backend.
"""

import keras
import numpy as np
import pytest
from scipy.special import softmax
from test_adaptation_models import BUILD, CLASSES, ROWS, domains, fitted
from test_multitask import PCGrad, all_tasks, data, trunk
from test_pretraining import MODELS, views
from test_prototypical import prototypical, toy
from tiny import moved, tiny_backbone, tiny_images, values_of

from tl_helpers import (
    augmentation,
    combining,
    explanation,
    features,
    fewshot,
    robustness,
    streams,
    training,
)
from tl_helpers.finetuning import (
    BlockRates,
    Stage,
    add_lora,
    classifier,
    fine_tune,
    l2_sp,
    layer_rates,
    merge_lora,
)
from tl_helpers.multitask import MultiTask, gradient_cosines
from tl_helpers.saving import load_model, save_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        keras.backend.backend() != "jax",
        reason="needs KERAS_BACKEND=jax, and JAX (the extra 'jax')",
    ),
]


def answers_again(model, inputs, folder):
    """Answers of a model, and of what is loaded from its file."""
    again = load_model(save_model(model, folder / "model.keras"))
    return [one.predict(inputs, verbose=0) for one in (model, again)]


@pytest.mark.parametrize("name", BUILD)
def test_adaptation_trains_and_reloads(name, tmp_path):
    keras.utils.set_random_seed(0)
    model = BUILD[name](True)
    before = values_of(model)
    history = fitted(model, epochs=2)
    assert np.isfinite(list(history.values())).all()
    assert any(path.endswith("kernel") for path in moved(before, model))
    first, second = answers_again(model, domains(1)[2], tmp_path)
    assert first.shape == (ROWS, CLASSES)
    np.testing.assert_array_equal(first, second)


def test_fine_tuning_trains_and_reloads(tmp_path):
    keras.utils.set_random_seed(0)
    model, images = classifier(tiny_backbone(), 2, dropout=0.1), tiny_images()
    weights = [w for w in model.weights if "block" in w.path and "conv" in w.path]
    start = [weight.numpy() for weight in weights]
    model.penalty = lambda _: l2_sp(weights, start)
    rates = layer_rates(model, {"block1": 0.0, "head": 1})
    before = values_of(model)
    histories = fine_tune(
        model,
        images,
        tiny_images(seed=1),
        (Stage("head", 2, 0.1), Stage("block1", 2, 0.01)),
        optimizer=lambda rate: BlockRates(keras.optimizers.Adam(rate), rates),
        verbose=0,
    )
    assert np.isfinite([one["val_loss"] for one in histories]).all()
    changed = {path.split("/")[0] for path in moved(before, model)}
    assert changed == {"block2_conv", "head_logits"}
    first, second = answers_again(model, images.pixels(), tmp_path)
    np.testing.assert_array_equal(first, second)


def test_multitask_trains_and_reloads(tmp_path):
    model = MultiTask(trunk(), all_tasks(), weighting="uncertainty")
    before, (images, labels) = values_of(model), data()
    model.compile(keras.optimizers.SGD(0.05))
    log = model.fit(images, labels, batch_size=4, verbose=0).history
    assert np.isfinite(list(log.values())).all()
    assert "log_variances" in {path.split("/")[-1] for path in moved(before, model)}
    first, second = answers_again(model, images, tmp_path)
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])


def test_prototypical_network_trains_and_reloads(tmp_path):
    values, labels = toy()
    model = prototypical()
    before = values_of(model)
    drawn = fewshot.episodes(labels, 3, 2, 4, 8)
    model.fit(fewshot.episode_batches(values, drawn), verbose=0)
    assert moved(before, model)
    first, second = answers_again(model, values, tmp_path)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", MODELS)
def test_pretraining_trains_without_labels(name):
    model = MODELS[name]()
    before = values_of(model)
    model.compile(keras.optimizers.Adam(0.01))
    history = training.fit_steps(model, tiny_images(), 2, 8, 0, views())
    assert np.isfinite(history["loss"]).all()
    assert any(path.endswith("kernel") for path in moved(before, model))


def test_an_adapter_trains_and_merges():
    model, images = classifier(tiny_backbone(), 2), tiny_images()
    add_lora(model, 2)
    compile_for(model)
    training.fit_steps(model, images, 3, 8, 0)
    before = training.predict_logits(model, images)
    merge_lora(model)
    after = training.predict_logits(model, images)
    np.testing.assert_allclose(before, after, atol=1e-4)


def test_models_are_combined():
    models = [classifier(tiny_backbone(), 2) for _ in range(2)]
    images = tiny_images()
    pixels = images.pixels()
    logits = [training.predict_logits(x, images) for x in models]
    both = combining.ensemble(models).predict(pixels, verbose=0)
    mean = np.mean(softmax(logits, axis=-1), axis=0)
    np.testing.assert_allclose(softmax(both, axis=-1), mean, atol=1e-5)
    one = combining.soup([models[0], models[0]])
    answers = [training.predict_logits(x, images) for x in (one, models[0])]
    np.testing.assert_allclose(*answers, atol=1e-5)


@pytest.mark.parametrize("way", ["BatchStatistics", "RunningStatistics", "Tent"])
def test_a_stream_is_answered_and_adapted_to(way):
    model, images = classifier(tiny_backbone(), 2), tiny_images()
    answering = getattr(streams, way)(model)
    for batch in streams.stream(images, 8):
        assert np.isfinite(answering.predict(batch)).all()
    assert moved(values_of(model), answering.network) or way == "BatchStatistics"


def compile_for(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)


def test_features_are_those_of_the_network():
    backbone, images = tiny_backbone(), tiny_images()
    values = features.compute(backbone, images)
    wanted = backbone.extractor()(images.pixels().astype("float32"))
    np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=1e-6)


def test_policies_augment_inside_the_pipeline():
    images = tiny_images()
    policy = augmentation.policy("flip_crop+rand_augment+mixup", images)
    batches = list(images.batches(8, augment=policy))
    assert len(batches) == 3 and batches[0][1].shape == (8, 2)


def test_what_asks_for_answers_alone_explains_and_scores():
    model, images = classifier(tiny_backbone(), 2), tiny_images()
    maps = explanation.occlusion(model, images, patch_px=4, stride_px=4)
    assert maps.shape == (24, 8, 8)
    curve = explanation.deletion(model, images, maps, steps=2)
    assert np.isfinite(curve.areas).all()
    assert robustness.squeezing_score(model, images).shape == (24,)
    values = features.compute(tiny_backbone(), images)
    gaussians = robustness.fit_gaussians((values, images.labels))
    assert (gaussians.distances(values) >= 0).all()
    copy = explanation.randomise_weights(model)
    assert moved(values_of(model), copy)


def test_what_needs_tensorflow_says_so():
    model, images = classifier(tiny_backbone(), 2), tiny_images()
    for call in (explanation.grad_cam, explanation.integrated_gradients):
        with pytest.raises(ValueError, match="backend jax, expected tensorflow"):
            call(model, images)
    for call in (robustness.fgsm, robustness.pgd):
        with pytest.raises(ValueError, match="backend jax, expected tensorflow"):
            call(model, images, images.labels, 8)
    with pytest.raises(ValueError, match="backend jax, expected tensorflow"):
        PCGrad(trunk(), all_tasks())
    with pytest.raises(ValueError, match="backend jax, expected tensorflow"):
        gradient_cosines(MultiTask(trunk(), all_tasks()), *data())
