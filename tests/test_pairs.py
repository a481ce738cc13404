from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny import PROVENANCE, tiny_images

from tl_helpers.adaptation import DANN, dense_network
from tl_helpers.adaptation.pairs import pairs
from tl_helpers.datasets import batches as batch_module
from tl_helpers.datasets.files import ImageFiles
from tl_helpers.datasets.image_set import ImageSet
from tl_helpers.features import Features


def numbered(num_source, num_target, batch_size, seed=0):
    """Pairs whose rows are their own numbers."""
    rows = [np.arange(n, dtype="float32")[:, None] for n in (num_source, num_target)]
    return pairs(Features(rows[0], np.arange(num_source)), rows[1], batch_size, seed)


def draw(batches, epochs):
    """All rows that an epoch after the other draws: {domain: int array}."""
    drawn = {"source": [], "target": []}
    for _ in range(epochs):
        for images, _ in batches.as_numpy_iterator():
            for name, rows in images.items():
                drawn[name] += rows[:, 0].astype(int).tolist()
    return {name: np.array(rows) for name, rows in drawn.items()}


sizes = st.integers(2, 40)
few_examples = settings(max_examples=25)


@few_examples
@given(sizes, sizes, st.integers(2, 9), st.integers(1, 4))
def test_pairs_repeats_evenly_at_any_time(num_source, num_target, batch_size, epochs):
    drawn = draw(numbered(num_source, num_target, batch_size), epochs)
    for rows, size in zip(drawn.values(), (num_source, num_target), strict=True):
        counts = np.bincount(rows, minlength=size)
        assert counts.max() - counts.min() <= 1


@few_examples
@given(sizes, sizes, st.integers(2, 9))
def test_pairs_drops_nothing(num_source, num_target, batch_size):
    drawn = draw(numbered(num_source, num_target, batch_size), epochs=1)
    assert set(drawn["source"]) == set(range(num_source))
    assert set(drawn["target"]) == set(range(num_target))


def test_pairs_fills_every_batch():
    batches = numbered(50, 7, 16)
    shapes = [images["target"].shape for images, _ in batches]
    assert len(batches) == 4 and shapes == [(16, 1)] * 4


def test_pairs_keeps_labels_with_their_rows():
    for images, labels in numbered(23, 40, 8):
        np.testing.assert_array_equal(images["source"][:, 0], labels)


def test_pairs_orders_domains_and_epochs_anew():
    drawn = draw(numbered(32, 32, 8), epochs=2)
    first, second = drawn["source"].reshape(2, 32)
    assert not np.array_equal(first, second)
    assert not np.array_equal(drawn["source"], drawn["target"])


def test_pairs_repeats_with_its_seed():
    draws = [draw(numbered(20, 9, 4, seed), 2)["target"] for seed in (1, 1, 2)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_pairs_never_shows_target_labels():
    target = tiny_images(12)
    permuted = ImageSet(
        target.images, target.labels[::-1], target.class_names, PROVENANCE
    )
    batches = [pairs(tiny_images(12), x, 4) for x in (target, permuted)]
    for plain, other in zip(*batches, strict=True):
        np.testing.assert_array_equal(plain[0]["target"], other[0]["target"])
        np.testing.assert_array_equal(plain[1], other[1])


def first_images(batches):
    """Both domains' rows in the first batch."""
    return next(batches.as_numpy_iterator())[0]


def test_pairs_takes_features_and_image_sets():
    values = np.ones((6, 3), "float32")
    features = Features(values, np.arange(6) % 2)
    assert first_images(pairs(features, features, 4))["target"].shape == (4, 3)
    images = first_images(pairs(tiny_images(), tiny_images(), 4))
    assert images["source"].dtype == "float32"


def test_a_look_at_the_first_batch_costs_no_epoch():
    """Keras takes one before it trains under a distribution strategy."""
    batches = numbered(20, 9, 4)
    for _ in range(3):
        first_images(batches)
    drawn, expected = draw(batches, 2), draw(numbered(20, 9, 4), 2)
    np.testing.assert_array_equal(drawn["target"], expected["target"])


@pytest.mark.parametrize("num_target", [12, 5, 4])
def test_fit_trains_on_what_pairs_draws(num_target):
    trained = {"source": [], "target": []}

    class Watch(DANN):
        def forward(self, source, target, training):
            for name, rows in {"source": source, "target": target}.items():
                trained[name] += rows[:, 0].numpy().astype(int).tolist()
            return super().forward(source, target, training)

    model = Watch(dense_network(1, (), 4), dense_network(4, (), 12))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, run_eagerly=True)
    model.fit(numbered(12, num_target, 4), epochs=3, verbose=0)
    drawn = draw(numbered(12, num_target, 4), epochs=3)
    for name, rows in trained.items():
        np.testing.assert_array_equal(rows, drawn[name])


def test_pairs_decodes_files_that_memory_does_not_hold(tmp_path, monkeypatch):
    images = tiny_images(6)
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for path, pixels in zip(paths, images.pixels(), strict=True):
        Image.fromarray(pixels).save(path)
    in_files = replace(images, images=ImageFiles(paths, images.images.shape[1]))
    cached = first_images(pairs(in_files, images, 4))
    monkeypatch.setattr(batch_module, "MAX_CACHED_BYTES", 0)
    decoded = first_images(pairs(in_files, images, 4))
    np.testing.assert_array_equal(
        decoded["source"], first_images(pairs(images, images, 4))["source"]
    )
    np.testing.assert_array_equal(decoded["source"], cached["source"])


def rows(*shape, top=1.0):
    return np.full(shape, top, "float32")


FOUR = Features(rows(4, 3), np.arange(4))
BRIGHT = Features(rows(4, 2, 2, 3, top=255), np.arange(4))


@pytest.mark.parametrize(
    "source, target, message",
    [
        (FOUR, rows(0, 3), "empty target"),
        (Features(rows(0, 3), np.arange(0)), rows(4, 3), "empty source"),
        (FOUR, rows(4, 5), r"\(3,\) and target rows .*\(5,\)"),
        (FOUR, rows(4, 3) * np.nan, "not finite"),
        (FOUR, 7, r"a target of type int and shape \(\)"),
        (BRIGHT, rows(4, 2, 2, 3), "one range"),
        (rows(4, 3), rows(4, 3), "source needs its labels"),
        ((rows(4, 3), np.arange(4)), rows(4, 3), "source of type tuple"),
        (FOUR, (rows(4, 3), np.arange(4)), "values alone"),
    ],
)
def test_pairs_refuses(source, target, message):
    with pytest.raises(ValueError, match=message):
        pairs(source, target)


@pytest.mark.parametrize("names", [("dark", "green"), ("bright", "dark")])
def test_pairs_refuses_a_target_of_other_classes(names):
    """Which is no look at its labels: what is predicted would be another class."""
    target = replace(tiny_images(), class_names=names)
    for other in (target, Features(target.images, target.labels, names)):
        with pytest.raises(ValueError, match="in the target, exp.* in the source"):
            pairs(tiny_images(), other)


@pytest.mark.parametrize("wrong", [np.full((4, 3), "a"), [[1, 2, 3], [4]]])
def test_pairs_refuses_a_target_without_numbers(wrong):
    with pytest.raises(ValueError, match="^Got a target of .*expected numbers"):
        pairs(FOUR, wrong)


def test_pairs_refuses_batches_of_one():
    with pytest.raises(ValueError, match="batch_size=1"):
        numbered(4, 4, 1)
