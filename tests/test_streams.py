"""What adapts while it predicts: by hand, frozen parts untouched, and reset."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops
from tiny import learning_classifier, moved, pixels, tiny_images, values_of

from tl_helpers import streams
from tl_helpers.adaptation.losses import entropy
from tl_helpers.training import predict_logits

EPSILON = 1e-3  # of BatchNormalization
SEEDS = st.integers(0, 10_000)
BATCH = 6  # images


def thawed():
    return learning_classifier(6)


def frozen():
    """As after fine-tuning with BatchNormalization frozen, in a nested model."""
    model = thawed()
    model.trainable = False
    images = keras.Input((8, 8, 3))
    return keras.Sequential([images, model])


@pytest.fixture(scope="module")
def network():
    return thawed()


def batches(number=4, seed=0):
    drawn = pixels(number * BATCH, 8, 8, seed=seed)
    return np.split(drawn, number)


def norm_of(width=3, **settings):
    """One layer of BatchNormalization, with statistics of its own."""
    norm = layers.BatchNormalization(**settings)
    model = keras.Sequential([keras.Input((width,)), norm])
    norm.moving_mean.assign(np.arange(width))
    norm.moving_variance.assign(np.arange(width) + 1.0)
    return model


def normalised(rows, mean, variance):
    return (rows - mean) / np.sqrt(variance + EPSILON)


def rows_of(num_rows=5, width=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(2, 3, (num_rows, width)).astype("float32")


def mean_entropy(logits):
    return float(ops.mean(entropy(logits)))


ADAPTERS = {
    "batch": streams.BatchStatistics,
    "prior": lambda model: streams.BatchStatistics(model, prior=8),
    "running": streams.RunningStatistics,
    "tent": streams.Tent,
    "anchored": lambda model: streams.Tent(model, anchor=0.1),
}


# --- What all of them keep --------------------------------------------------------


@pytest.mark.parametrize("build", [thawed, frozen])
@pytest.mark.parametrize("name", ADAPTERS)
def test_the_model_that_was_given_never_changes(name, build):
    model = build()
    before, trainable = values_of(model), [x.trainable for x in model.layers]
    adapter = ADAPTERS[name](model)
    for batch in batches():
        adapter.predict(batch)
    adapter.reset()
    assert moved(before, model) == set()
    assert [x.trainable for x in model.layers] == trainable


@pytest.mark.parametrize("name", ADAPTERS)
def test_reset_returns_to_the_start_bit_for_bit(network, name):
    adapter = ADAPTERS[name](network)
    start = values_of(adapter.network)
    first = [adapter.predict(batch) for batch in batches()]
    adapter.reset()
    assert moved(start, adapter.network) == set()
    for logits, batch in zip(first, batches(), strict=True):
        np.testing.assert_array_equal(adapter.predict(batch), logits)


@pytest.mark.parametrize("name", ADAPTERS)
def test_batches_of_any_size_and_kind_are_answered(network, name):
    adapter = ADAPTERS[name](network)
    images = tiny_images()
    for rows in (slice(0, 7), slice(7, 8), slice(8, 24)):
        logits = adapter.predict(images[rows])
        assert logits.shape == (len(images[rows]), 3)
        assert isinstance(logits, np.ndarray) and np.isfinite(logits).all()


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_model_without_batch_norm_is_refused(name):
    plain = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="without BatchNormalization, expected at"):
        ADAPTERS[name](plain)


@pytest.mark.parametrize("name", ADAPTERS)
def test_images_that_do_not_fit_are_refused(network, name):
    adapter = ADAPTERS[name](network)
    with pytest.raises(ValueError, match="as the model takes them"):
        adapter.predict(pixels(2, 9, 9))
    with pytest.raises(ValueError, match="not finite"):
        adapter.predict(np.full((2, 8, 8, 3), np.nan))


def test_dropout_stays_off(network):
    """The network's dropout is 0.5: two answers would differ."""
    for adapter in (streams.BatchStatistics(network), streams.Tent(network, anchor=1)):
        first, second = (adapter.predict(batches()[0]) for _ in range(2))
        np.testing.assert_array_equal(first, second)


# --- Statistics -------------------------------------------------------------------


def test_batch_statistics_by_hand():
    rows = rows_of()
    found = streams.BatchStatistics(norm_of()).predict(rows)
    expected = normalised(rows, rows.mean(axis=0), rows.var(axis=0))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prior", [1, 16, 1000])
def test_a_prior_counts_as_so_many_images(prior):
    rows, width = rows_of(), np.arange(3)
    found = streams.BatchStatistics(norm_of(), prior).predict(rows)
    share = 5 / (5 + prior)
    mean = share * rows.mean(axis=0) + (1 - share) * width
    variance = share * rows.var(axis=0) + (1 - share) * (width + 1)
    expected = normalised(rows, mean, variance)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=10)
@given(momentum=st.floats(0, 1), seed=SEEDS)
def test_running_statistics_by_hand(momentum, seed):
    adapter = streams.RunningStatistics(norm_of(), momentum)
    mean, variance = np.arange(3.0), np.arange(3) + 1.0
    for step in range(3):
        rows = rows_of(4, seed=seed + step)
        found = adapter.predict(rows)
        mean = momentum * mean + (1 - momentum) * rows.mean(axis=0)
        variance = momentum * variance + (1 - momentum) * rows.var(axis=0)
        expected = normalised(rows, mean, variance)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_running_statistics_end_at_the_batch_and_at_the_source(network):
    batch = batches()[0]
    ends = {0: streams.BatchStatistics(network).predict(batch)}
    ends[1] = predict_logits(network, batch)
    for momentum, expected in ends.items():
        adapter = streams.RunningStatistics(network, momentum)
        for _ in range(2):
            found = adapter.predict(batch)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_running_statistics_move_nothing_else(network):
    adapter = streams.RunningStatistics(network)
    start = values_of(adapter.network)
    adapter.predict(batches()[0])
    kinds = {path.rpartition("/")[2] for path in moved(start, adapter.network)}
    assert kinds == {"moving_mean", "moving_variance"}


def test_batch_statistics_keep_nothing(network):
    adapter = streams.BatchStatistics(network)
    start = values_of(adapter.network)
    alone = adapter.predict(batches()[3])
    for batch in batches():
        last = adapter.predict(batch)
    assert moved(start, adapter.network) == set()
    np.testing.assert_array_equal(last, alone)


def test_one_row_between_dense_layers_loses_all_it_says():
    adapter = streams.BatchStatistics(norm_of())
    for seed in range(3):
        np.testing.assert_array_equal(adapter.predict(rows_of(1, seed=seed)), 0)


def test_the_axis_of_the_layer_is_kept():
    norm = layers.BatchNormalization(axis=1, center=False, scale=False)
    model = keras.Sequential([keras.Input((4, 2)), norm])
    rows = np.random.default_rng(0).normal(size=(3, 4, 2)).astype("float32")
    mean, variance = (f(rows, axis=(0, 2), keepdims=True) for f in (np.mean, np.var))
    found = streams.BatchStatistics(model).predict(rows)
    np.testing.assert_allclose(found, normalised(rows, mean, variance), atol=1e-5)


# --- TENT -------------------------------------------------------------------------


def test_tent_answers_before_it_learns(network):
    batch = batches()[0]
    plain = streams.BatchStatistics(network).predict(batch)
    tent = streams.Tent(network, keras.optimizers.SGD(0.5))
    np.testing.assert_allclose(tent.predict(batch), plain, rtol=1e-4, atol=1e-4)
    assert np.abs(tent.predict(batch) - plain).max() > 1e-3


@pytest.mark.parametrize("build", [thawed, frozen])
def test_tent_moves_gamma_and_beta_alone(build):
    model = build()
    tent = streams.Tent(model)
    start = values_of(tent.network)
    for batch in batches():
        tent.predict(batch)
    kinds = {path.rpartition("/")[2] for path in start if "norm" in path}
    assert kinds == {"gamma", "beta", "moving_mean", "moving_variance"}
    changed = moved(start, tent.network)
    wanted = {path for path in start if path.endswith(("/gamma", "/beta"))}
    assert changed == wanted and len(changed) == 4


def test_tents_step_by_hand():
    """Entropy of softmax(gamma n + beta) for rows n, by differences in float64."""
    rows, rate = rows_of(), 0.1
    tent = streams.Tent(norm_of(), keras.optimizers.SGD(rate))
    tent.predict(rows)
    fixed = normalised(rows, rows.mean(axis=0), rows.var(axis=0)).astype("float64")

    def loss(weights):
        gamma, beta = weights
        logits = gamma * fixed + beta
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return -(shares * np.log(shares)).sum(axis=1).mean()

    start, step = np.stack([np.ones(3), np.zeros(3)]), 1e-5
    gradient = np.zeros((2, 3))
    for place in np.ndindex(2, 3):
        ahead, behind = start.copy(), start.copy()
        ahead[place] += step
        behind[place] -= step
        gradient[place] = (loss(ahead) - loss(behind)) / (2 * step)
    found = [np.array(x) for x in tent.network.layers[0].trainable_weights]
    np.testing.assert_allclose(found, start - rate * gradient, atol=1e-5)


def test_entropy_falls_on_the_same_batch_again(network):
    tent, batch = streams.Tent(network), batches()[0]
    entropies = [mean_entropy(tent.predict(batch)) for _ in range(8)]
    assert (np.diff(entropies) < 0).all()


def test_a_whole_anchor_is_batch_statistics_alone(network):
    plain, tent = streams.BatchStatistics(network), streams.Tent(network, anchor=1)
    start = values_of(tent.network)
    for batch in batches():
        found, expected = tent.predict(batch), plain.predict(batch)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert moved(start, tent.network) == set()


def test_an_anchor_goes_its_share_of_the_way_back():
    rows = rows_of()
    weights = []
    for anchor in (0.0, 0.25):
        tent = streams.Tent(norm_of(), keras.optimizers.SGD(0.1), anchor)
        tent.predict(rows)
        weights.append(np.stack(tent.network.layers[0].trainable_weights))
    start = np.stack([np.ones(3), np.zeros(3)])
    np.testing.assert_allclose(weights[1] - start, 0.75 * (weights[0] - start), 1e-4)


def test_an_anchor_bounds_how_far_tent_goes():
    rate, anchor = 0.01, 0.1
    free, held = (
        streams.Tent(norm_of(), keras.optimizers.Adam(rate), x) for x in (0.0, anchor)
    )
    for _ in range(100):
        for tent in (free, held):
            tent.predict(rows_of())
    start = np.stack([np.ones(3), np.zeros(3)])
    far, near = (
        np.abs(np.stack(x.network.layers[0].trainable_weights) - start).max()
        for x in (free, held)
    )
    assert near <= 1.01 * rate / anchor < far


def test_tent_leaves_the_optimizer_that_was_given(network):
    optimizer = keras.optimizers.Adam(0.01)
    first, second = (streams.Tent(network, optimizer) for _ in range(2))
    answers = [first.predict(batch) for batch in batches()]
    assert not optimizer.built
    for batch, expected in zip(batches(), answers, strict=True):
        np.testing.assert_array_equal(second.predict(batch), expected)


def test_tent_refuses_a_network_without_gamma_and_beta():
    with pytest.raises(ValueError, match="neither gamma nor beta"):
        streams.Tent(norm_of(center=False, scale=False))
