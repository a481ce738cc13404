"""Boxes and masks land on the pixels that they name."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import Rectangle

from tl_helpers import plots

IMAGES = np.full((3, 8, 8, 3), 128, "uint8")
BOXES = np.array([[1, 2, 5, 7], [0, 0, 8, 8], [np.nan] * 4])
MASKS = np.zeros((3, 4, 4), bool)
MASKS[0, 1:3, 1:3] = True


@pytest.fixture(autouse=True)
def close_figures():
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


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
