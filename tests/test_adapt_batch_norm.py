"""AdaBN: statistics by hand, nothing else touched, and a domain gap that it closes."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from tiny import moved, tiny_backbone, tiny_images, values_of

from tl_helpers import saving
from tl_helpers.datasets import ImageSet
from tl_helpers.domains import batch_norm
from tl_helpers.domains.batch_norm import adapt_batch_norm
from tl_helpers.finetuning import classifier


def rows(num_rows=13, width=3, seed=0):
    scale = np.arange(1, width + 1)
    drawn = np.random.default_rng(seed).normal(2, scale, (num_rows, width))
    return drawn.astype("float32")


def model_of(*parts, shape=(3,)):
    return keras.Sequential([keras.Input(shape), *parts])


def assert_statistics(norm, values):
    """Compare with NumPy's over all axes but the last."""
    axes = tuple(range(values.ndim - 1))
    np.testing.assert_allclose(norm.moving_mean, values.mean(axes), rtol=1e-4)
    np.testing.assert_allclose(norm.moving_variance, values.var(axes), rtol=1e-4)


@pytest.fixture(scope="module")
def network():
    """Two convolutions with BatchNormalization and random weights, partly frozen."""
    keras.utils.set_random_seed(0)
    model = classifier(tiny_backbone(), 2, dropout=0.5)
    for weight in model.weights:
        if "norm" in weight.path:
            weight.assign(keras.random.uniform(weight.shape, 0.5, 1.5))
    return model


@pytest.fixture(scope="module")
def adapted(network):
    return adapt_batch_norm(network, tiny_images())


@pytest.mark.parametrize("batch_size", [2, 5, 13, 100])
def test_one_layer_gets_the_statistics_of_all_rows(batch_size):
    target = rows()
    target[:5] += 20  # the batches differ: the variance of their means counts
    adapted = adapt_batch_norm(
        model_of(layers.BatchNormalization()), target, batch_size
    )
    assert_statistics(adapted.layers[0], target)
    normalised = adapted.predict(target, verbose=0)
    np.testing.assert_allclose(normalised.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(normalised.std(axis=0), 1, atol=1e-3)


def test_no_batch_is_left_with_a_single_image():
    sizes = [len(batch) for batch in batch_norm.shuffled_batches(5, 2)]
    assert sizes == [3, 2]


def test_batches_mix_a_set_that_is_sorted_by_class():
    batches = batch_norm.shuffled_batches(100, 50)
    for batch in batches:
        assert 10 < np.sum(batch < 50) < 40
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(100))


def test_second_layer_sees_normalised_maps(adapted):
    images = tiny_images().pixels()
    before = adapted.get_layer("block2_norm").input
    maps = keras.Model(adapted.input, before).predict(images, verbose=0)
    assert_statistics(adapted.get_layer("block2_norm"), maps)


def test_only_moving_statistics_differ_in_the_copy(network, adapted):
    before = values_of(network)
    assert before.keys() == values_of(adapted).keys()
    names = ("block1_norm", "block2_norm")
    statistics = ("moving_mean", "moving_variance")
    wanted = {f"{n}/{s}" for n in names for s in statistics}
    assert moved(before, adapted) == wanted


def test_copy_keeps_class_blocks_and_what_is_frozen(network, adapted):
    assert type(adapted) is type(network)
    assert adapted.block_layers == network.block_layers
    assert adapted.name == network.name
    trainable = [weight.shape for weight in network.trainable_weights]
    assert [weight.shape for weight in adapted.trainable_weights] == trainable


def test_given_model_stays_as_it_is_and_shares_nothing(network):
    before, images = values_of(network), tiny_images()
    logits = network.predict(images.pixels(), verbose=0)
    copy = adapt_batch_norm(network, images, batch_size=7)
    for weight in copy.weights:
        weight.assign(ops.zeros_like(weight))
    assert not moved(before, network)
    same = network.predict(images.pixels(), verbose=0)
    np.testing.assert_array_equal(same, logits)


def test_copy_saves_and_reloads(adapted, tmp_path):
    images = tiny_images().pixels()
    saving.save_model(adapted, tmp_path / "adapted.keras")
    reloaded = keras.saving.load_model(tmp_path / "adapted.keras")
    expected = adapted.predict(images, verbose=0)
    np.testing.assert_array_equal(reloaded.predict(images, verbose=0), expected)


def test_source_images_tell_where_the_target_should_go():
    model = model_of(layers.BatchNormalization())
    weights = [[2, 1, 1], [0, 5, 0], [1, 1, 1], [4, 1, 9]]
    model.set_weights([np.array(weight, "float32") for weight in weights])
    source, target = rows(), 3 * rows(20, seed=1) - 7
    adapted = adapt_batch_norm(model, target, batch_size=4, source_images=source)
    wanted, got = (
        ops.convert_to_numpy(m(x)) for m, x in ((model, source), (adapted, target))
    )
    np.testing.assert_allclose(got.mean(axis=0), wanted.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(got.std(axis=0), wanted.std(axis=0), rtol=1e-3)


def test_source_images_as_target_change_nothing(network):
    images = tiny_images()
    adapted = adapt_batch_norm(network, images, source_images=images)
    before, after = (m.predict(images.pixels(), verbose=0) for m in (network, adapted))
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_source_images_are_needless_where_the_model_carries_their_statistics(adapted):
    target = tiny_images(seed=1)
    once = adapt_batch_norm(adapted, target)
    aimed = adapt_batch_norm(adapted, target, source_images=tiny_images())
    for one, other in zip(once.weights, aimed.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_labels_are_not_looked_at_and_an_array_does_as_well(network, adapted):
    images = tiny_images()
    mixed = ImageSet(
        images.images, images.labels[::-1], images.class_names, images.provenance
    )
    for same in (mixed, images.pixels(), images.pixels().astype("float32")):
        for one, other in zip(
            adapt_batch_norm(network, same).weights, adapted.weights, strict=True
        ):
            np.testing.assert_array_equal(one, other)


def test_dropout_and_augmentation_stay_off():
    inner = model_of(layers.GaussianDropout(0.5), layers.BatchNormalization())
    model = model_of(layers.Dropout(0.5), layers.GaussianNoise(1.0), inner)
    target = rows()
    adapted = adapt_batch_norm(model, target)
    assert_statistics(adapted.layers[-1].layers[-1], target)


def test_nested_models_are_reached():
    inner = model_of(layers.BatchNormalization(trainable=False))
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.BatchNormalization()(inner(inputs)))
    adapted = adapt_batch_norm(model, rows())
    assert_statistics(adapted.layers[1].layers[0], rows())
    assert not adapted.layers[1].layers[0].trainable


def test_layer_used_twice_gets_the_statistics_of_both_uses():
    norm, double = layers.BatchNormalization(), layers.Rescaling(2)
    inputs = keras.Input((3,))
    outputs = layers.Add()([norm(inputs), norm(double(inputs))])
    adapted = adapt_batch_norm(keras.Model(inputs, outputs), rows(), batch_size=4)
    (norm,) = [x for x in adapted.layers if isinstance(x, layers.BatchNormalization)]
    assert_statistics(norm, np.concatenate([rows(), 2 * rows()]))


def test_channels_may_come_first():
    maps = np.random.default_rng(0).normal(5, 2, (6, 3, 4, 4))
    model = model_of(layers.BatchNormalization(axis=1), shape=(3, 4, 4))
    adapted = adapt_batch_norm(model, maps, batch_size=4)
    assert_statistics(adapted.layers[0], maps.transpose(0, 2, 3, 1))


def test_mixed_precision_keeps_statistics_in_float32():
    target = 300 * rows()  # its squares overflow float16
    norm = layers.BatchNormalization(dtype="mixed_float16")
    adapted = adapt_batch_norm(model_of(norm), target)
    exact = target.astype("float16").astype("float32")
    assert_statistics(adapted.layers[0], exact)


def test_adapting_restores_the_accuracy_on_a_shifted_domain():
    keras.utils.set_random_seed(0)
    labels = np.arange(200) % 2
    source, target = (rows(200, seed=s) + 9 * labels[:, None] for s in (0, 1))
    shifted = 0.2 * target + 30
    model = model_of(layers.BatchNormalization(momentum=0.8), layers.Dense(2))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss)
    model.fit(source, labels, batch_size=50, epochs=10, verbose=0)

    def accuracy(network, features):
        logits = network(features, training=False)
        return np.mean(ops.argmax(logits, axis=1) == labels)

    assert accuracy(model, target) > 0.95
    assert accuracy(model, shifted) < 0.6
    assert accuracy(adapt_batch_norm(model, shifted, batch_size=30), shifted) > 0.95


def test_model_without_batch_norm_is_refused():
    with pytest.raises(ValueError, match="without BatchNormalization"):
        adapt_batch_norm(model_of(layers.Dense(2)), rows())


def test_batch_norm_inside_a_custom_layer_is_refused():
    class Hiding(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inner = layers.BatchNormalization()

        def call(self, inputs):
            return self.inner(inputs)

    model = model_of(layers.BatchNormalization(), Hiding())
    with pytest.raises(ValueError, match="Got 1 BatchNormalization layers inside"):
        adapt_batch_norm(model, rows())


def test_models_without_one_known_input_are_refused():
    class Subclassed(keras.Model):
        pass

    first, second = keras.Input((3,)), keras.Input((3,))
    added = layers.BatchNormalization()(layers.Add()([first, second]))
    for model in (Subclassed(), keras.Model([first, second], added)):
        with pytest.raises(ValueError, match="expected a functional or Sequential"):
            adapt_batch_norm(model, rows())


def test_images_that_do_not_fit_are_refused(network):
    for images in (np.ones((4, 9, 9, 3)), np.ones((8, 8, 3))):
        with pytest.raises(ValueError, match=r"expected \('n', 8, 8, 3\)"):
            adapt_batch_norm(network, images)
        with pytest.raises(ValueError, match=r"expected \('n', 8, 8, 3\)"):
            adapt_batch_norm(network, tiny_images(), source_images=images)


def test_too_few_images_are_refused():
    model = model_of(layers.BatchNormalization())
    for target, batch_size in ((rows(0), 8), (rows(1), 8), (rows(4), 1)):
        with pytest.raises(ValueError, match="at least 2 of|whole number from 2 on"):
            adapt_batch_norm(model, target, batch_size)


def test_images_that_are_not_numbers_are_refused():
    target = rows()
    target[3, 1] = np.nan
    with pytest.raises(ValueError, match="that are not finite"):
        adapt_batch_norm(model_of(layers.BatchNormalization()), target)
