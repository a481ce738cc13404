"""CORAL, MMD, entropy and divergence against values worked out by hand."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tl_helpers.adaptation.losses import coral_loss, divergence, entropy, mmd_loss

LOSSES = [coral_loss, mmd_loss, lambda s, t: mmd_loss(s, t, unbiased=True)]
LOSS_IDS = ["coral", "mmd", "mmd unbiased"]
few_examples = settings(max_examples=25, deadline=None)
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=LOSS_IDS)
values = st.floats(-3, 3, width=32)


@st.composite
def pairs_of_batches(draw):
    width = draw(st.integers(1, 4))
    sizes = draw(st.integers(2, 6)), draw(st.integers(2, 6))
    return tuple(draw(arrays("float32", (n, width), elements=values)) for n in sizes)


def random_batches(num_source=7, num_target=5, width=3, seed=0):
    rng = np.random.default_rng(seed)
    target = 1.5 * rng.normal(size=(num_target, width)) + 0.5
    return rng.normal(size=(num_source, width)).astype("float32"), target


def naive_mmd(source, target, bandwidths, unbiased):
    """Loop over every pair of rows."""

    def mean_kernel(first, second, is_same):
        pairs = [
            np.mean([np.exp(-np.sum((x - y) ** 2) / b) for b in bandwidths])
            for i, x in enumerate(first)
            for j, y in enumerate(second)
            if not (unbiased and is_same and i == j)
        ]
        return np.mean(pairs)

    within = mean_kernel(source, source, True) + mean_kernel(target, target, True)
    return within - 2 * mean_kernel(source, target, False)


def test_coral_loss_by_hand():
    # covariances [[2, 0], [0, 0]] and [[0, 0], [0, 8]]: (4 + 64) / (4 * 2 * 2)
    source, target = np.array([[0, 0], [2, 0.0]]), np.array([[1, 1], [1, 5.0]])
    assert float(coral_loss(source, target)) == pytest.approx(4.25)


def test_coral_loss_equals_numpy_covariances():
    source, target = random_batches()
    difference = np.cov(source, rowvar=False) - np.cov(target, rowvar=False)
    expected = np.sum(difference**2) / (4 * 3**2)
    assert float(coral_loss(source, target)) == pytest.approx(expected, rel=1e-5)


def test_mmd_loss_by_hand():
    source, target = np.array([[0.0], [1.0]]), np.array([[2.0]])
    kernels = {d: np.exp(-d / 2) for d in (1, 4)}  # by squared distance
    biased = (2 + 2 * kernels[1]) / 4 + 1 - (kernels[4] + kernels[1])
    assert float(mmd_loss(source, target, [2.0])) == pytest.approx(biased, rel=1e-5)
    target = np.array([[2.0], [2.0]])
    unbiased = kernels[1] + 1 - (kernels[4] + kernels[1])
    loss = mmd_loss(source, target, [2.0], unbiased=True)
    assert float(loss) == pytest.approx(unbiased, rel=1e-5)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("bandwidths", [(0.5, 3.0), None])
def test_mmd_loss_equals_the_double_loop(bandwidths, unbiased):
    source, target = random_batches()
    loss = mmd_loss(source, target, bandwidths, unbiased)
    if bandwidths is None:
        rows = np.concatenate([source, target])
        distances = [np.sum((x - y) ** 2) for x in rows for y in rows]
        mean = np.sum(distances) / (12 * 11)
        bandwidths = [mean * 2.0**k for k in (-2, -1, 0, 1, 2)]
    expected = naive_mmd(source, target, bandwidths, unbiased)
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_mmd_loss_unbiased_is_zero_on_average():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(200, 2, 6, 2))
    unbiased = [float(mmd_loss(*pair, unbiased=True)) for pair in draws]
    biased = [float(mmd_loss(*pair)) for pair in draws]
    assert abs(np.mean(unbiased)) < 0.02 and min(unbiased) < 0
    assert np.mean(biased) > 0.05


def test_mmd_loss_gradient_does_not_flow_through_the_bandwidth():
    source, target = random_batches()
    mean = 2 * np.var(np.concatenate([source, target]), axis=0, ddof=1).sum()
    fixed = [mean * 2.0**k for k in (-2, -1, 0, 1, 2)]
    chosen = gradient(mmd_loss, source, target)
    given_ = gradient(lambda s, t: mmd_loss(s, t, fixed), source, target)
    np.testing.assert_allclose(chosen, given_, rtol=1e-3, atol=1e-6)


def gradient(loss, source, target):
    if keras.backend.backend() == "jax":
        import jax

        compiled = jax.jit(jax.grad(loss))
        return np.array(compiled(np.asarray(source, "float32"), target))
    import tensorflow as tf

    source = tf.Variable(source, dtype="float32")
    with tf.GradientTape() as tape:
        value = loss(source, target)
    return tape.gradient(value, source).numpy()


@each_loss
@given(pairs_of_batches(), st.integers(0, 99))
@few_examples
def test_losses_are_symmetric_and_blind_to_row_order(loss, pair, seed):
    source, target = pair
    value = float(loss(source, target))
    assert float(loss(target, source)) == pytest.approx(value, rel=1e-3, abs=1e-4)
    mixed = np.random.default_rng(seed).permutation(source)
    assert float(loss(mixed, target)) == pytest.approx(value, rel=1e-3, abs=1e-4)


@each_loss
@given(pairs_of_batches())
@few_examples
def test_losses_have_finite_values_and_gradients(loss, pair):
    assert np.isfinite(float(loss(*pair)))
    assert np.isfinite(gradient(loss, *pair)).all()


@pytest.mark.parametrize("loss", LOSSES[:2], ids=LOSS_IDS[:2])
@given(pairs_of_batches())
@few_examples
def test_losses_are_zero_for_the_same_rows_and_never_below(loss, pair):
    source, target = pair
    assert float(loss(source, source)) == pytest.approx(0, abs=1e-5)
    assert float(loss(source, target)) >= 0


@given(pairs_of_batches(), values)
@few_examples
def test_coral_loss_is_blind_to_shifts(pair, shift):
    source, target = pair
    value = float(coral_loss(source, target))
    assert float(coral_loss(source + shift, target)) == pytest.approx(
        value, rel=1e-3, abs=1e-4
    )


def test_mmd_loss_survives_a_large_offset():
    source, target = random_batches()
    value = float(mmd_loss(source, target))
    assert float(mmd_loss(source + 1000, target + 1000)) == pytest.approx(
        value, rel=0.01
    )


def test_mmd_loss_stays_in_its_range_despite_rounding():
    for seed in range(20):
        source, _ = random_batches(33, seed=seed)
        mixed = np.random.default_rng(seed).permutation(source)
        assert 0 <= float(mmd_loss(source, mixed)) < 1e-6
        assert 0 <= float(mmd_loss(source, mixed, [1e-9])) <= 2


def test_mmd_loss_keeps_its_value_when_features_are_scaled():
    source, target = random_batches()
    value = float(mmd_loss(source, target))
    for scale in (0.01, 100):
        scaled = mmd_loss(scale * source, scale * target)
        assert float(scaled) == pytest.approx(value, rel=1e-3)


@each_loss
@pytest.mark.parametrize("value", [0.0, 0.1, 300.0])
def test_losses_of_equal_rows_are_zero_with_a_finite_gradient(loss, value):
    source, target = np.full((4, 3), value), np.full((6, 3), value)
    assert float(loss(source, target)) == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(gradient(loss, source, target), 0, atol=1e-3)


@each_loss
def test_losses_average_maps_over_height_and_width(loss):
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(4, 2, 3, 5)), rng.normal(size=(3, 4, 4, 5))
    pooled = loss(source.mean((1, 2)), target.mean((1, 2)))
    assert float(loss(source, target)) == pytest.approx(float(pooled), rel=1e-4)


@each_loss
def test_losses_compute_in_float32_whatever_comes_in(loss):
    source, target = (200 * batch for batch in random_batches())
    half = loss(source.astype("float16"), target.astype("float16"))
    assert keras.backend.standardize_dtype(half.dtype) == "float32"
    assert float(half) == pytest.approx(float(loss(source, target)), rel=0.01)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow leaves sizes open"
)
@each_loss
def test_losses_compile_with_unknown_batch_sizes(loss):
    import tensorflow as tf

    spec = tf.TensorSpec((None, 3), tf.float32)
    compiled = tf.function(loss, input_signature=[spec, spec])
    source, target = (batch.astype("float32") for batch in random_batches())
    expected = float(loss(source, target))
    assert float(compiled(source, target)) == pytest.approx(expected, rel=1e-4)
    assert np.isfinite(float(compiled(source, target[:1])))


@each_loss
def test_losses_refuse_what_does_not_fit(loss):
    with pytest.raises(ValueError, match="width 3 and target features of width 2"):
        loss(np.ones((4, 3)), np.ones((4, 2)))
    with pytest.raises(ValueError, match=r"shape \(4,\), expected \(n, d\)"):
        loss(np.ones(4), np.ones(4))


@pytest.mark.parametrize("loss", [LOSSES[0], LOSSES[2]], ids=["coral", "unbiased"])
def test_losses_of_spread_refuse_a_single_row(loss):
    with pytest.raises(ValueError, match="target batch of 1 rows, expected at least 2"):
        loss(np.ones((4, 3)), np.ones((1, 3)))


def test_mmd_loss_takes_a_single_row_but_no_bad_bandwidth():
    assert float(mmd_loss(np.zeros((1, 1)), np.ones((1, 1)))) > 0
    with pytest.raises(ValueError, match="source batch of 0 rows, expected at least 1"):
        mmd_loss(np.zeros((0, 1)), np.ones((1, 1)))
    for bandwidths in ([], [1.0, 0.0], [1.0, np.nan]):
        with pytest.raises(ValueError, match="Got bandwidths.*expected"):
            mmd_loss(np.ones((2, 2)), np.ones((2, 2)), bandwidths)


def test_entropy_by_hand():
    logits = np.log([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3]])
    expected = [1.5 * np.log(2), np.log(3)]
    np.testing.assert_allclose(entropy(logits), expected, rtol=1e-5)


def test_divergence_by_hand():
    teacher, student = np.log([[0.5, 0.5], [0.9, 0.1]]), np.log([[0.25, 0.75]] * 2)
    expected = [
        0.5 * np.log(2) + 0.5 * np.log(2 / 3),
        0.9 * np.log(3.6) + 0.1 * np.log(0.1 / 0.75),
    ]
    np.testing.assert_allclose(divergence(teacher, student), expected, rtol=1e-5)
    np.testing.assert_allclose(divergence(student, student + 7), 0, atol=1e-6)


def test_entropy_and_divergence_stay_finite_at_extreme_logits():
    sure = np.array([[1e4, -1e4]])
    np.testing.assert_allclose(entropy(sure), 0)
    np.testing.assert_allclose(divergence(sure, -sure), 2e4)
    for loss in (lambda s, t: entropy(s), divergence):
        assert np.isfinite(gradient(loss, sure, -sure)).all()
