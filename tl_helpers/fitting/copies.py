"""The same picture twice: byte for byte, or written again in another format."""

import numpy as np

from tl_helpers.inputs import check_pixels

THUMBNAIL_PX = 32
MAX_RMS = 3.0  # grey levels between thumbnails: saving as JPEG again moves 1 or 2
MAX_CHANGE = 24  # grey levels at one place: a small object that is gone shows more
MIN_CORRELATION = 0.98  # else two nearly even surfaces would pass for one picture
BLOCK = 512  # rows compared at a time


def find_look_alikes(thumbnails):
    """Group thumbnails that show the same picture.

    Two are the same where they differ by 3 grey levels at most (root of the mean
    square), by 24 at most at any place, and their patterns correlate by 0.98 or more.
    A picture that was turned, mirrored or cut differently is not found.

    Args:
        thumbnails: uint8 (n, height, width, 3), RGB, [0, 255], 32 px.

    Returns:
        int (n,): a number for each group; one that is like no other has its own.

    Raises:
        ValueError: no uint8 images.
    """
    check_pixels(thumbnails)
    values = np.asarray(thumbnails, np.float32).reshape(len(thumbnails), -1)
    parent = np.arange(len(values))
    for one, other in _near_pairs(values):
        if _is_same(values[one], values[other]):
            _join(parent, one, other)
    roots = [_root(parent, row) for row in range(len(values))]
    return np.unique(roots, return_inverse=True)[1]


def _near_pairs(values):
    """Yield (row, later row) whose mean squared difference is small enough."""
    squares = (values**2).sum(axis=1)
    for start in range(0, len(values), BLOCK):
        part = values[start : start + BLOCK]
        inner = part @ values.T
        distances = squares[start : start + BLOCK, None] + squares - 2 * inner
        # float32 loses some of it; `_is_same` looks again
        is_near = distances <= (MAX_RMS + 1) ** 2 * values.shape[1]
        for one, other in np.argwhere(is_near):
            if start + one < other:
                yield start + one, other


def _is_same(one, other):
    change = one - other
    if np.sqrt((change**2).mean()) > MAX_RMS or abs(change).max() > MAX_CHANGE:
        return False
    if not change.any():
        return True
    one, other = one - one.mean(), other - other.mean()
    scale = np.sqrt((one**2).sum() * (other**2).sum())
    return scale > 0 and (one * other).sum() >= MIN_CORRELATION * scale


def _root(parent, row):
    while parent[row] != row:
        row = parent[row]
    return row


def _join(parent, one, other):
    one, other = _root(parent, one), _root(parent, other)
    parent[max(one, other)] = min(one, other)
