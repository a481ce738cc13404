"""Ten shapes as signed distance functions, and the rays that find them.

Points and directions have shape (3, n), in the axes of the shape. Lengths are in
object units: every shape fits into a ball of radius BALL_RADIUS about the origin.
"""

import functools

import numpy as np

BALL_RADIUS = 1.15

# --- Shapes: signed distance (n,) at x, y, z (n,), negative inside ---------------


def _box(x, y, z, half_x, half_y, half_z):
    outside = [np.abs(x) - half_x, np.abs(y) - half_y, np.abs(z) - half_z]
    beyond = sum(np.maximum(side, 0) ** 2 for side in outside)
    return np.sqrt(beyond) + np.minimum(np.maximum.reduce(outside), 0)


def sphere(x, y, z):
    """Ball of radius 0.78."""
    return np.sqrt(x * x + y * y + z * z) - 0.78


def cube(x, y, z):
    """Cube with edges of 1.2, slightly rounded."""
    return _box(x, y, z, 0.57, 0.57, 0.57) - 0.03


def cylinder(x, y, z):
    """Cylinder along y: radius 0.51, height 1.56, slightly rounded."""
    radial = np.sqrt(x * x + z * z) - 0.48
    along = np.abs(y) - 0.75
    beyond = np.maximum(radial, 0) ** 2 + np.maximum(along, 0) ** 2
    return np.sqrt(beyond) + np.minimum(np.maximum(radial, along), 0) - 0.03


def cone(x, y, z):
    """Cone along y: apex at 0.95, base of radius 0.8 at -0.6."""
    radial = np.sqrt(x * x + z * z)
    slant = (1.55 * radial + 0.8 * (y - 0.95)) / np.hypot(1.55, 0.8)
    return np.maximum(slant, -0.6 - y)


def torus(x, y, z):
    """Ring around y: radius 0.66, tube of radius 0.27."""
    return np.hypot(np.sqrt(x * x + z * z) - 0.66, y) - 0.27


def capsule(x, y, z):
    """Cylinder along y with round ends: radius 0.4, length 1.9."""
    rest = y - np.clip(y, -0.55, 0.55)
    return np.sqrt(x * x + rest * rest + z * z) - 0.4


def octahedron(x, y, z):
    """Regular octahedron with corners at distance 1."""
    return (np.abs(x) + np.abs(y) + np.abs(z) - 1.0) / np.sqrt(3)


def cross(x, y, z):
    """Three square bars through the centre, one along each axis."""
    bars = [(0.9, 0.24, 0.24), (0.24, 0.9, 0.24), (0.24, 0.24, 0.9)]
    return np.minimum.reduce([_box(x, y, z, *bar) for bar in bars]) - 0.02


def hexagonal_prism(x, y, z):
    """Hexagonal prism along y: inner radius 0.66, height 0.72."""
    x, z = np.abs(x), np.abs(z)
    return np.maximum(np.maximum(x, 0.5 * x + np.sqrt(0.75) * z) - 0.66, abs(y) - 0.36)


def pyramid(x, y, z):
    """Square pyramid along y: apex at 0.85, base of side 1.4 at -0.5."""
    side = np.maximum(np.abs(x), np.abs(z))
    slant = (1.35 * side + 0.7 * (y - 0.85)) / np.hypot(1.35, 0.7)
    return np.maximum(slant, -0.5 - y)


SHAPES = (
    sphere,
    cube,
    cylinder,
    cone,
    torus,
    capsule,
    octahedron,
    cross,
    hexagonal_prism,
    pyramid,
)
CLASS_NAMES = tuple(shape.__name__.replace("_", " ") for shape in SHAPES)


# --- Rays -----------------------------------------------------------------------


def rotation_matrix(quaternion):
    """Turn a unit quaternion (w, x, y, z) into a matrix (3, 3), object to camera."""
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def trace(shape, origin, rays, num_steps=80):
    """Walk along rays by the distance to the shape until they meet it.

    Args:
        shape: signed distance function.
        origin: float64 (3, 1), in the shape's axes.
        rays: float64 (3, n), unit directions.
        num_steps: int.

    Returns:
        float64 (n,), distance walked; inf where the ray passes the shape by.
    """
    middle = -(origin * rays).sum(0)
    inside = BALL_RADIUS**2 - (origin**2).sum() + middle**2
    half_chord = np.sqrt(np.maximum(inside, 0))
    walked, end = middle - half_chord, middle + half_chord
    hit = np.zeros(len(walked), bool)
    active = np.flatnonzero(inside > 0)
    for _ in range(num_steps):
        gap = shape(*(origin + rays[:, active] * walked[active]))
        walked[active] += gap
        hit[active[gap < 1e-4]] = True
        active = active[(gap >= 1e-4) & (walked[active] < end[active])]
    return np.where(hit, walked, np.inf)


def surface_normals(shape, points):
    """Return unit gradients (3, n) of the distance at points (3, n)."""
    corners = np.array([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], float)
    normals = sum(
        corner[:, None] * shape(*(points + 1e-3 * corner[:, None]))
        for corner in corners
    )
    return normals / np.maximum(np.sqrt((normals**2).sum(0)), 1e-12)


def light_reaching(shape, points, light, softness=7.0, num_steps=24):
    """Share of light (n,) in [0, 1] that reaches points (3, n) past the shape."""
    walked = np.full(points.shape[1], 0.04)
    share = np.ones(points.shape[1])
    for _ in range(num_steps):
        gap = shape(*(points + light[:, None] * walked))
        share = np.minimum(share, softness * gap / walked)
        walked += np.clip(gap, 0.03, 0.3)
    share = np.clip(share, 0, 1)
    return share * share * (3 - 2 * share)


@functools.cache
def filling_points(shape):
    """Points (3, n) of a grid that lie in the shape."""
    grid = np.linspace(-1, 1, 33)
    points = np.stack(np.meshgrid(grid, grid, grid)).reshape(3, -1)
    return points[:, shape(*points) < 0]
