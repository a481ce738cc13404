"""Boxes and labels of pixels: through batches and augmentation, and what is refused."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tl_helpers import augmentation, datasets
from tl_helpers.datasets import ImageSet, Provenance
from tl_helpers.datasets.places import check_boxes, check_pixel_labels

SIDE_PX = 32
COLOURS = np.array([[0, 0, 0], [250, 0, 0], [0, 250, 0], [0, 0, 250]], np.uint8)
NAMES = ("red", "green", "blue")
SOURCE = Provenance("rectangles", "drawn in this test", "MIT", "none")


def rectangles(num_images=12, seed=0):
    """Coloured rectangles that do not hide each other: none, one or two an image."""
    rng = np.random.default_rng(seed)
    pixel_labels = np.zeros((num_images, SIDE_PX, SIDE_PX), np.uint8)
    boxes = np.full((num_images, 2, 4), np.nan, np.float32)
    labels = np.full((num_images, 2), -1)
    for i in range(num_images):
        for k in range(i % 3):  # the first has none
            x0, y0 = rng.integers(0, 6) + 16 * k, rng.integers(0, 20)
            x1, y1 = x0 + rng.integers(4, 11), y0 + rng.integers(4, 13)
            labels[i, k] = rng.integers(3)
            boxes[i, k] = x0, y0, x1, y1
            pixel_labels[i, y0:y1, x0:x1] = 1 + labels[i, k]
    extras = {"pixel_labels": pixel_labels, "boxes": boxes, "box_labels": labels}
    classes = np.maximum(labels[:, 0], 0)
    return ImageSet(COLOURS[pixel_labels], classes, NAMES, SOURCE, extras)


def one_epoch(images, targets, augment=None):
    batches = images.batches(5, targets=targets, augment=augment)
    parts = [keras.tree.map_structure(np.asarray, batch) for batch in batches]
    return keras.tree.map_structure(lambda *x: np.concatenate(x), *parts)


def test_batches_give_the_labels_of_pixels():
    images = rectangles()
    pixels, labels = one_epoch(images, "pixel_labels")
    assert labels.dtype == np.int32 and pixels.dtype == np.float32
    assert np.array_equal(labels, images.extras["pixel_labels"])
    assert np.array_equal(COLOURS[labels], pixels)


def test_batches_give_boxes_with_their_labels_and_zeros_for_none():
    images = rectangles()
    _, places = one_epoch(images, "boxes")
    is_box = images.extras["box_labels"] >= 0
    assert np.array_equal(places["labels"], images.extras["box_labels"])
    assert np.array_equal(places["boxes"][is_box], images.extras["boxes"][is_box])
    assert not places["boxes"][~is_box].any()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["flip", "flip_crop", "rotate_zoom"]))
def test_labels_of_pixels_move_with_the_pixels(seed, name):
    """Transform, then look up: the colour under a label is that of its class."""
    if name not in augmentation.names():
        pytest.skip(f"no policy {name}")
    images = rectangles(seed=seed)
    policy = augmentation.policy(name, images, seed=seed)
    pixels, labels = one_epoch(images, "pixel_labels", policy)
    apart = np.abs(pixels - COLOURS[labels]).max(axis=-1)
    # between two colours, where the image is smooth and the label is not, they differ
    share = (apart > 130).mean()
    assert share < 0.02, share
    assert not np.array_equal(labels, images.extras["pixel_labels"])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_boxes_move_with_the_pixels(seed):
    images = rectangles(seed=seed)
    policy = augmentation.policy("flip_crop", images, seed=seed)
    pixels, places = one_epoch(images, "boxes", policy)
    for image, boxes, labels in zip(
        pixels, places["boxes"], places["labels"], strict=True
    ):
        covered = np.zeros(image.shape[:2], bool)
        for (x0, y0, x1, y1), label in zip(boxes, labels, strict=True):
            if label >= 0:
                inside = image[round(y0) : round(y1), round(x0) : round(x1)]
                assert np.array_equal(
                    inside, np.broadcast_to(COLOURS[1 + label], inside.shape)
                )
                covered[round(y0) : round(y1), round(x0) : round(x1)] = True
        assert not image[~covered].any()  # nothing coloured is outside the boxes


def test_a_box_that_left_the_image_loses_its_label():
    image = np.zeros((64, SIDE_PX, SIDE_PX, 3), np.uint8)
    boxes = np.tile(np.float32([[[0, 0, 2, 2]]]), (64, 1, 1))
    given = {"boxes": boxes, "labels": np.ones((64, 1), np.int64)}
    policy = augmentation.policy("flip_crop", 2)
    moved = policy({"images": image, "bounding_boxes": given})["bounding_boxes"]
    area = np.prod(moved["boxes"][..., 2:] - moved["boxes"][..., :2], axis=-1)
    assert 0 < (moved["labels"] == -1).sum() < 64
    assert np.array_equal(moved["labels"] == -1, area <= 0)
    assert moved["labels"].dtype == np.int64


def test_resized_scales_boxes_and_takes_the_nearest_label():
    images = rectangles()
    larger = images.resized(2 * SIDE_PX)
    np.testing.assert_allclose(larger.extras["boxes"], 2 * images.extras["boxes"])
    wanted = images.extras["pixel_labels"].repeat(2, axis=1).repeat(2, axis=2)
    assert np.array_equal(larger.extras["pixel_labels"], wanted)
    assert np.array_equal(larger.extras["box_labels"], images.extras["box_labels"])


def test_targets_that_the_set_lacks_are_named():
    digits = datasets.load("digits")[:4]
    with pytest.raises(ValueError, match="without boxes and box_labels, expected"):
        digits.batches(2, targets="boxes")
    with pytest.raises(ValueError, match="expected one of labels, pixel_labels, boxes"):
        digits.batches(2, targets="masks")


BOX = np.array([[[1.0, 2, 5, 6]]])


@pytest.mark.parametrize(
    ("boxes", "labels", "sentence"),
    [
        (
            BOX + [0, 0, 40, 0],
            [[0]],
            "on an image of 16x32 px, expected x from 0 to 32",
        ),
        (BOX - [3, 0, 0, 0], [[0]], "cut it at the border"),
        (BOX * [1, 1, 0, 1] + [0, 0, 1, 0], [[0]], "has no area"),
        (BOX[..., [2, 1, 0, 3]], [[0]], "expected x0 <= x1"),
        (BOX / 32, [[0]], "look like shares of the image, expected px"),
        (BOX, [[0, 1]], r"box_labels of shape \(1, 2\)"),
        (BOX, [[3]], "expected 0 to 2 for 3 classes"),
        (BOX, [[-2]], "expected class numbers from 0 on"),
        (BOX + np.nan, [[0]], "finite"),
        (BOX[..., :3], [[0]], r"expected numbers \(n, k, 4\)"),
    ],
)
def test_boxes_that_fit_no_image_are_refused(boxes, labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_boxes(boxes, labels, (16, 32), 3)


def test_an_image_without_objects_is_fine():
    boxes, labels = check_boxes(BOX * np.nan, [[-1]], (16, 32), 3)
    assert not boxes.any() and labels.tolist() == [[-1]]


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.zeros((2, 8, 9), int), "expected numbers"),
        (np.full((2, 8, 8), 4), "expected 0 to 3 for 4 classes"),
        (np.stack([np.full((8, 8), 255), np.zeros((8, 8))]), "1 masks in which every"),
        (np.full((1, 8, 8), 0.5), "expected class numbers"),
    ],
)
def test_labels_of_pixels_that_tell_nothing_are_refused(labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_pixel_labels(labels, (8, 8), 4)


def test_scenes_agree_with_themselves():
    scenes = datasets.load("scenes", "photo")
    extras = scenes.extras
    assert len(scenes) == 600 and extras["pixel_labels"].max() == 10
    is_there = extras["box_labels"] >= 0
    assert np.array_equal(is_there, extras["visible"] > 0)
    assert set(is_there.sum(1)) == {1, 2, 3, 4, 5}
    for i in range(0, 600, 50):
        for k in np.flatnonzero(is_there[i]):
            rows, columns = np.nonzero(extras["objects"][i] == k + 1)
            box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            assert extras["boxes"][i, k].tolist() == list(box)
            labels = extras["pixel_labels"][i][rows, columns]
            assert set(labels) == {1 + extras["box_labels"][i, k]}
    assert scenes.batches(4, targets="boxes") and scenes.batches(
        4, targets="pixel_labels"
    )
