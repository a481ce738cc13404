"""Heads that nobody has: what a person's geometry is, and its signed distances.

Points have shape (3, n), in the axes of the head: x to the viewer's right, y up, z out
of the face. Lengths are in heads: a face is about 1.4 wide and 2 high.
"""

from typing import NamedTuple

import numpy as np

SKIN, HAIR, CLOTH = range(3)  # what a ray may meet
CRANIUM_HEIGHT = 0.15  # of its centre
BLEND = 0.12  # over which parts of the head run into each other

# from least to most of what a person keeps in every picture
RANGES = {
    "skull_width": (0.60, 0.84),
    "skull_height": (0.68, 0.88),
    "jaw_width": (0.38, 0.70),
    "jaw_height": (0.42, 0.62),
    "jaw_drop": (0.26, 0.48),
    "eye_gap": (0.17, 0.36),
    "eye_width": (0.075, 0.150),
    "eye_roundness": (0.45, 1.00),
    "eye_slant": (-0.30, 0.30),
    "eye_height": (-0.06, 0.14),
    "brow_gap": (0.11, 0.21),
    "brow_thickness": (0.018, 0.055),
    "brow_slant": (-0.30, 0.35),
    "brow_width": (0.12, 0.22),
    "nose_length": (0.18, 0.42),
    "nose_width": (0.055, 0.140),
    "nose_reach": (0.10, 0.24),
    "mouth_width": (0.13, 0.34),
    "mouth_height": (-0.66, -0.50),
    "lip_thickness": (0.020, 0.055),
    "ear_size": (0.09, 0.25),
    "hair_volume": (0.03, 0.17),
    "hair_line": (0.28, 0.72),
    "hair_slant": (-0.45, 0.45),
    "hair_length": (-0.25, 1.10),
}


class Person(NamedTuple("Person", [(name, float) for name in RANGES])):
    """What stays the same in every picture of a person: geometry, and no colour."""

    __slots__ = ()


def draw_person(rng):
    """Draw a person, every measure evenly and by itself.

    Args:
        rng: numpy Generator.

    Returns:
        Person.
    """
    return Person(*(rng.uniform(*limits) for limits in RANGES.values()))


def turn(yaw, pitch, roll):
    """Rotation (3, 3) from the head's axes to the camera's.

    Args:
        yaw: radians about y, positive towards the viewer's right.
        pitch: radians about x, positive when the face looks down.
        roll: radians about z, positive against the clock.
    """
    (a, b), (c, d), (e, f) = ((np.cos(x), np.sin(x)) for x in (yaw, pitch, roll))
    about_y = np.array([[a, 0, b], [0, 1, 0], [-b, 0, a]])
    about_x = np.array([[1, 0, 0], [0, c, -d], [0, d, c]])
    about_z = np.array([[e, -f, 0], [f, e, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def ellipsoid(points, centre, radii):
    """Signed distance (n,), negative inside; exact for a ball, close near others."""
    scaled = [(p - c) / r for p, c, r in zip(points, centre, radii, strict=True)]
    length = np.sqrt(sum(s * s for s in scaled))
    steep = np.sqrt(sum((s / r) ** 2 for s, r in zip(scaled, radii, strict=True)))
    return length * (length - 1) / np.maximum(steep, 1e-9)


def blend(one, other, width=BLEND):
    """Smooth minimum of two distances: they run into each other over a width."""
    share = np.maximum(width - np.abs(one - other), 0) / width
    return np.minimum(one, other) - share * share * width / 4


def head_distance(person, points):
    """Distance (n,) to skull, jaw, nose and ears."""
    x, y, z = points
    one, sides = person, (np.abs(x), y, z)
    skull = ellipsoid(
        points, (0, CRANIUM_HEIGHT, -0.05), (one.skull_width, one.skull_height, 0.78)
    )
    jaw = ellipsoid(
        points, (0, -one.jaw_drop, 0.06), (one.jaw_width, one.jaw_height, 0.62)
    )
    distance = blend(skull, jaw, 0.3)
    middle = one.eye_height - 0.04 - one.nose_length / 2
    nose = ellipsoid(
        (x, y, z + 0.35 * (y - middle)),  # its tip stands out
        (0, middle, 0.66),
        (one.nose_width, one.nose_length / 2, one.nose_reach),
    )
    place = (one.skull_width + 0.3 * one.ear_size, 0.02, -0.05)
    ear = ellipsoid(sides, place, (0.7 * one.ear_size, one.ear_size, 0.08))
    return blend(blend(distance, nose, 0.06), ear, 0.05)


def hair_distance(person, points):
    """Distance (n,) to the hair: a shell that a face is cut out of."""
    x, y, z = points
    one = person
    lower = np.where(y < CRANIUM_HEIGHT, 0.6, 1.0)  # it hangs
    shell = ellipsoid(
        (x, CRANIUM_HEIGHT + lower * (y - CRANIUM_HEIGHT), z),
        (0, CRANIUM_HEIGHT, -0.10),
        (one.skull_width + one.hair_volume, one.skull_height + one.hair_volume, 0.82),
    )
    line = one.hair_line + one.hair_slant * x - 0.5 * x * x
    face = np.minimum(z - 0.05, line - y)
    return np.maximum(np.maximum(shell, face), -one.hair_length - y)


def cloth_distance(points):
    """Distance (n,) to the shoulders, which do not turn with the head."""
    return ellipsoid(points, (0, -1.62, -0.25), (1.05, 0.55, 0.45))


def neck_distance(points):
    """Distance (n,) to the neck, which does not turn with the head."""
    return ellipsoid(points, (0, -1.0, -0.2), (0.34, 0.75, 0.34))
