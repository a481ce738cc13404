"""Maps lie over the images that they explain, each in its own unit."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tl_helpers import plots

IMAGES = np.full((3, 6, 6, 3), 128, "uint8")
MAPS = np.zeros((3, 6, 6))
MAPS[:, 1, 2] = 4
MAPS[:, 3, 3] = -9
pytestmark = pytest.mark.usefixtures("close_figures")


def drawn(axis):
    (picture,) = axis.get_images()
    return np.asarray(picture.get_array(), float)


def test_rows_are_the_image_and_a_map_each():
    figure = plots.explanations(IMAGES, {"a": MAPS, "b": -MAPS}, list("xyz"), number=2)
    assert len(figure.axes) == 3 * 2 + 1  # and the bar
    names = [text.get_text() for axis in figure.axes[:6:2] for text in axis.texts]
    assert names == ["image", "a", "b"]
    assert [axis.get_title() for axis in figure.axes[:2]] == ["x", "y"]
    assert "highest" in figure.axes[-1].get_ylabel()


@pytest.mark.parametrize("unit", [1, 1e-6, 1e6])
def test_only_what_speaks_for_the_class_is_coloured(unit):
    shown = drawn(plots.explanations(IMAGES, unit * MAPS).axes[3])
    grey = np.full(3, 0.75 * 128 / 255)
    np.testing.assert_allclose(shown[0, 0], grey)
    np.testing.assert_allclose(shown[3, 3], grey)  # against it
    brightest = np.array(plt.get_cmap("inferno")(1.0)[:3])
    np.testing.assert_allclose(shown[1, 2], 0.85 * brightest + 0.15 * grey)


def test_a_map_that_says_nothing_leaves_the_image_as_it_is():
    shown = drawn(plots.explanations(IMAGES, 0 * MAPS).axes[3])
    assert np.ptp(shown) == 0


def test_masks_are_outlined_in_every_map():
    figure = plots.explanations(IMAGES, MAPS, masks=MAPS > 0)
    assert all(axis.collections for axis in figure.axes[3:6])
    assert not any(axis.collections for axis in figure.axes[:3])


def test_explanations_refuse_other_sizes():
    for change in ({"maps": MAPS[:2]}, {"masks": MAPS[..., :3] > 0}, {"maps": {}}):
        with pytest.raises(ValueError, match="expected"):
            plots.explanations(**{"images": IMAGES, "maps": MAPS} | change)
