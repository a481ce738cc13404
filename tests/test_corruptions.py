"""Corruptions stay images, repeat themselves, and grow; streams lose nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_images

from tl_helpers import datasets
from tl_helpers.datasets import ImageSet
from tl_helpers.streams import CORRUPTIONS, corrupt, stream

SEEDS = st.integers(0, 10_000)
POINTWISE = ("noise", "contrast", "frost")  # of which every single value moves


def drawn(num_images=3, height=12, width=9, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (num_images, height, width, 3)).astype("uint8")


def change(images, kind, severity):
    """How far every value moves."""
    spoilt = corrupt(images, kind, severity).astype(int)
    return np.abs(spoilt - images.astype(int))


def numbered(labels):
    """Images that carry their own number."""
    pixels = np.zeros((len(labels), 2, 2, 3), np.uint8)
    pixels[:, 0, 0, 0] = np.arange(len(labels))
    names = tuple("abcdefghij"[: max(labels) + 1])
    return ImageSet(pixels, np.array(labels), names, tiny_images().provenance)


def numbers_of(batches):
    return np.concatenate([batch.pixels()[:, 0, 0, 0] for batch in batches])


# --- Corruptions ------------------------------------------------------------------


@pytest.mark.parametrize("kind", CORRUPTIONS)
@settings(max_examples=15)
@given(
    sides=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    severity=st.integers(0, 5),
    seed=SEEDS,
)
def test_corrupt_gives_images_of_the_same_kind(kind, sides, severity, seed):
    images = drawn(2, *sides, seed)
    before = images.copy()
    spoilt = corrupt(images, kind, severity, seed)
    assert spoilt.dtype == np.uint8 and spoilt.shape == images.shape
    np.testing.assert_array_equal(images, before)
    assert not np.shares_memory(spoilt, images)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_corrupt_repeats_itself_and_knows_no_neighbours(kind):
    images = drawn(5)
    spoilt = corrupt(images, kind, 3, seed=1)
    np.testing.assert_array_equal(corrupt(images, kind, 3, seed=1), spoilt)
    np.testing.assert_array_equal(corrupt(images[3:4], kind, 3, seed=1)[0], spoilt[3])
    backwards = corrupt(images[::-1], kind, 3, seed=1)
    np.testing.assert_array_equal(backwards[::-1], spoilt)


@pytest.mark.parametrize("kind", ["noise", "frost"])
def test_what_is_drawn_depends_on_seed_and_image(kind):
    grey = np.full((2, 12, 12, 3), 100, np.uint8)
    grey[1] += 1
    first, second = corrupt(grey, kind, 3)
    assert (first != second - 1).any()
    assert (corrupt(grey, kind, 3, seed=1)[0] != first).any()


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_corrupt_grows_with_severity(kind):
    images = datasets.load("solids")[::100].pixels()
    moved = [change(images, kind, severity).mean() for severity in range(6)]
    assert moved[0] == 0
    assert (np.diff(moved) > 0).all()


@pytest.mark.parametrize("kind", POINTWISE)
@settings(max_examples=15)
@given(seed=SEEDS)
def test_no_value_comes_back_at_a_higher_severity(kind, seed):
    images = drawn(2, seed=seed)
    moved = [change(images, kind, severity) for severity in range(6)]
    assert (np.diff(moved, axis=0) >= 0).all()


def test_contrast_by_hand():
    image = np.zeros((1, 1, 2, 3), np.uint8)
    image[0, 0, 1] = 200  # mean 100; 0.4 of the contrast is left at severity 3
    spoilt = corrupt(image, "contrast", 3)
    np.testing.assert_array_equal(spoilt[0, 0, :, 0], [60, 140])


def test_noise_has_its_standard_deviation():
    grey = np.full((4, 64, 64, 3), 128, np.uint8)
    for severity, share in ((1, 0.04), (5, 0.10)):
        assert corrupt(grey, "noise", severity).std() == pytest.approx(
            255 * share, rel=0.02
        )


def test_pixelate_and_blur_keep_the_mean():
    images = drawn(3, 32, 32)
    for kind in ("pixelate", "blur"):
        for before, after in zip(images, corrupt(images, kind, 5), strict=True):
            assert abs(before.mean() - after.mean()) < 3


def test_frost_draws_towards_its_colour_in_some_places_more():
    black = np.zeros((1, 32, 32, 3), np.uint8)
    frost = corrupt(black, "frost", 5)[0].astype(int)
    assert (frost[..., 2] >= frost[..., 0]).all()  # bluish
    assert frost[..., 2].max() > 2 * frost[..., 2].min()


def test_corrupt_takes_an_image_set_and_keeps_the_rest():
    images = tiny_images(6)
    spoilt = corrupt(images, "noise", 2)
    np.testing.assert_array_equal(spoilt.labels, images.labels)
    expected = corrupt(images.pixels(), "noise", 2)
    np.testing.assert_array_equal(spoilt.pixels(), expected)


def test_corrupt_refuses_what_is_no_byte_or_no_severity():
    with pytest.raises(ValueError, match="expected uint8"):
        corrupt(drawn().astype("float32"), "noise", 1)
    with pytest.raises(ValueError, match="expected 0 to 5"):
        corrupt(drawn(), "noise", 6)
    with pytest.raises(ValueError, match="expected one of noise, blur"):
        corrupt(drawn(), "rain", 1)


# --- Streams ----------------------------------------------------------------------


@settings(max_examples=60)
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    batch_size=st.integers(1, 70),
    order=st.sampled_from(["shuffled", "runs", "by_class"]),
    concentration=st.floats(0.01, 100),
    seed=SEEDS,
)
def test_stream_has_every_image_once(labels, batch_size, order, concentration, seed):
    images = numbered(labels)

    def arriving(batch_size):
        return list(stream(images, batch_size, order, concentration, seed=seed))

    batches = arriving(batch_size)
    seen = numbers_of(batches)
    np.testing.assert_array_equal(np.sort(seen), np.arange(len(labels)))
    for batch in batches:
        own = batch.pixels()[:, 0, 0, 0]
        np.testing.assert_array_equal(batch.labels, images.labels[own])
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    np.testing.assert_array_equal(numbers_of(arriving(1)), seen)  # same order


def changes_of_class(images, order, concentration=0.1):
    labels = [x.labels[0] for x in stream(images, 1, order, concentration)]
    return int((np.diff(labels) != 0).sum())


def test_orders_differ_in_how_often_the_class_changes():
    images = numbered(list(range(10)) * 20)
    changes = [
        changes_of_class(images, "by_class"),
        changes_of_class(images, "runs", 0.01),
        changes_of_class(images, "runs", 100.0),
        changes_of_class(images, "shuffled"),
    ]
    assert changes[0] == 9
    assert changes == sorted(changes) and len(set(changes)) == 4


def test_stream_drifts_there_and_back():
    images = tiny_images(22)
    clean = list(stream(images, 5, seed=3))
    batches = list(stream(images, 5, drift="contrast", seed=3))
    severity = np.concatenate([batch.extras["severity"] for batch in batches])
    there_and_back = [0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0]
    np.testing.assert_array_equal(severity, np.repeat(there_and_back, 2))
    before = np.concatenate([batch.pixels() for batch in clean])
    after = np.concatenate([batch.pixels() for batch in batches])
    for i, level in enumerate(severity.tolist()):
        expected = corrupt(before[i : i + 1], "contrast", level, 3)[0]
        np.testing.assert_array_equal(after[i], expected)


def test_stream_refuses_at_once_not_at_the_first_batch():
    with pytest.raises(ValueError, match="expected one of shuffled"):
        stream(tiny_images(), 4, "sorted")
    with pytest.raises(ValueError, match="expected a whole number from 1 on"):
        stream(tiny_images(), 0)
