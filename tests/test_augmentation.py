"""Policies repeat with their seed, differ every epoch; labels, masks, boxes follow."""

import subprocess
import sys
from dataclasses import replace

import hypothesis.strategies as st
import keras
import numpy as np
import pytest
from hypothesis import given, settings

from tl_helpers import augmentation
from tl_helpers.datasets import ImageSet, Provenance

SIZE_PX = 24
GEOMETRY = ("none", "flip_crop", "rotate_zoom")
MIXING = ("mixup", "cutmix")


@pytest.fixture(scope="module")
def squares():
    """48 noisy images of 3 classes; a bright square, its mask and its box."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (48, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    mask = np.zeros(images.shape[:3], bool)
    corners, sides = rng.integers(0, 14, (48, 2)), rng.integers(5, 10, (48, 2))
    boxes = np.concatenate([corners, corners + sides], axis=1)
    for one, (x0, y0, x1, y1) in zip(mask, boxes, strict=True):
        one[y0:y1, x0:x1] = True
    images[mask] = 220
    labels = np.arange(48) % 3
    extras = {"mask": mask, "box": boxes}
    return ImageSet(images, labels, ("cat", "dog", "fox"), Provenance(*"abcd"), extras)


def as_dictionary(images):
    boxes = {"boxes": images.extras["box"][:, None], "labels": images.labels[:, None]}
    masks = images.extras["mask"]
    return {
        "images": images.pixels(),
        "labels": images.labels,
        "segmentation_masks": masks,
        "bounding_boxes": boxes,
    }


def epoch(data):
    """Images and labels of one pass over a tf.data.Dataset."""
    batches = [[part.numpy() for part in batch] for batch in data]
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


@pytest.mark.parametrize("name", augmentation.names())
def test_policy_keeps_shape_range_and_float32(squares, name):
    policy = augmentation.policy(name, squares)
    for pixels in (squares.pixels(), squares.pixels().astype("float32")):
        images, labels = policy(pixels, squares.labels)
        assert images.shape == pixels.shape and images.dtype == np.float32
        assert images.min() >= 0 and images.max() <= 255 and len(labels) == 48
    is_changed = name not in ("none", "one_hot")
    assert np.array_equal(images, pixels) != is_changed


@pytest.mark.parametrize("name", augmentation.names())
def test_policy_repeats_with_its_seed_through_tf_data(squares, name):
    policies = [augmentation.policy(name, squares, seed) for seed in (5, 5, 6)]
    first, again, other = (epoch(squares.batches(7, augment=p)) for p in policies)
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    is_random = name not in ("none", "one_hot")
    assert np.array_equal(first[0], other[0]) != is_random


def test_policy_differs_at_every_epoch_and_repeats_as_a_whole(squares):
    """With the fixed seed of every notebook, under which tf.random repeats itself."""
    keras.utils.set_random_seed(0)
    policy = augmentation.policy("flip_crop", squares)
    data, again = (
        squares.batches(16, augment=p, shuffle=True) for p in (policy, policy.fresh())
    )
    epochs = [epoch(data)[0] for _ in range(3)]
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[1], epochs[2])
    assert np.array_equal(epochs, [epoch(again)[0] for _ in range(3)])


def test_policy_goes_on_from_its_variables(squares):
    policy = augmentation.policy("rand_augment+colour+erase+cutmix", squares)
    again, data = policy.fresh(), (squares.pixels(), squares.labels)
    first = policy(*data)[0]
    for variable, kept in zip(again.variables, policy.variables, strict=True):
        variable.assign(kept)
    second = policy(*data)[0]
    assert not np.array_equal(first, second)
    assert np.array_equal(again(*data)[0], second)


@pytest.mark.parametrize("name", ["flip_crop", "rand_augment+mixup", "colour+erase"])
def test_a_fresh_policy_of_another_seed_draws_as_one_made_anew(squares, name):
    """Policies of one name share a graph; nothing that one draws moves the other."""
    data = squares.pixels(), squares.labels
    first = augmentation.policy(name, squares, seed=1)
    alone = first(*data)[0]
    other = first.fresh(2)
    first(*data)
    assert (first.seed, other.seed, first.fresh().seed) == (1, 2, 1)
    drawn = other(*data)[0]
    anew = augmentation.policy(name, squares, seed=2)(*data)[0]
    assert np.array_equal(drawn, anew) and not np.array_equal(drawn, alone)
    assert np.array_equal(first.fresh()(*data)[0], alone)


def test_policies_of_one_name_are_traced_once(squares):
    size = 13  # of images that no other test has
    images = np.zeros((6, size, size, 3), np.float32)
    first = augmentation.policy("rotate_zoom", 3, seed=1)
    first(images)
    num_traces = first._recipe.graph.experimental_get_tracing_count()
    for seed in range(2, 5):
        augmentation.policy("rotate_zoom", 7 - 4, seed=seed)(images)
        first.fresh(seed)(images)
    assert first._recipe.graph.experimental_get_tracing_count() == num_traces


@pytest.mark.parametrize("name", ["flip_crop", "rotate_zoom", "rand_augment"])
def test_what_comes_in_from_outside_is_the_image_mirrored(name):
    """A black border would be a change of its own, which costs accuracy by itself."""
    bright = np.full((60, 16, 16, 3), 200, np.float32)
    policy = augmentation.policy(name, 3, seed=1)
    is_dark = policy(bright).max(axis=-1) < 1
    assert not is_dark.any()
    boxes = np.tile(np.float32([[[4, 4, 12, 12]]]), (60, 1, 1))
    boxes = {"boxes": boxes, "labels": np.zeros((60, 1), np.int64)}
    placed = policy.fresh()({"images": bright, "bounding_boxes": boxes})["images"]
    assert (placed.max(axis=-1) < 1).any()  # no object outside its box


def test_bare_tf_random_repeats_itself_under_a_global_seed(squares):
    """Shows that the test above can see it."""
    import tensorflow as tf

    keras.utils.set_random_seed(0)

    def brighten(images, labels):
        return images + tf.random.uniform([], 0, 50), labels

    data = squares.batches(16, augment=brighten)
    assert np.array_equal(epoch(data)[0], epoch(data)[0])


def distinct_epochs(data):
    return len({epoch(data)[0].tobytes() for _ in range(4)})


def test_batches_augment_after_the_cache(squares):
    """Trap 12: before the cache, every epoch is the first one again."""
    import tensorflow as tf

    policy = augmentation.policy("flip_crop", squares)
    source = squares.pixels(), squares.labels
    raw = tf.data.Dataset.from_tensor_slices(source).batch(16)
    assert distinct_epochs(raw.map(policy).cache()) == 1
    assert distinct_epochs(raw.cache().map(policy.fresh())) == 4
    assert distinct_epochs(squares.batches(16, augment=policy.fresh())) == 4


def test_arrays_and_tf_data_draw_the_same(squares):
    policy = augmentation.policy("rand_augment+cutmix", squares, seed=2)
    piped = epoch(squares.batches(48, augment=policy))
    called = policy.fresh()(squares.pixels(), squares.labels)
    for piped_part, called_part in zip(piped, called, strict=True):
        np.testing.assert_allclose(piped_part, called_part, atol=1e-3)


@pytest.mark.parametrize("name", GEOMETRY)
def test_masks_move_with_the_image(squares, name):
    result = augmentation.policy(name, squares, seed=1)(as_dictionary(squares))
    is_bright = result["images"].mean(axis=-1) > 140
    masks = result["segmentation_masks"]
    assert masks.dtype == bool and masks.any((1, 2)).all()
    differs = (masks != is_bright).sum(axis=(1, 2)) / is_bright.sum(axis=(1, 2))
    assert differs.mean() < (0.12 if name == "rotate_zoom" else 1e-9)  # blurred edges
    is_moved = (masks != squares.extras["mask"]).any()
    assert is_moved != (name == "none")


@pytest.mark.parametrize("name", [*GEOMETRY, "rand_augment", "colour", "erase"])
def test_boxes_bound_the_moved_masks(squares, name):
    result = augmentation.policy(name, squares, seed=1)(as_dictionary(squares))
    boxes = result["bounding_boxes"]["boxes"][:, 0]
    for mask, (x0, y0, x1, y1) in zip(result["segmentation_masks"], boxes, strict=True):
        rows, columns = np.nonzero(mask)
        edges = (columns.min(), rows.min(), -columns.max() - 1, -rows.max() - 1)
        slack = np.subtract(edges, (x0, y0, -x1, -y1))  # of the box, in px
        assert slack.min() > -2.1  # two turns and their rounding
        if name not in ("rand_augment", "rotate_zoom"):  # a turned box is too wide
            assert slack.max() < 0.51


def test_boxes_and_masks_come_back_as_they_were_given(squares):
    data = as_dictionary(squares)
    data["segmentation_masks"] = data["segmentation_masks"][..., None].astype(np.uint8)
    result = augmentation.policy("flip_crop", squares)(data)
    assert result["segmentation_masks"].dtype == np.uint8
    assert result["segmentation_masks"].shape == (48, SIZE_PX, SIZE_PX, 1)
    assert np.array_equal(result["labels"], squares.labels)
    names = result["bounding_boxes"]["labels"]
    assert names.dtype == np.int64 and np.array_equal(names[:, 0], squares.labels)


@pytest.mark.parametrize("name", MIXING)
def test_mixing_refuses_masks_and_boxes(squares, name):
    with pytest.raises(ValueError, match="segmentation_masks.* which blends two"):
        augmentation.policy(name, squares)(as_dictionary(squares))


def test_policies_are_the_same_however_keras_is_set(squares):
    """As for networks in half precision: `erase`, `mixup` and `cutmix` died of it."""
    images = squares.pixels()[:6], squares.labels[:6]
    policy = augmentation.policy("+".join(augmentation.names()), squares)
    settings = {"dtype_policy": "mixed_float16", "floatx": "float16"}
    settings["image_data_format"] = "channels_first"
    before = {name: getattr(keras.config, name)() for name in settings}
    try:
        for name, value in settings.items():
            getattr(keras.config, f"set_{name}")(value)
        found = policy.fresh()(*images)
        assert keras.config.dtype_policy().name == "mixed_float16"  # for the networks
        assert keras.config.image_data_format() == "channels_first"
    finally:
        for name, value in before.items():
            getattr(keras.config, f"set_{name}")(value)
    for part, wanted in zip(found, policy(*images), strict=True):
        assert np.array_equal(part, wanted) and part.dtype == wanted.dtype == np.float32


@pytest.fixture(scope="module")
def mixers():
    return [augmentation.policy(name, 5) for name in MIXING]


@settings(max_examples=10, deadline=None)
@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=9))
def test_mixing_makes_rows_of_sum_one(mixers, labels):
    images = np.zeros((len(labels), 8, 8, 3), np.float32)
    for policy in mixers:
        _, rows = policy(images, np.array(labels))
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
        assert rows.min() >= 0 and rows.shape == (len(labels), 5)


@pytest.mark.parametrize("name", MIXING)
def test_mixed_labels_tell_the_share_of_each_image(name):
    """Class c is drawn in 100 c: the mean of an image says what its label should be."""
    labels = np.arange(60) % 3
    images = np.ones((60, 32, 32, 3), np.float32) * (100 * labels)[:, None, None, None]
    mixed, rows = augmentation.policy(name, 3)(images, labels)
    tolerance = 200 * (0.07 if name == "cutmix" else 1e-4)  # patches end on pixels
    wanted = rows @ [0, 100, 200]
    np.testing.assert_allclose(mixed.mean(axis=(1, 2, 3)), wanted, atol=tolerance)
    assert (rows.max(axis=1) < 0.999).any()


def test_one_hot_lets_mixed_and_plain_images_share_a_loss(squares):
    _, rows = augmentation.policy("flip_crop+one_hot", squares)(
        squares.pixels(), squares.labels
    )
    assert np.array_equal(rows, np.eye(3)[squares.labels])
    _, numbers = augmentation.policy("flip_crop", squares)(
        squares.pixels(), squares.labels
    )
    assert numbers.dtype == np.int64 and np.array_equal(numbers, squares.labels)


@pytest.mark.parametrize("wrong", [0, -1])
def test_one_hot_refuses_a_label_that_is_no_class(squares, wrong):
    """tf.one_hot makes a row of zeros of it: an image of no class."""
    labels = squares.labels + wrong
    assert labels.max() > 1 or labels.min() < 0
    with pytest.raises(
        Exception, match="Got (a label that is none of the 2|labels of)"
    ):
        augmentation.policy("mixup", 2)(squares.pixels(), labels)


def test_one_hot_refuses_a_column_of_labels(squares):
    with pytest.raises(ValueError, match=r"labels of shape \(\d+, 1\).* ravel\(\)"):
        augmentation.policy("mixup", 3)(squares.pixels(), squares.labels[:, None])


@pytest.mark.parametrize(
    "class_names, flip, has_flips",
    [
        (tuple("0123"), None, False),
        (("b", "d", "p"), None, False),
        (("0", "1", "10"), None, False),
        (("cat", "dog"), None, True),
        (("a", "cat"), None, True),
        (tuple("0123"), True, True),
        (("cat", "dog"), False, False),
    ],
)
def test_policy_leaves_out_flips_where_classes_are_characters(
    squares, class_names, flip, has_flips
):
    images = replace(squares[:0], class_names=class_names)
    policy = augmentation.policy("flip_crop", images, flip=flip)
    assert policy.has_flips is has_flips
    assert ("with flips" in repr(policy)) is has_flips


@pytest.mark.parametrize("has_flips", [True, False])
def test_flips_mirror_half_of_the_images_or_none(has_flips):
    images = np.zeros((200, 16, 16, 3), np.float32)
    images[:, :, :8] = 200  # the left half is bright, however it is shifted
    moved = augmentation.policy("flip_crop", 3, flip=has_flips)(images)
    is_mirrored = moved[:, :, :8].sum((1, 2, 3)) < moved[:, :, 8:].sum((1, 2, 3))
    assert 70 < is_mirrored.sum() < 130 if has_flips else not is_mirrored.any()


def test_layers_of_one_policy_draw_independently():
    """Two layers of the same seed would flip just those that they shift to one side."""
    images = np.zeros((400, 16, 16, 3), np.float32)
    images[:, :2, 4:6], images[:, 7:9, 4:6] = 0, 200
    moved = augmentation.policy("flip_crop", 3)(images)[..., 0]
    is_mirrored = moved[:, :, 8:].sum((1, 2)) > moved[:, :, :8].sum((1, 2))
    rows = moved.sum(axis=2) @ np.arange(16) / moved.sum(axis=(1, 2))
    assert abs(np.corrcoef(is_mirrored, rows)[0, 1]) < 0.2


def test_rand_augment_draws_for_each_image_and_turns_both_ways():
    """Unlike keras.layers.RandAugment, one draw for a batch, to one side only."""
    images = np.zeros((200, 25, 25, 3), np.float32)
    images[:, 12, 14:] = 250  # a hand of a clock
    moved = augmentation.policy("rand_augment", 3, flip=False)(images)[..., 0]
    rows = moved.sum(axis=2) @ np.arange(25) / np.maximum(moved.sum(axis=(1, 2)), 1)
    assert (rows > 13).sum() > 10 and (rows < 11).sum() > 10
    assert len(np.unique(moved, axis=0)) > 100


def test_erase_covers_half_of_the_images():
    images = np.full((200, 16, 16, 3), 255, np.float32)
    erased = augmentation.policy("erase", 3)(images).min(axis=(1, 2, 3)) == 127
    assert 70 < erased.sum() < 130


def test_colour_keeps_every_edge_in_its_place(squares):
    result = augmentation.policy("colour", squares)(squares.pixels()).mean(axis=-1)
    mask = squares.extras["mask"]
    inside = np.where(mask, result, np.inf).min((1, 2))
    outside = np.where(mask, -np.inf, result).max((1, 2))
    assert (inside > outside).all()


def test_colour_lowers_contrast_as_often_as_it_raises_it():
    """A single number would be a range to one side for most of Keras's layers."""
    grey = np.linspace(110, 145, 16 * 16, dtype=np.float32).reshape(1, 16, 16, 1)
    images = np.tile(grey, (200, 1, 1, 3))
    changed = augmentation.policy("colour", 3)(images)
    ratio = changed.std(axis=(1, 2, 3)) / images.std(axis=(1, 2, 3))
    assert (ratio < 0.95).sum() > 50 and (ratio > 1.05).sum() > 50


@pytest.mark.parametrize("name", ["flip", "flip_crop+", "mix-up"])
def test_policy_names_those_that_it_knows(name):
    with pytest.raises(ValueError, match=r"Got policy=.*, expected one of none,"):
        augmentation.policy(name, 3)


def test_policy_refuses_a_single_image(squares):
    with pytest.raises(ValueError, match=r"Got images of shape \(24, 24, 3\)"):
        augmentation.policy("colour", squares)(squares.pixels()[0])


@pytest.fixture(scope="module")
def classifier():
    """Logits that depend on where the light is."""
    keras.utils.set_random_seed(0)
    stack = [keras.Input((SIZE_PX, SIZE_PX, 3)), keras.layers.Rescaling(1 / 255)]
    return keras.Sequential([*stack, keras.layers.Flatten(), keras.layers.Dense(3)])


def test_predict_views_of_one_view_is_the_model_itself(squares, classifier):
    policy = augmentation.policy("flip_crop", squares)
    found = augmentation.predict_views(classifier, squares.pixels(), policy, 1)
    logits = classifier.predict(squares.pixels().astype("float32"), verbose=0)
    np.testing.assert_allclose(found, keras.ops.softmax(logits), atol=1e-6)


def test_predict_views_averages_probabilities_of_image_and_views(squares, classifier):
    policy = augmentation.policy("flip_crop", squares, seed=4)
    found = augmentation.predict_views(classifier, squares.pixels(), policy, 3)
    draws, images = policy.fresh(), squares.pixels().astype("float32")
    views = [images, draws(images), draws(images)]
    by_hand = [keras.ops.softmax(classifier(view)) for view in views]
    np.testing.assert_allclose(found, np.mean(by_hand, axis=0), atol=1e-5)


def test_predict_views_repeats_whatever_the_policy_did_before(squares, classifier):
    policy = augmentation.policy("flip_crop", squares)
    pixels = squares.pixels()
    first = augmentation.predict_views(classifier, pixels, policy)
    policy(pixels)
    assert np.array_equal(first, augmentation.predict_views(classifier, pixels, policy))


@pytest.mark.parametrize(
    "name, num_views, sentence",
    [("mixup", 2, "Got 2 views of policy mixup"), ("flip_crop", 0, "Got num_views=0")],
)
def test_predict_views_refuses_mixing_and_no_views(squares, name, num_views, sentence):
    policy = augmentation.policy(name, squares)
    with pytest.raises(ValueError, match=sentence):
        augmentation.predict_views(None, squares.pixels(), policy, num_views)


def test_policy_repeats_under_deterministic_kernels():
    """In a process of its own: this setting cannot be taken back."""
    code = """
import numpy as np
from tl_helpers import augmentation, datasets, profiles
profiles.make_deterministic(0)
images = datasets.load("digits")[:60]
def epoch():
    policy = augmentation.policy("rand_augment+mixup", images)
    return np.concatenate([x for x, _ in images.batches(7, augment=policy)])
assert np.array_equal(epoch(), epoch())
"""
    subprocess.run([sys.executable, "-c", code], check=True)
