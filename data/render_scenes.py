"""Render `scenes`: one to five solids on one ground, 96x96 px, every one annotated.

    python data/render_scenes.py [FOLDER]     (five minutes on one core)

Shapes, colours and photographs are those of `render_solids.py`; here several objects
stand on one ground, hide parts of each other and throw shadows on each other. Scene
`index` of a domain depends on (SEED, domain, index) only.

Axes: x right, y up, z towards the camera, which stands at (0, 0, CAMERA_DISTANCE).
"""

from pathlib import Path

import numpy as np
from render_solids import (
    CAMERA_DISTANCE,
    DOMAINS,
    FOCAL_LENGTH,
    blur,
    camera_rays,
    cut_patch,
    draw_pose,
    folder_asked,
    hue_to_rgb,
    in_steps,
    pool,
    sheet_of,
    webp,
    wrap_patch,
    write_arrays,
    write_domains,
    write_whole,
)
from solid_shapes import (
    CLASS_NAMES,
    SHAPES,
    filling_points,
    light_reaching,
    rotation_matrix,
    surface_normals,
    trace,
)
from tqdm import tqdm

SEED = 2027
SIZE_PX = 96
RAYS_PX = 2 * SIZE_PX
PER_DOMAIN = 600
MAX_OBJECTS = 5
LEAST_VISIBLE = 0.25  # of an object's own pixels; scenes that hide more are drawn again
SCALES = (0.42, 0.85)  # of a shape with a radius of about 1
GROUND = -0.6  # height of the ground, along the vertical
COLOUR_STEP = {"studio": 5, "photo": 10}  # coarser colours keep the files small


# --- Scenes ---------------------------------------------------------------------


def draw_scene(rng):
    """Draw light, camera and objects, none of which stands in another.

    Args:
        rng: numpy Generator.

    Returns:
        dict: light, up (3,), unit vectors in the camera's axes; objects, a list of
        dicts with label, shape, rotation (3, 3), scale and centre (3,).
    """
    tilt = rng.uniform(0.25, 0.7)
    up = np.array([0.0, np.cos(tilt), np.sin(tilt)])
    away = np.array([0.0, np.sin(tilt), -np.cos(tilt)])  # along the ground
    side, height = rng.uniform(-1.1, 1.1), rng.uniform(0.5, 1.1)
    light = [np.sin(side) * np.cos(height), np.sin(height)]
    light.append(np.cos(side) * np.cos(height))
    objects = []
    for _ in range(rng.integers(1, MAX_OBJECTS + 1)):
        objects.append(_draw_object(rng, up, away, objects))
    return {"light": np.array(light), "up": up, "objects": objects}


def _draw_object(rng, up, away, others):
    """Draw an object until it is in the picture and clear of the others."""
    label = int(rng.integers(len(SHAPES)))
    rotation = rotation_matrix(draw_pose(rng, up).astype(np.float64))
    while True:
        scale = rng.uniform(*SCALES)
        foot = ((rotation.T @ up)[:, None] * filling_points(SHAPES[label])).sum(0).min()
        right, back = rng.uniform(-1.5, 1.5), rng.uniform(-1.6, 1.6)
        centre = back * away + (GROUND - foot * scale) * up
        centre[0] += right
        seen = FOCAL_LENGTH * np.array([*np.abs(centre[:2]), 0.8 * scale])
        is_inside = (seen[:2] + seen[2]).max() < CAMERA_DISTANCE - centre[2]
        gaps = [np.sqrt(((centre - x["centre"]) ** 2).sum()) for x in others]
        reach = [0.7 * (scale + x["scale"]) for x in others]
        if is_inside and all(np.greater(gaps, reach)):
            break
    return {
        "label": label,
        "shape": SHAPES[label],
        "rotation": rotation,
        "scale": scale,
        "centre": centre,
    }


def place_in(one, points):
    """World points (3, n) in the axes of an object."""
    return one["rotation"].T @ (points - one["centre"][:, None]) / one["scale"]


def see_objects(scene, rays):
    """Trace every object and say which one each ray meets first.

    Args:
        scene: of `draw_scene`.
        rays: float64 (3, n), unit directions.

    Returns:
        tuple: index int (n,) of the object, -1 for none; distance float64 (n,);
        alone bool (objects, n), the rays that would meet each without the others.
    """
    camera = np.array([[0.0], [0], [CAMERA_DISTANCE]])
    walked = [
        trace(one["shape"], place_in(one, camera), one["rotation"].T @ rays)
        * one["scale"]
        for one in scene["objects"]
    ]
    distance = np.min(walked, axis=0)
    first = np.where(np.isfinite(distance), np.argmin(walked, axis=0), -1)
    return first, distance, np.isfinite(walked)


def shade(scene, rays, first, distance):
    """Light on every ray that meets an object, as if all were white.

    Returns:
        list with a dict an object: hit bool (rays,); for the rays that hit, points
        (3, k) and normals (3, k) in the object's axes, diffuse, gloss (k,).
    """
    camera = np.array([[0.0], [0], [CAMERA_DISTANCE]])
    seen = []
    for number, one in enumerate(scene["objects"]):
        hit = first == number
        world = camera + rays[:, hit] * distance[hit]
        points = place_in(one, world)
        normals = surface_normals(one["shape"], points)
        outward = one["rotation"] @ normals
        lit = light_reaching(
            one["shape"], points + 0.02 * normals, one["rotation"].T @ scene["light"]
        )
        for other in scene["objects"]:
            if other is not one:
                lit = lit * _light_past(other, world, scene["light"])
        facing = np.maximum((outward * scene["light"][:, None]).sum(0), 0)
        opening = np.clip(one["shape"](*(points + 0.25 * normals)) / 0.25, 0.3, 1)
        sky = 0.5 + 0.5 * (outward * scene["up"][:, None]).sum(0)
        halfway = scene["light"][:, None] - rays[:, hit]
        halfway /= np.sqrt((halfway**2).sum(0))
        shine = np.maximum((outward * halfway).sum(0), 0) ** 40 * lit
        diffuse = opening * (0.14 + 0.26 * sky) + 0.75 * facing * lit
        seen.append(
            {
                "hit": hit,
                "points": points,
                "normals": normals,
                "diffuse": diffuse,
                "gloss": shine,
            }
        )
    return seen


def _light_past(one, world, light, softness=7.0):
    """Share of light (n,) that reaches world points (3, n) past an object."""
    points = place_in(one, world)
    return light_reaching(one["shape"], points, one["rotation"].T @ light, softness)


def ground_light(scene, rays):
    """Light (rays,) in [0, 1] on the ground that all objects stand on."""
    falling = (scene["up"][:, None] * rays).sum(0)
    height = CAMERA_DISTANCE * scene["up"][2] - GROUND
    walked = height / np.maximum(-falling, 1e-3)
    world = rays * walked
    world[2] += CAMERA_DISTANCE
    light = np.ones(rays.shape[1])
    for one in scene["objects"]:
        distance = np.sqrt(((world - one["centre"][:, None]) ** 2).sum(0))
        distance /= one["scale"]
        near = np.flatnonzero((falling < -1e-3) & (distance < 4))
        points = place_in(one, world[:, near])
        shadow = 1 - _light_past(one, world[:, near], scene["light"], softness=4.0)
        contact = np.clip(1 - one["shape"](*points) / 0.5, 0, 1) ** 2
        fade = np.clip(2 - distance[near] / 2, 0, 1)
        light[near] *= 1 - fade * (0.4 * shadow + 0.3 * contact * (1 - shadow))
    return light


# --- Colours --------------------------------------------------------------------


def paint_studio(rng, light, seen):
    """Colours (rays, 3) in [0, 1]: plain objects on a sweep of paper."""
    paper_hue = rng.random()
    saturation, value = rng.uniform(0.05, 0.45), rng.uniform(0.35, 0.95)
    top = hue_to_rgb(paper_hue, saturation, value)
    bottom = hue_to_rgb(paper_hue, 0.8 * saturation, min(1, value + 0.12))
    height = np.repeat(np.linspace(0, 1, RAYS_PX), RAYS_PX)[:, None]
    image = (top + (bottom - top) * height**1.5) * light[:, None]
    for one in seen:
        hue = paper_hue + rng.uniform(0.15, 0.85)
        colour = hue_to_rgb(hue, rng.uniform(0.35, 0.85), rng.uniform(0.55, 0.95))
        gloss = rng.uniform(0.1, 0.5) * one["gloss"]
        image[one["hit"]] = colour * one["diffuse"][:, None] + gloss[:, None]
    return image


def paint_photo(rng, light, seen):
    """Colours (rays, 3) in [0, 1]: objects in photographs' skins, before another."""
    background = blur(cut_patch(rng, RAYS_PX, 120, 400), rng.uniform(1.5, 5.0))
    background = (background * rng.uniform(0.45, 0.8)).reshape(-1, 3)
    image = background * (0.5 + 0.5 * light[:, None])
    for one in seen:
        skin = cut_patch(rng, RAYS_PX, 60, 200)
        calm = skin.mean((0, 1))
        skin = calm + rng.uniform(0.15, 0.5) * (skin - calm)
        skin = skin * (rng.uniform(0.45, 0.8) / max(skin.mean(), 0.1))
        colours = wrap_patch(skin, one["points"], one["normals"])
        gloss = rng.uniform(0.0, 0.3) * one["gloss"]
        image[one["hit"]] = colours * one["diffuse"][:, None] + gloss[:, None]
    return image * rng.uniform(0.7, 1.0)


# --- Annotations ----------------------------------------------------------------


def instance_map(first, num_objects):
    """Give every pixel to whom at least two of its four rays meet.

    Returns:
        uint8 (SIZE_PX, SIZE_PX): 0 for the ground, 1 + number of the object.
    """
    shares = [pool((first == n).astype(float), SIZE_PX) for n in range(num_objects)]
    owner = np.argmax(shares, axis=0)
    return np.where(np.max(shares, axis=0) >= 0.5, owner + 1, 0).astype(np.uint8)


def visible_shares(instances, alone):
    """Pixels of each object over those it would have without the others, (objects,)."""
    own = [(pool(one.astype(float), SIZE_PX) >= 0.5).sum() for one in alone]
    seen = np.bincount(instances.ravel(), minlength=len(alone) + 1)[1:]
    return np.minimum(seen / np.maximum(own, 1), 1)


def render(domain, index):
    """Render one scene with its annotations.

    Args:
        domain: "studio" or "photo".
        index: int >= 0.

    Returns:
        tuple: image uint8 (96, 96, 3), RGB; instances uint8 (96, 96), 0 for the
        ground, k for the k-th object; labels int (objects,); visible float (objects,),
        share of its pixels that no other hides.
    """
    rng = np.random.default_rng((SEED, DOMAINS.index(domain), index))
    rays = camera_rays(RAYS_PX)
    while True:
        scene = draw_scene(rng)
        first, distance, alone = see_objects(scene, rays)
        instances = instance_map(first, len(alone))
        visible = visible_shares(instances, alone)
        if visible.min() >= LEAST_VISIBLE:
            break
    seen = shade(scene, rays, first, distance)
    light = ground_light(scene, rays)
    paint = {"studio": paint_studio, "photo": paint_photo}[domain]
    image = pool(paint(rng, light, seen), SIZE_PX)
    if domain == "photo":
        image = blur(image, rng.uniform(0.2, 0.7))
        grain = rng.uniform(0.005, 0.03)
        image = image + rng.normal(0, grain, (SIZE_PX, SIZE_PX, 1))
    labels = np.array([one["label"] for one in scene["objects"]])
    return in_steps(image, COLOUR_STEP[domain]), instances, labels, visible


# --- Files ----------------------------------------------------------------------


def write_domain(folder, domain, count=PER_DOMAIN):
    """Render a domain into `<domain>.webp`, `<domain>_objects.webp`, `<domain>.npz`.

    Args:
        folder: existing directory.
        domain: "studio" or "photo".
        count: number of scenes.
    """
    rendered = [render(domain, index) for index in tqdm(range(count), desc=domain)]
    images, instances, labels, visible = zip(*rendered, strict=True)
    write_whole(folder / f"{domain}.webp", webp(sheet_of(np.stack(images))))
    objects = webp(sheet_of(np.stack(instances)))
    write_whole(folder / f"{domain}_objects.webp", objects)
    write_arrays(
        folder / f"{domain}.npz",
        labels=_padded(labels, -1).astype(np.int8),
        visible=_padded(visible, 0).astype(np.float32),
        class_names=np.array(CLASS_NAMES),
    )


def _padded(rows, empty):
    """Lay rows of up to MAX_OBJECTS numbers under each other, (n, MAX_OBJECTS)."""
    table = np.full((len(rows), MAX_OBJECTS), empty, float)
    for line, row in zip(table, rows, strict=True):
        line[: len(row)] = row
    return table


def main(folder=Path(__file__).parent / "scenes"):
    """Render both domains into the folder."""
    write_domains(folder, write_domain)


if __name__ == "__main__":
    main(*folder_asked(__doc__))
