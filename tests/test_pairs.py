import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny import PROVENANCE, tiny_images
from tl_helpers.adaptation.pairs import pairs
from tl_helpers.datasets.image_set import ImageSet
from tl_helpers.features import Features


def numbered(num_source, num_target, batch_size, seed=0):
    """Pairs whose rows are their own numbers."""
    rows = [np.arange(n, dtype="float32")[:, None] for n in (num_source, num_target)]
    return pairs((rows[0], np.arange(num_source)), rows[1], batch_size, seed)


def draw(batches, epochs):
    """All rows that an epoch after the other draws: {domain: int array}."""
    drawn = {"source": [], "target": []}
    for _ in range(epochs):
        for step in range(len(batches)):
            for name, rows in batches[step][0].items():
                drawn[name] += rows[:, 0].astype(int).tolist()
        batches.on_epoch_end()
    return {name: np.array(rows) for name, rows in drawn.items()}


sizes = st.integers(2, 40)


@given(sizes, sizes, st.integers(2, 9), st.integers(1, 4))
def test_pairs_repeats_evenly_at_any_time(num_source, num_target, batch_size, epochs):
    drawn = draw(numbered(num_source, num_target, batch_size), epochs)
    for rows, size in zip(drawn.values(), (num_source, num_target), strict=True):
        counts = np.bincount(rows, minlength=size)
        assert counts.max() - counts.min() <= 1


@given(sizes, sizes, st.integers(2, 9))
def test_pairs_drops_nothing(num_source, num_target, batch_size):
    drawn = draw(numbered(num_source, num_target, batch_size), epochs=1)
    assert set(drawn["source"]) == set(range(num_source))
    assert set(drawn["target"]) == set(range(num_target))


def test_pairs_fills_every_batch():
    batches = numbered(50, 7, 16)
    shapes = {batches[step][0]["target"].shape for step in range(len(batches))}
    assert len(batches) == 4 and shapes == {(16, 1)}


def test_pairs_keeps_labels_with_their_rows():
    batches = numbered(23, 40, 8)
    for step in range(len(batches)):
        images, labels = batches[step]
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
    for step in range(3):
        plain, other = (pairs(tiny_images(12), x, 4)[step] for x in (target, permuted))
        np.testing.assert_array_equal(plain[0]["target"], other[0]["target"])
        np.testing.assert_array_equal(plain[1], other[1])


def test_pairs_takes_features_and_image_sets():
    values = np.ones((6, 3), "float32")
    features = Features(values, np.arange(6) % 2)
    assert pairs(features, features, 4)[0][0]["target"].shape == (4, 3)
    assert pairs(tiny_images(), tiny_images(), 4)[0][0]["source"].dtype == "float32"


def rows(*shape, top=1.0):
    return np.full(shape, top, "float32")


@pytest.mark.parametrize(
    "source, target, message",
    [
        ((rows(4, 3), np.arange(4)), rows(0, 3), "empty target"),
        ((rows(0, 3), np.arange(0)), rows(4, 3), "empty source"),
        ((rows(4, 3), np.arange(3)), rows(4, 3), "3 labels for 4 source rows"),
        ((rows(4, 3), np.arange(4)), rows(4, 5), r"\(3,\) and target rows .*\(5,\)"),
        ((rows(4, 3), np.arange(4)), rows(4, 3) * np.nan, "not finite"),
        ((rows(4, 2, 2, 3, top=255), np.arange(4)), rows(4, 2, 2, 3), "one range"),
        (rows(4, 3), rows(4, 3), "source needs its labels"),
        ((rows(4, 3), np.arange(4)), (rows(4, 3), np.arange(4)), "values alone"),
    ],
)
def test_pairs_refuses(source, target, message):
    with pytest.raises(ValueError, match=message):
        pairs(source, target)


def test_pairs_refuses_target_classes_that_the_source_lacks():
    target = tiny_images()
    named = ImageSet(target.images, target.labels, ("dark", "green"), PROVENANCE)
    with pytest.raises(ValueError, match="target classes green"):
        pairs(tiny_images(), named)


def test_pairs_refuses_batches_of_one():
    with pytest.raises(ValueError, match="batch_size=1"):
        numbered(4, 4, 1)
