"""Hits, false alarms and misses are told apart by colour and by line."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest

from tl_helpers import dense, plots

IMAGES = np.full((2, 40, 40, 3), 128, "uint8")
NAMES = ("cone", "hexagonal prism")
TRUE = np.array([[[0.0, 0, 10, 10], [20, 20, 30, 30]], [[5, 5, 15, 15], [0, 0, 0, 0]]])
FOUND = [
    dense.Detection(
        np.array([TRUE[0, 0], [2, 30, 9, 38]]), np.array([0, 1]), [0.9, 0.8]
    ),
    dense.Detection(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0)),
]
pytestmark = pytest.mark.usefixtures("close_figures")


@pytest.fixture
def judged():
    found = [dense.Detection(*map(np.asarray, one)) for one in FOUND]
    return dense.judge(found, TRUE, [[0, 1], [1, -1]])


def looks(axis):
    return {(x.get_edgecolor(), x.get_linestyle()) for x in axis.patches}


def test_hits_misses_and_false_alarms_look_different(judged):
    figure = plots.detections(IMAGES, judged, NAMES)
    first, second = figure.axes
    assert len(looks(first)) == 3 and len({line for _, line in looks(first)}) == 3
    assert len(second.patches) == 1  # missed
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["hit", "false alarm", "missed"]


def test_only_a_hit_is_written_with_its_score(judged):
    texts = [
        x.get_text() for x in plots.detections(IMAGES, judged, NAMES).axes[0].texts
    ]
    assert sorted(texts) == ["cone 90%", "hexagonal", "hexagonal"]


def test_names_of_boxes_in_one_place_do_not_cover_each_other():
    boxes = np.repeat([[10.0, 10, 30, 30]], 4, axis=0)
    found = dense.Detection(boxes, np.array([0, 1, 0, 1]), np.full(4, 0.9))
    judged = dense.judge([found], TRUE[:1], [[0, 1]])
    figure = plots.detections(IMAGES[:1], judged, NAMES)
    figure.canvas.draw()
    extents = [x.get_window_extent() for x in figure.axes[0].texts]
    assert len(extents) == 6
    for i, one in enumerate(extents):
        assert not any(one.overlaps(other) for other in extents[i + 1 :])


def test_a_box_covers_its_pixels(judged):
    axis = plots.detections(IMAGES, judged, NAMES, columns=1).axes[0]
    boxes = [patch.get_bbox().extents.tolist() for patch in axis.patches]
    assert [-0.5, -0.5, 9.5, 9.5] in boxes


def test_detections_refuse_other_lengths(judged):
    with pytest.raises(ValueError, match="Got 1 judged images for 2 images"):
        plots.detections(IMAGES, judged[:1], NAMES)
