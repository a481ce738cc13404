"""How far an attack may go: so many grey levels a pixel, to the last bit."""

import numpy as np

from tl_helpers.inputs import as_array, shown

LARGEST = 255  # grey levels


def check_budget(**given):
    """Refuse what is no number of grey levels.

    Args:
        **given: the arguments by name.

    Raises:
        ValueError: below 0, above 255, or no finite number.
    """
    for name, value in given.items():
        number = as_array(value)
        is_number = number.ndim == 0 and number.dtype.kind in "iuf"
        if not is_number or not 0 <= number <= LARGEST:
            raise ValueError(
                f"Got {shown(name, value)}, expected grey levels from 0 to {LARGEST}; "
                "multiply a share of 1, such as 8/255, by 255."
            )


def limits(images, budget):
    """Return the darkest and the brightest image that a budget allows.

    In float32 x + budget may round to a number further away than the budget, so both
    are rounded towards x.

    Args:
        images: float32 (n, height, width, 3), [0, 255].
        budget: number in [0, 255].

    Returns:
        (low, high), float32 (n, height, width, 3), [0, 255].
    """
    budget = _rounded(np.float64(budget), -np.inf).astype(np.float64)
    exact = images.astype(np.float64)  # holds the sum of two float32 exactly enough
    low = _rounded(np.maximum(exact - budget, 0), np.inf)
    high = _rounded(np.minimum(exact + budget, LARGEST), -np.inf)
    return low, high


def _rounded(values, towards):
    """Round float64 to float32, only ever in one direction."""
    near = values.astype(np.float32)
    is_beyond = near > values if towards < 0 else near < values
    return np.where(is_beyond, np.nextafter(near, np.float32(towards)), near)
