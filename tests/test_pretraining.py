"""Training without labels: losses by hand, held targets, collapse, own sources."""

import warnings

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops
from tiny import moved, tiny_backbone, tiny_images, values_of

from tl_helpers import augmentation, features, pretraining, training
from tl_helpers.pretraining.losses import unit_rows
from tl_helpers.saving import load_model, save_model

SEEDS = st.integers(0, 1000)


def rows(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def encoder():
    """A tiny network that may learn, from images to rows of six numbers."""
    keras.utils.set_random_seed(0)
    backbone = tiny_backbone()
    backbone.network.trainable = True
    return backbone.extractor()


def views(seed=0):
    return pretraining.two_views(augmentation.policy("views", tiny_images(), seed))


def eager(model, optimizer="sgd"):
    """Compile for a step or two: to trace them would take longer."""
    model.compile(optimizer, run_eagerly=True)
    return model


def one_pair(seed=0):
    images = np.random.default_rng(seed).uniform(0, 255, (2, 6, 8, 8, 3))
    return dict(zip(("first", "second"), images.astype("float32"), strict=True))


MODELS = {
    "SimCLR": lambda: pretraining.SimCLR(encoder(), temperature=0.3),
    "SimSiam": lambda: pretraining.SimSiam(encoder()),
}


@pytest.fixture(scope="module", params=["SimCLR", "SimSiam"])
def trained(request):
    """(model, weights before, losses of 1 and of 40 more steps)."""
    model = MODELS[request.param]()
    before = values_of(model)
    model.compile(keras.optimizers.Adam(0.01))
    losses = [
        training.fit_steps(model, tiny_images(), steps, 8, 0, views())["loss"][-1]
        for steps in (1, 40)
    ]
    return model, before, losses


# --- Losses -----------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 7])
def test_nt_xent_of_equal_rows_is_the_logarithm_of_the_others(n):
    loss = pretraining.nt_xent(np.ones((n, 3)), np.ones((n, 3)), 0.1)
    assert float(loss) == pytest.approx(np.log(2 * n - 1), abs=1e-6)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_nt_xent_of_perfect_pairs_at_right_angles(temperature):
    n, alike = 5, np.exp(1 / temperature)
    loss = pretraining.nt_xent(np.eye(n), 3 * np.eye(n), temperature)
    expected = np.log(alike + 2 * n - 2) - 1 / temperature
    assert float(loss) == pytest.approx(expected, abs=1e-5)


def test_nt_xent_by_hand():
    """Two images: the loop of the paper, over i and k, without any trick."""
    first, second, temperature = rows(2, 3, seed=1), rows(2, 3, seed=2), 0.7
    z = np.concatenate([first, second]).astype(float)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    losses = []
    for i, j in ((0, 2), (1, 3), (2, 0), (3, 1)):
        others = [np.exp(z[i] @ z[k] / temperature) for k in range(4) if k != i]
        losses.append(-np.log(np.exp(z[i] @ z[j] / temperature) / sum(others)))
    loss = pretraining.nt_xent(first, second, temperature)
    assert float(loss) == pytest.approx(np.mean(losses), abs=1e-6)


@given(st.integers(1, 6), st.integers(1, 5), st.floats(0.1, 3), SEEDS)
@settings(max_examples=20)
def test_nt_xent_knows_no_order_nor_length_and_is_not_negative(n, d, temperature, seed):
    first, second = rows(n, d, seed=seed), rows(n, d, seed=seed + 1)
    loss = float(pretraining.nt_xent(first, second, temperature))
    order = np.random.default_rng(seed).permutation(n)
    again = pretraining.nt_xent(second[order], 4 * first[order], temperature)
    assert loss >= 0 and float(again) == pytest.approx(loss, abs=1e-4)


def test_nt_xent_stays_finite_in_half_precision_at_a_low_temperature():
    first, second = (rows(4, 8, seed=k).astype("float16") for k in (0, 1))
    assert np.isfinite(float(pretraining.nt_xent(first, second, 0.01)))


def test_negative_cosine_by_hand():
    prediction, target = np.array([[1.0, 0], [3, 4]]), np.array([[2.0, 0], [4, 3]])
    loss = pretraining.negative_cosine(prediction, target)
    assert float(loss) == pytest.approx(-(1 + 24 / 25) / 2, abs=1e-6)


def test_negative_cosine_lets_no_gradient_into_its_target():
    import tensorflow as tf

    prediction, target = (tf.Variable(rows(4, 3, seed=k)) for k in (0, 1))
    with tf.GradientTape() as tape:
        loss = pretraining.negative_cosine(prediction, target)
    to_prediction, to_target = tape.gradient(loss, [prediction, target])
    assert np.abs(to_prediction).max() > 1e-3 and to_target is None


def test_unit_rows_leaves_zero_alone():
    scaled = ops.convert_to_numpy(unit_rows(np.array([[0.0, 0], [3, 4]])))
    np.testing.assert_allclose(scaled, [[0, 0], [0.6, 0.8]], atol=1e-6)


# --- Models -----------------------------------------------------------------------


def test_simclr_logs_the_loss_of_its_formula():
    model, pair = MODELS["SimCLR"](), one_pair()
    eager(model, keras.optimizers.SGD(0.0))
    logged = model.fit(pair, epochs=1, batch_size=6, shuffle=False, verbose=0)
    fresh = MODELS["SimCLR"]()
    embedded = fresh.encoder(np.concatenate(list(pair.values())), training=True)
    projected = fresh.projector(embedded, training=True)
    expected = pretraining.nt_xent(projected[:6], projected[6:], 0.3)
    assert logged.history["loss"] == pytest.approx([float(expected)], abs=1e-5)


def test_simsiam_logs_the_loss_of_its_formula():
    model, pair = MODELS["SimSiam"](), one_pair()
    eager(model, keras.optimizers.SGD(0.0))
    weights = model.get_weights()
    logged = model.fit(pair, epochs=1, batch_size=6, shuffle=False, verbose=0)
    fresh = MODELS["SimSiam"]()
    fresh.set_weights(weights)
    embedded = fresh.encoder(np.concatenate(list(pair.values())), training=True)
    z = fresh.projector(embedded, training=True)
    p = fresh.predictor(z, training=True)
    p, z = (ops.convert_to_numpy(unit_rows(one)) for one in (p, z))
    forth, back = (p[:6] * z[6:]).sum(1), (p[6:] * z[:6]).sum(1)
    expected = -(forth.mean() + back.mean()) / 2
    assert logged.history["loss"] == pytest.approx([expected], abs=1e-5)


def test_fit_moves_every_network_and_lowers_the_loss(trained):
    model, before, (first, later) = trained
    assert later < first - 0.1
    paths = moved(before, model)
    for network in (getattr(model, part) for part in model.parts):
        assert {weight.path for weight in network.trainable_weights} <= paths


def test_plain_images_give_embeddings(trained):
    model, images = trained[0], tiny_images().pixels()
    embedded = model.predict_on_batch(images)
    np.testing.assert_allclose(embedded, model.encoder.predict_on_batch(images))
    assert model.projections(images).shape == (24, 128)


def test_a_saved_model_answers_and_learns_as_before(trained, tmp_path):
    model = trained[0]
    again = load_model(save_model(model, tmp_path / "model.keras"))
    images, before = tiny_images().pixels(), values_of(again)
    np.testing.assert_array_equal(again.projections(images), model.projections(images))
    assert getattr(again, "temperature", 0.3) == 0.3
    loss = eager(again).fit(one_pair(), batch_size=6, verbose=0).history["loss"]
    assert np.isfinite(loss).all() and moved(before, again)


def test_the_target_view_of_simsiam_is_held():
    """With the predictor taken out of the graph nothing reaches the encoder."""
    import tensorflow as tf

    model, pair = MODELS["SimSiam"](), one_pair()
    with tf.GradientTape() as tape:
        outputs = model(pair, training=True)
        held = {name: tf.stop_gradient(outputs[name]) for name in outputs}
        only_targets = outputs | {k: held[k] for k in held if "prediction" in k}
        loss = model.view_loss(only_targets)
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(gradient is None for gradient in gradients)


def test_models_refuse_what_has_no_two_views():
    model = eager(MODELS["SimCLR"]())
    images = tiny_images().pixels().astype("float32")
    with pytest.raises(ValueError, match="plain images, expected two views"):
        model.fit(images, verbose=0)
    with pytest.raises(ValueError, match="Got sample_weight, expected none"):
        ones = np.ones(6)
        model.fit(one_pair(), ones, sample_weight=ones, batch_size=6, verbose=0)


def test_models_refuse_networks_that_do_not_fit():
    frozen = tiny_backbone().extractor()
    with pytest.raises(ValueError, match="without trainable weights, expected one"):
        pretraining.SimCLR(frozen)
    with pytest.raises(ValueError, match="average maps over"):
        pretraining.SimCLR(tiny_backbone().extractor(pool=False))
    with pytest.raises(ValueError, match=r"expected a built model from rows \(n, 6\)"):
        pretraining.SimCLR(encoder(), pretraining.projection_head(5))
    with pytest.raises(ValueError, match=r"to rows \(n, 128\)"):
        pretraining.SimSiam(encoder(), predictor=pretraining.prediction_head(64))


# --- Views ------------------------------------------------------------------------


def test_two_views_differ_from_each_other_and_repeat_by_seed():
    images = tiny_images().pixels().astype("float32")
    pair, again = views()(images), views()(images)
    assert pair["first"].shape == images.shape and pair["first"].max() <= 255
    assert (np.abs(pair["first"] - pair["second"]).mean((1, 2, 3)) > 0.1).all()
    np.testing.assert_array_equal(pair["second"], again["second"])
    other = views(seed=1)(images)
    assert not np.array_equal(pair["first"], other["first"])


def test_two_views_keep_labels_and_order():
    """Dark images stay the darker ones, each beside its own label."""
    images = tiny_images()
    policy = augmentation.policy("flip_crop", images)
    (pair, labels), *_ = images.batches(24, augment=pretraining.two_views(policy))
    assert labels.numpy().tolist() == images.labels.tolist()
    for view in pair.values():
        is_bright = view.numpy().mean((1, 2, 3)) > 125
        assert is_bright.tolist() == (images.labels == 1).tolist()


def test_two_views_refuses_to_mix_images():
    with pytest.raises(ValueError, match="expected one without mixup and cutmix"):
        pretraining.two_views(augmentation.policy("mixup", tiny_images()))


# --- Collapse ---------------------------------------------------------------------


def test_collapse_of_a_constant_is_a_sentence():
    found = pretraining.collapse(np.ones((20, 8)))
    assert found.spread == 0 and found.effective_rank == 0 and found.is_collapsed
    assert str(found).startswith("The embedding has collapsed") and ". " not in str(
        found
    ).replace("0.", "")


def test_collapse_of_even_directions_has_spread_one_and_full_rank():
    found = pretraining.collapse(rows(4000, 16))
    assert found.spread == pytest.approx(1, abs=0.02)
    assert found.effective_rank == pytest.approx(16, abs=0.1)
    assert not found.is_collapsed and "tells images apart" in str(found)


def test_collapse_counts_axes_that_weigh_alike():
    """Rows +-e_i on k of d axes: k singular values alike, spread by hand."""
    k, d = 3, 12
    axes = np.concatenate([np.eye(d)[:k], -np.eye(d)[:k]])
    found = pretraining.collapse(axes)
    assert found.effective_rank == pytest.approx(k, abs=1e-6)
    assert found.spread == pytest.approx(k * np.sqrt(1 / k) / d * np.sqrt(d))


def test_collapse_sees_a_line_although_its_spread_is_wide():
    line = np.outer(rows(50), rows(10, seed=1)) + 1e-6 * rows(50, 10, seed=2)
    found = pretraining.collapse(line)
    assert found.spread > 0.5 and found.effective_rank < 1.01 and found.is_collapsed


@given(SEEDS, st.floats(0.01, 100))
@settings(max_examples=20)
def test_collapse_knows_no_unit(seed, scale):
    values = rows(12, 5, seed=seed)
    one, other = map(pretraining.collapse, (values, scale * values))
    assert one.spread == pytest.approx(other.spread, rel=1e-3)
    assert one.effective_rank == pytest.approx(other.effective_rank, rel=1e-3)


def constant_projector():
    """Whatever comes in, one row goes out: what a collapsed training ends in."""
    zero = layers.Dense(4, kernel_initializer="zeros", bias_initializer="ones")
    zero.trainable = False
    return keras.Sequential([keras.Input((6,)), zero])


def test_the_callback_warns_of_a_collapsed_model():
    model = eager(pretraining.SimCLR(encoder(), constant_projector()))
    watch = pretraining.WarnOfCollapse(tiny_images().pixels())
    with pytest.warns(UserWarning, match="Epoch 1: The embedding has collapsed"):
        history = model.fit(one_pair(), verbose=0, callbacks=[watch]).history
    assert history["spread"] == [0] and watch.reports[0].is_collapsed


def test_the_callback_keeps_quiet_where_images_differ():
    model = eager(MODELS["SimCLR"](), keras.optimizers.SGD(0.0))
    noise = np.random.default_rng(0).uniform(0, 255, (32, 8, 8, 3))
    watch = pretraining.WarnOfCollapse(noise)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Epoch")
        history = model.fit(one_pair(), epochs=2, verbose=0, callbacks=[watch]).history
    assert len(watch.reports) == 2
    assert history["effective_rank"] == [x.effective_rank for x in watch.reports]


def test_the_callback_refuses_another_kind_of_model():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    watch = pretraining.WarnOfCollapse(tiny_images().pixels())
    with pytest.raises(ValueError, match="expected TwoViewModel"):
        model.fit(rows(4, 2), rows(4, 1), verbose=0, callbacks=[watch])


# --- Own sources ------------------------------------------------------------------


def test_small_backbone_keeps_the_contract_of_a_backbone(tmp_path):
    backbone = pretraining.small_backbone(seed=3)
    assert backbone.blocks == ("stem", "block1", "block2", "block3")
    assert backbone.num_parameters < 300_000 and backbone.network.trainable
    images = tiny_images().resized(64)
    for block, width in zip(backbone.blocks, (16, 32, 64, 112), strict=True):
        found = features.compute(backbone, images, block)
        assert found.shape == (24, width)
    loaded = load_model(save_model(backbone.network, tmp_path / "small.keras"))
    pixels = images.pixels()[:2]
    np.testing.assert_array_equal(loaded(pixels), backbone.network(pixels))


def test_small_backbone_follows_its_seed_and_leaves_the_global_one_alone():
    keras.utils.set_random_seed(5)
    expected = np.random.random()
    keras.utils.set_random_seed(5)
    one, same, other = (pretraining.small_backbone(seed=k) for k in (1, 1, 2))
    assert np.random.random() == expected
    assert one.fingerprint == same.fingerprint != other.fingerprint
    kernels = [w.numpy() for w in one.network.weights if w.path.endswith("kernel")]
    assert len({kernel.ravel()[0].item() for kernel in kernels}) == len(kernels)


def test_small_backbone_takes_other_widths():
    backbone = pretraining.small_backbone(widths=(4, 6))
    assert backbone.blocks == ("stem", "block1")
    assert backbone.network(np.zeros((1, 8, 8, 3))).shape == (1, 2, 2, 6)


def test_small_backbone_can_be_frozen_and_fine_tuned_like_any_other():
    from tl_helpers import finetuning

    model = finetuning.classifier(pretraining.small_backbone(widths=(4, 6)), 2)
    before = values_of(model)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    training.fit_steps(model, tiny_images(), 2, 8, 0)
    assert moved(before, model) and not any(
        "stem" in path or "block1" in path for path in moved(before, model)
    )


# --- The policy -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["views", "views+flip_crop"])
def test_the_policy_views_keeps_range_and_shape(name):
    images = tiny_images().pixels()
    changed = augmentation.policy(name, tiny_images())(images)
    assert changed.shape == images.shape and changed.dtype == np.float32
    assert 0 <= changed.min() and changed.max() <= 255


def test_the_policy_views_makes_some_images_nearly_grey():
    """Colour must not be all that an image is known by."""
    red = np.zeros((200, 8, 8, 3), "uint8")
    red[..., 0] = 200
    changed = augmentation.policy("views", 2)(red)
    darkest, brightest = (x.mean((1, 2)) for x in (changed.min(-1), changed.max(-1)))
    saturation = 1 - darkest / brightest
    assert saturation.min() < 0.1 and saturation.max() > 0.8
