"""Boxes, masks and classes of pixels land on the pixels that they name."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from tl_helpers import plots
from tl_helpers.plots.masks import share_wrong

IMAGES = np.full((3, 8, 8, 3), 128, "uint8")
BOXES = np.array([[1, 2, 5, 7], [0, 0, 8, 8], [np.nan] * 4])
MASKS = np.zeros((3, 4, 4), bool)
MASKS[0, 1:3, 1:3] = True
pytestmark = pytest.mark.usefixtures("close_figures")


def rectangles(axis):
    return [patch for patch in axis.patches if isinstance(patch, Rectangle)]


def test_box_covers_its_pixels_and_an_absent_one_is_not_drawn():
    figure = plots.boxes_and_masks(IMAGES, BOXES)
    first, _, absent = figure.axes
    assert rectangles(first)[0].get_bbox().extents.tolist() == [0.5, 1.5, 4.5, 6.5]
    assert not rectangles(absent) and not figure.legends


def test_coarse_mask_is_stretched_over_its_image():
    axis = plots.boxes_and_masks(IMAGES, masks=MASKS).axes[0]
    image, tint = axis.get_images()
    assert tint.get_extent() == image.get_extent()
    alpha = np.asarray(tint.get_array())[..., 3]
    assert (alpha > 0).tolist() == MASKS[0].tolist()
    assert axis.get_xlim() == (-0.5, 7.5) and axis.get_ylim() == (7.5, -0.5)


def test_answers_and_truth_are_told_apart_in_a_legend():
    figure = plots.boxes_and_masks(IMAGES, BOXES, MASKS, BOXES, MASKS, columns=2)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["answer", "truth"]
    styles = [patch.get_linestyle() for patch in rectangles(figure.axes[0])]
    assert len(set(styles)) == 2


def test_titles_stand_above_and_columns_bound_the_sheet():
    titles = ["a", "b", "c"]
    figure = plots.boxes_and_masks(IMAGES, BOXES, titles=titles, columns=2)
    assert len(figure.axes) == 4
    assert [axis.get_title() for axis in figure.axes[:3]] == titles


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"boxes": BOXES[:2]}, r"expected numbers \(3, 4\)"),
        ({"boxes": BOXES[:, ::-1]}, "give corners in px"),
        ({"masks": MASKS.astype(float)}, "compare probabilities with 0.5"),
        ({"titles": ["a"]}, "expected one str for each of 3"),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        plots.boxes_and_masks(IMAGES, **given)


# --- Classes of pixels --------------------------------------------------------------

TRUE = np.zeros((3, 8, 8), int)
TRUE[:, 2:5, 2:5] = 1
TRUE[1, 0] = 255
ANSWERED = np.where(TRUE == 255, 2, TRUE)
ANSWERED[2, 2:5, 2:5] = 2
SHIFTED = np.roll(ANSWERED, 1, axis=2)
NAMES = ("round", "flat")


def shown(axis):
    return np.asarray(axis.get_images()[0].get_array())


def test_pixel_answers_draws_image_truth_and_answers_in_rows():
    figure = plots.pixel_answers(IMAGES, TRUE, {"a": ANSWERED, "b": SHIFTED}, NAMES)
    axes = np.reshape(figure.axes, (4, 3))
    assert np.array_equal(shown(axes[0, 0]), IMAGES[0])
    assert [axis.texts[0].get_text() for axis in axes[:, 0]] == [
        *("image", "truth", "a", "b")
    ]
    assert np.array_equal(shown(axes[1, 0]), shown(axes[2, 0]))
    assert not np.array_equal(shown(axes[1, 0]), shown(axes[3, 0]))
    coloured = np.ptp(shown(axes[1, 0]), axis=-1) > 0
    assert np.array_equal(coloured, TRUE[0] == 1)


def test_ignored_pixels_are_chequered_and_named_and_do_not_count_as_wrong():
    figure = plots.pixel_answers(IMAGES, TRUE, ANSWERED, NAMES)
    truth = shown(np.reshape(figure.axes, (3, 3))[1, 1])
    assert np.unique(truth[0]).tolist() == [0.25, 0.75]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["round", "flat", "ignored"]
    wrong = share_wrong(TRUE, ANSWERED)
    np.testing.assert_allclose(wrong, [0, 0, 9 / 64])


def test_the_worst_come_first():
    titles = ["good", "ignored", "bad"]
    figure = plots.pixel_answers(
        IMAGES, TRUE, ANSWERED, NAMES, titles, number=1, worst=True
    )
    assert figure.axes[0].get_title() == "bad" and len(figure.axes) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answers": ANSWERED[:2]}, r"expected numbers \(3, 8, 8\)"),
        ({"answers": ANSWERED + 5}, "expected 0 to 2"),
        ({"pixel_labels": TRUE[:2]}, "Got 2 masks for 3 images"),
        ({"pixel_labels": TRUE + 5}, "expected 0 to 2"),
        ({"titles": ["a"]}, "expected one str for each of 3"),
        ({"number": 0}, "number=0"),
        ({"worst": "no"}, "expected True or False"),
    ],
)
def test_pixel_answers_refuses_what_does_not_fit(change, message):
    given = {
        "images": IMAGES,
        "pixel_labels": TRUE,
        "answers": ANSWERED,
        "class_names": NAMES,
    }
    with pytest.raises(ValueError, match=message):
        plots.pixel_answers(**given | change)
