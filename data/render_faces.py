"""Render `drawn_faces`: people that nobody is, 64x64 px, from many sides and lights.

    python data/render_faces.py [FOLDER]     (a few minutes on one core)

A person is a set of measures (`face_shapes.Person`) and nothing else: skin, hair, eyes,
lips, clothes, glasses, light, pose, expression and background are drawn anew for every
picture, from one distribution for all. Heads are found by walking along parallel rays,
four a pixel; eyes, brows and mouth are painted on them, so they turn with the head.
Picture `index` of a person depends on (SEED, person, index) only.

Axes: x right, y up, z towards the viewer.
"""

import sys
from pathlib import Path

import numpy as np
from face_shapes import (
    CLOTH,
    HAIR,
    SKIN,
    blend,
    cloth_distance,
    draw_person,
    hair_distance,
    head_distance,
    neck_distance,
    turn,
)
from render_solids import (
    hue_to_rgb,
    in_steps,
    pool,
    sheet_of,
    webp,
    write_arrays,
    write_domains,
    write_whole,
)
from tqdm import tqdm

SEED = 2029
SIZE_PX = 64
RAYS_PX = 2 * SIZE_PX
PER_PERSON = 20
PEOPLE = {"train": range(44), "held_out": range(44, 76)}
COLOUR_STEP = 10  # coarser colours keep the files small
HALF_WIDTH = 1.2  # of the picture, in heads
START, STEPS, NEAR = 1.6, 28, 4e-3  # of a walk along a ray
DARK_SKIN, LIGHT_SKIN = np.array([0.28, 0.17, 0.11]), np.array([0.97, 0.80, 0.69])
HAIR_TONES = np.array(
    [[0.07, 0.06, 0.06], [0.30, 0.18, 0.10], [0.80, 0.63, 0.35], [0.62, 0.28, 0.12]]
    + [[0.75, 0.75, 0.75], [0.25, 0.30, 0.55]]
)
LARGEST_TURN = np.radians([28, 14, 10])  # yaw, pitch, roll


# --- Pictures of a person ---------------------------------------------------------


def draw_picture(rng):
    """Draw what differs from picture to picture, without regard to the person.

    Args:
        rng: numpy Generator.

    Returns:
        dict: pose (3,), yaw, pitch and roll in radians; centre (2,); scale; light (3,),
        a unit vector; strength, of the light; tint (3,), its colour; tone in [0, 1] and
        skin, hair, iris, lips, cloth (3,); smile, opening, lids, brows, gaze (2,), the
        expression; has_glasses; ground (2, 3), colours of its upper and lower edge.
    """
    side, height = rng.uniform(-1.2, 1.2), rng.uniform(-0.2, 1.0)
    light = [np.sin(side) * np.cos(height), np.sin(height)]
    light.append(np.cos(side) * np.cos(height))
    tone = rng.random()
    skin = DARK_SKIN + tone * (LIGHT_SKIN - DARK_SKIN) + rng.uniform(-0.04, 0.04, 3)
    shares = rng.dirichlet(np.full(len(HAIR_TONES), 0.4))
    hue = rng.random()
    return {
        "pose": rng.uniform(-1, 1, 3) * LARGEST_TURN,
        "centre": rng.uniform(-0.08, 0.08, 2),
        "scale": rng.uniform(0.86, 1.02),
        "light": np.array(light),
        "strength": rng.uniform(0.45, 1.05),
        "tint": 1 + rng.uniform(-0.12, 0.12, 3),
        "tone": tone,
        "skin": np.clip(skin, 0.05, 1),
        "hair": (shares[:, None] * HAIR_TONES).sum(0),
        "iris": hue_to_rgb(rng.random(), rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.6)),
        "lips": np.array([0.75, 0.30, 0.32]) * rng.uniform(0.6, 1.15, 3),
        "cloth": hue_to_rgb(rng.random(), rng.uniform(0.1, 0.8), rng.uniform(0.2, 0.9)),
        "smile": rng.uniform(-0.25, 0.45),
        "opening": max(0.0, rng.uniform(-0.06, 0.07)),
        "lids": rng.uniform(0.55, 1.0),
        "brows": rng.uniform(-0.03, 0.05),
        "gaze": rng.uniform(-0.3, 0.3, 2),
        "has_glasses": rng.random() < 0.3,
        "ground": np.stack(
            [
                hue_to_rgb(hue, rng.uniform(0, 0.7), rng.uniform(0.2, 1.0)),
                hue_to_rgb(
                    hue + rng.uniform(-0.2, 0.2),
                    rng.uniform(0, 0.7),
                    rng.uniform(0.2, 1.0),
                ),
            ]
        ),
    }


def parts_of(person, rotation, points):
    """Distances (3, n) to skin, hair and cloth of points (3, n) as the camera sees."""
    turned = (rotation[:, :, None] * points[:, None]).sum(0)  # into the head's axes
    skin = blend(head_distance(person, turned), neck_distance(points), 0.05)
    parts = np.empty((3, points.shape[1]))
    parts[SKIN] = skin
    parts[HAIR] = hair_distance(person, turned)
    parts[CLOTH] = cloth_distance(points)
    return parts


def see(person, picture):
    """Find what every ray meets.

    Returns:
        tuple: hit bool (rays,); for the k rays that hit, points (3, k) in the head's
        axes, material int (k,), normals (3, k) in the camera's axes.
    """
    steps = ((np.arange(RAYS_PX) + 0.5) / RAYS_PX * 2 - 1) * HALF_WIDTH
    x, y = np.meshgrid(steps, -steps)
    x, y = (axis.ravel() / picture["scale"] for axis in (x, y))
    points = np.stack([x - picture["centre"][0], y - picture["centre"][1], 0 * x])
    points[2] = START
    rotation = turn(*picture["pose"])
    walking = np.arange(len(x))
    for _ in range(STEPS):
        gaps = parts_of(person, rotation, points[:, walking]).min(0)
        points[2, walking] -= 0.9 * gaps
        is_far = (gaps > NEAR) & (points[2, walking] > -START)
        walking = walking[is_far]
    hit = points[2] > -1.0
    hit[walking] = False
    found = points[:, hit]
    parts = parts_of(person, rotation, found)
    slopes = [
        parts_of(person, rotation, found + offset[:, None]).min(0) - parts.min(0)
        for offset in 0.01 * np.eye(3)
    ]
    normals = np.stack(slopes) / np.maximum(np.sqrt(sum(s * s for s in slopes)), 1e-9)
    turned = (rotation[:, :, None] * found[:, None]).sum(0)
    return hit, turned, parts.argmin(0), normals


# --- Paint ------------------------------------------------------------------------


def covered(distance, soft=0.012):
    """Share (n,) of paint where a distance, negative inside, passes through 0."""
    return np.clip(0.5 - distance / (2 * soft), 0, 1)


def lay(colours, share, paint):
    """Lay paint (3,) over colours (n, 3) by a share (n,)."""
    colours += share[:, None] * (paint - colours)


def oval(x, y, width, height):
    """Rough distance (n,) to an ellipse about the origin."""
    return (np.sqrt((x / width) ** 2 + (y / height) ** 2) - 1) * min(width, height)


def paint_eyes(colours, person, picture, x, y):
    """Paint whites, irises, lids' edges and brows, and perhaps glasses."""
    one, side = person, np.where(x < 0, -1.0, 1.0)
    u, v = np.abs(x) - one.eye_gap, y - one.eye_height
    v = v - one.eye_slant * u
    height = one.eye_width * one.eye_roundness * picture["lids"]
    white = oval(u, v, one.eye_width, height)
    lay(colours, covered(white - 0.018), np.array([0.16, 0.11, 0.09]))
    lay(colours, covered(white), np.array([0.93, 0.93, 0.92]))
    aside, up = picture["gaze"] * (0.5 * one.eye_width, 0.5 * height)
    gone = np.sqrt((u - side * aside) ** 2 + (v - up) ** 2)
    iris = 0.6 * min(one.eye_width, 1.5 * height)
    inside = covered(white)
    lay(colours, covered(gone - iris) * inside, picture["iris"])
    lay(colours, covered(gone - 0.5 * iris) * inside, np.array([0.04, 0.04, 0.05]))
    rise = one.brow_gap + picture["brows"] - one.brow_slant * u - 1.5 * u * u
    brow = np.maximum(
        np.abs(y - one.eye_height - rise) - one.brow_thickness,
        np.abs(u) - one.brow_width,
    )
    lay(colours, covered(brow), 0.6 * picture["hair"])
    if picture["has_glasses"]:
        ring = np.abs(oval(u, y - one.eye_height, 0.19, 0.17)) - 0.016
        bridge = np.maximum(np.abs(y - one.eye_height - 0.03) - 0.014, u)
        frame = np.minimum(ring, np.maximum(bridge, 0.19 - one.eye_gap + np.abs(x)))
        lay(colours, covered(frame), np.array([0.10, 0.10, 0.12]))


def paint_mouth(colours, person, picture, x, y):
    """Paint lips that a smile bends, open or closed."""
    one = person
    bend = picture["smile"] * (x * x / one.mouth_width - 0.4 * one.mouth_width)
    v = y - one.mouth_height - bend
    height = one.lip_thickness + picture["opening"]
    lay(colours, covered(oval(x, v, one.mouth_width, height)), picture["lips"])
    gap = max(0.012, picture["opening"])
    between = oval(x, v, 0.9 * one.mouth_width, gap)
    lay(colours, covered(between), 0.35 * picture["lips"])


def paint(person, picture, seen):
    """Colours (rays, 3) in [0, 1]."""
    hit, points, material, normals = seen
    height = np.repeat(np.linspace(0, 1, RAYS_PX), RAYS_PX)[:, None]
    top, bottom = picture["ground"]
    image = top + (bottom - top) * height
    tones = np.stack([picture["skin"], picture["hair"], picture["cloth"]])
    colours = tones[material]
    on_face = (material == SKIN) & (points[2] > 0.1)
    x, y = points[:2, on_face]
    face = colours[on_face]
    paint_mouth(face, person, picture, x, y)
    paint_eyes(face, person, picture, x, y)
    colours[on_face] = face
    facing = np.maximum((normals * picture["light"][:, None]).sum(0), 0)
    ambient = 1.02 - picture["strength"] + 0.12 * normals[1]
    shade = 0.55 * ambient + picture["strength"] * facing + 0.12
    image[hit] = colours * shade[:, None] * picture["tint"]
    return image


def render(number, index):
    """Render one picture of a person.

    Args:
        number: int, of the person.
        index: int >= 0, of the picture.

    Returns:
        tuple: image uint8 (64, 64, 3), RGB; the `draw_picture` behind it.
    """
    person = draw_person(np.random.default_rng((SEED, number)))
    picture = draw_picture(np.random.default_rng((SEED, number, 1 + index)))
    image = pool(paint(person, picture, see(person, picture)))
    return in_steps(image, COLOUR_STEP), picture


# --- Files ------------------------------------------------------------------------


def write_part(folder, part, per_person=PER_PERSON):
    """Render a part into `<part>.webp` and `<part>.npz`.

    Args:
        folder: existing directory.
        part: "train" or "held_out".
        per_person: pictures of each person.
    """
    people = PEOPLE[part]
    wanted = [(number, index) for number in people for index in range(per_person)]
    rendered = [render(*one) for one in tqdm(wanted, desc=part)]
    images, pictures = zip(*rendered, strict=True)
    write_whole(folder / f"{part}.webp", webp(sheet_of(np.stack(images))))

    def all_of(name):
        return np.array([picture[name] for picture in pictures])

    write_arrays(
        folder / f"{part}.npz",
        labels=(np.arange(len(images)) // per_person).astype(np.uint8),
        class_names=np.array([f"person_{number:02}" for number in people]),
        pose=np.rint(np.degrees(all_of("pose"))).astype(np.int8),
        light=np.round(all_of("light"), 3).astype(np.float32),
        strength=np.round(all_of("strength"), 3).astype(np.float32),
        tone=np.round(all_of("tone"), 3).astype(np.float32),
        smile=np.round(all_of("smile"), 3).astype(np.float32),
        has_glasses=all_of("has_glasses"),
    )


def main(folder=Path(__file__).parent / "drawn_faces"):
    """Render both parts into the folder."""
    write_domains(folder, write_part, PEOPLE)


if __name__ == "__main__":
    main(*sys.argv[1:])
