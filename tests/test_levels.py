"""Values of more than 8 bits, judged over all that there are."""

import numpy as np
import pytest

from tl_helpers.datasets.image_set import ImageSet, Provenance
from tl_helpers.datasets.levels import Levels, how_to_convert, judge_levels


@pytest.mark.parametrize(
    "values, expected",
    [
        (np.float32([0, 0.2, 1]), [0, 51, 255]),
        (np.float64([0, 0.2, 0.4]), [0, 51, 102]),
        (np.float32([-1, 0.2, 1]), [0, 153, 255]),
        (np.float32([0, 99.6, 255]), [0, 100, 255]),
        (np.int64([0, 7, 200]), [0, 7, 200]),
        (np.uint16([0, 819, 4095]), [0, 51, 255]),
        (np.uint16([0, 25_700, 65_535]), [0, 100, 255]),
        (np.int32([-1000, 0, 3000]), [0, 64, 255]),
        (np.array([False, True]), [0, 255]),
    ],
)
def test_how_to_convert_keeps_the_brightness(values, expected):
    pixels = eval(how_to_convert(values), {"np": np, "x": values})
    assert pixels.dtype == np.uint8 and pixels.tolist() == expected


def test_image_set_says_how_floats_become_pixels():
    images = np.random.default_rng(0).random((2, 4, 4, 3))
    with pytest.raises(ValueError, match=r"np.rint\(\(x - 0\) \* \(255 / 1\)\)"):
        ImageSet(images, [0, 1], ("a", "b"), Provenance("x", "here", "none", "none"))


@pytest.mark.parametrize(
    "kind, high, is_told",
    [
        ("8 bits", 15, True),
        ("8 bits", 40, False),
        ("16 bits", 32_000, True),
        ("16 bits", 34_000, False),
        ("16 bits a colour", 16_383, True),
        ("16 bits a colour", 65_535, False),
    ],
)
def test_judge_levels_tells_of_few(recwarn, kind, high, is_told):
    judge_levels([Levels(0, high, kind)] * 20 + [Levels(0, 65_535, kind)], None)
    assert [f"Got 21 files of {kind}" in str(w.message) for w in recwarn] == (
        [True] * is_told
    )


def test_judge_levels_tells_of_a_narrow_range_that_is_not_dark():
    """Thermal cameras: hundredths of a kelvin, from 0 to 40 degrees."""
    with pytest.warns(UserWarning, match="from 27315 to 31315, which makes 17 of 256"):
        judge_levels([Levels(27_315, 31_315, "16 bits")], None)
