"""Shares of voxels that vessels, walls and nodules fill, on a grid in mm.

A grid is a tuple of three arrays z, y, x (k,), (m,), (n,): where the centres of its
voxels lie, in mm, each equally spaced. Points and directions are (z, y, x), too. A
share is float64 (k, m, n) in [0, 1]; it falls from 1 to 0 within a mm around a
surface, as it does in voxels that a surface cuts.
"""

import numpy as np
from scipy.ndimage import gaussian_filter
from solid_shapes import rotation_matrix

EDGE_MM = 1.0
BRANCHING = 2 ** (-1 / 3)  # Murray: the cube of a vessel's radius is shared out
SHORTEST_RADIUS_MM = 0.35


def share_inside(distance):
    """Turn signed distances in mm, negative inside, into shares of voxels."""
    return np.clip(0.5 - distance / EDGE_MM, 0, 1)


def unit(vector):
    """Scale a vector (n,) to length 1."""
    return vector / np.sqrt((vector**2).sum())


def draw_direction(rng):
    """Draw a unit vector (3,) evenly from the sphere."""
    return unit(rng.normal(size=3))


def meshed(grid):
    """Return z, y, x as (k, 1, 1), (1, m, 1), (1, 1, n)."""
    z, y, x = grid
    return z[:, None, None], y[None, :, None], x[None, None, :]


def random_texture(rng, grid, grain_mm):
    """Draw a smooth random field.

    Args:
        rng: numpy Generator.
        grid: tuple of z, y, x.
        grain_mm: float, standard deviation of the Gaussian that smooths it.

    Returns:
        float64 (k, m, n), mean 0, variance 1.
    """
    noise = rng.normal(size=[len(axis) for axis in grid])
    steps_mm = [axis[1] - axis[0] for axis in grid]
    field = gaussian_filter(noise, [grain_mm / step for step in steps_mm], mode="wrap")
    field -= field.mean()
    return field / np.sqrt((field**2).mean())


def add_rod(share, grid, start, end, radii_mm):
    """Fill a rod with round ends, which may taper; only the voxels near it are met.

    Args:
        share: float64 (k, m, n), changed in place: the larger of both stays.
        grid: tuple of z, y, x.
        start: float64 (3,), in mm.
        end: float64 (3,), in mm.
        radii_mm: (float, float), at start and end.
    """
    reach = max(radii_mm) + EDGE_MM
    low, high = np.minimum(start, end) - reach, np.maximum(start, end) + reach
    box = tuple(
        slice(*np.searchsorted(axis, ends))
        for axis, ends in zip(grid, zip(low, high, strict=True), strict=True)
    )
    if not share[box].size:
        return
    near = meshed([axis[part] for axis, part in zip(grid, box, strict=True)])
    along = end - start
    length_2 = max((along**2).sum(), 1e-12)
    offsets = [axis - point for axis, point in zip(near, start, strict=True)]
    where = sum(offset * step for offset, step in zip(offsets, along, strict=True))
    where = np.clip(where / length_2, 0, 1)
    distance_2 = sum(
        (offset - where * step) ** 2
        for offset, step in zip(offsets, along, strict=True)
    )
    radius = radii_mm[0] + where * (radii_mm[1] - radii_mm[0])
    share[box] = np.maximum(share[box], share_inside(np.sqrt(distance_2) - radius))


def add_tree(rng, share, grid, radius_mm, generations=5):
    """Grow a vessel that forks again and again, each time into two thinner ones.

    Args:
        rng: numpy Generator.
        share: float64 (k, m, n), changed in place.
        grid: tuple of z, y, x.
        radius_mm: float, at the root, which lies at the border of the grid.
        generations: int, forks on the way to a tip.
    """
    half = np.array([np.abs(axis).max() for axis in grid])
    direction = draw_direction(rng)
    root = -direction * half + rng.uniform(-0.5, 0.5, 3) * half
    tips = [(root, direction, radius_mm)]
    for _ in range(generations):
        grown = []
        for start, heading, radius in tips:
            end = start + heading * rng.uniform(7, 16)
            thinner = radius * BRANCHING
            add_rod(share, grid, start, end, (radius, thinner))
            aside = rng.uniform(0.3, 0.8) * draw_direction(rng)
            for turn in (aside, -aside):
                grown.append((end, unit(heading + turn), thinner))
        tips = [tip for tip in grown if tip[2] >= SHORTEST_RADIUS_MM]


class Ellipsoid:
    """An ellipsoid in a random pose, with a surface that may be wavy.

    Attributes:
        centre: float64 (3,), in mm.
        half_axes_mm: float64 (3,); their product is the cube of the radius.
    """

    def __init__(self, rng, centre, radius_mm, waviness):
        stretch = np.clip(rng.normal(0, 0.1, 3), -0.15, 0.15)
        quaternion = unit(rng.normal(size=4))
        self.centre = centre
        self.half_axes_mm = radius_mm * np.exp(stretch - stretch.mean())
        self._pose = rotation_matrix(quaternion)
        self._bumps = [(draw_direction(rng), rng.uniform(-1, 1)) for _ in range(12)]
        self._height_mm = waviness * radius_mm

    def distance(self, grid):
        """Signed distance in mm (k, m, n), negative inside; near the surface exact."""
        offsets = [x - c for x, c in zip(meshed(grid), self.centre, strict=True)]
        turned = [
            sum(c * o for c, o in zip(column, offsets, strict=True))
            for column in self._pose.T
        ]
        once = sum((t / a) ** 2 for t, a in zip(turned, self.half_axes_mm, strict=True))
        twice = sum(
            (t / a**2) ** 2 for t, a in zip(turned, self.half_axes_mm, strict=True)
        )
        once, twice = np.sqrt(once + 1e-12), np.sqrt(twice + 1e-12)
        plain = once * (once - 1) / twice
        return plain - self._height_mm * self._waves(turned)

    def _waves(self, turned):
        """Bumps (k, m, n) of either sign, at most about 1, the same along a ray."""
        length = np.sqrt(sum(t * t for t in turned) + 1e-12)
        cosines = [
            sum(t * b for t, b in zip(turned, bump, strict=True)) / length
            for bump, _ in self._bumps
        ]
        heights = [height for _, height in self._bumps]
        return sum(
            h * np.maximum(c, 0) ** 4 for h, c in zip(heights, cosines, strict=True)
        )

    def reach_mm(self, direction):
        """How far the unwaved surface lies from the centre in a direction (3,)."""
        turned = self._pose.T @ direction
        return 1 / np.sqrt(((turned / self.half_axes_mm) ** 2).sum())
