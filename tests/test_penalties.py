"""L2-SP, DELTA and BSS against values worked out by hand."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_backbone, tiny_images, values_of

from tl_helpers.finetuning import (
    bss,
    channel_attention,
    classifier,
    delta,
    l2_sp,
    thaw,
)


def test_l2_sp_by_hand():
    weights, start = [np.array([1.0, 3.0]), np.array([[2.0]])], [np.zeros(2), [[1.0]]]
    head = [np.array([2.0, -1.0])]
    # 0.4 / 2 * (1 + 9 + 1) + 0.2 / 2 * (4 + 1)
    assert float(l2_sp(weights, start, head, 0.4, 0.2)) == pytest.approx(2.7)


def test_l2_sp_refuses_lists_of_different_length():
    with pytest.raises(ValueError, match="Got 2 weights and 1 start weights"):
        l2_sp([np.ones(1)] * 2, [np.ones(1)])


def test_l2_sp_holds_a_training_back():
    """The stronger the pull, the nearer the weights stay to their start."""
    distances = []
    for alpha in (0.0, 3.0, 30.0):
        keras.utils.set_random_seed(0)
        model = classifier(tiny_backbone(), 2)
        thaw(model, "block1")
        weights = [w for w in model.trainable_weights if "head" not in w.path]
        start = [weight.numpy() for weight in weights]
        model.penalty = lambda _, s=start, w=weights, a=alpha: l2_sp(w, s, alpha=a)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.03), loss)
        model.fit(tiny_images().batches(8), epochs=5, verbose=0)
        moved = [
            np.sum((w.numpy() - s) ** 2) for w, s in zip(weights, start, strict=True)
        ]
        distances.append(sum(moved))
    assert distances[0] > 1.2 * distances[1] > 1.2 * 1.2 * distances[2] > 0


def test_delta_by_hand():
    maps, start = np.zeros((1, 1, 2, 2), "float32"), np.zeros((1, 1, 2, 2), "float32")
    maps[0, 0, :, 0] = [1, 3]  # mean square 5 in channel 0
    maps[0, 0, :, 1] = [2, 0]  # mean square 2 in channel 1
    assert float(delta(maps, start)) == pytest.approx(3.5)
    assert float(delta(maps, start, [0.25, 0.75])) == pytest.approx(2.75)
    assert float(delta(maps, maps)) == 0


def test_delta_refuses_maps_of_different_blocks():
    with pytest.raises(ValueError, match="expected the same; take both after the same"):
        delta(np.zeros((1, 2, 2, 3)), np.zeros((1, 4, 4, 3)))


def test_bss_of_a_diagonal_matrix():
    features = np.diag([3.0, 0.5, 2.0, 1.0]).astype("float32")
    assert float(bss(features)) == pytest.approx(0.25, rel=1e-5)
    assert float(bss(features, k=3)) == pytest.approx(0.25 + 1 + 4, rel=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 6), st.integers(2, 6), st.integers(0, 99))
def test_bss_over_all_values_is_the_frobenius_norm(rows, width, seed):
    features = np.random.default_rng(seed).normal(size=(rows, width)).astype("float32")
    everything = float(bss(features, k=min(rows, width)))
    assert everything == pytest.approx(np.sum(features**2), rel=1e-4)
    turned = np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]
    rotated = float(bss((features @ turned).astype("float32")))
    assert rotated == pytest.approx(float(bss(features)), rel=1e-2, abs=1e-4)


def test_bss_refuses_more_values_than_there_are():
    with pytest.raises(ValueError, match="Got k=5 .* expected 1 to 3"):
        bss(np.zeros((4, 3), "float32"), k=5)


def test_bss_trains_through_fit():
    model = classifier(tiny_backbone(), 2)
    thaw(model, "block1")
    features = model.extractor()
    model.penalty = lambda images: bss(features(images, training=True))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = values_of(model)
    model.fit(tiny_images().batches(8), verbose=0)
    after = values_of(model)
    path = "block1_conv/kernel"
    assert np.isfinite(after[path]).all() and not np.array_equal(
        before[path], after[path]
    )


def test_channel_attention_finds_the_channel_that_decides():
    model, images = classifier(tiny_backbone(), 2), tiny_images()
    kernel = np.zeros((6, 2), "float32")
    kernel[4] = [-5, 5]  # logits hang on channel 4 alone
    model.get_layer("head_logits").set_weights([kernel, np.zeros(2)])
    maps = model.extractor().predict(images.pixels(), verbose=0)
    labels = (maps[:, 4] > 0).astype(int)
    weights = channel_attention(model, "block2", images.pixels(), labels)
    assert weights.sum() == pytest.approx(1) and weights.argmax() == 4
    rest = np.delete(weights, 4)
    assert np.ptp(rest) < 1e-6 < weights[4] - rest[0]
