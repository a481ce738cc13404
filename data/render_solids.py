"""Render `solids`: ten shapes in two domains, 64x64 px, with exact annotations.

    python data/render_solids.py [FOLDER]     (a minute on one core)

Shapes are found by sphere tracing (`solid_shapes.py`) with four rays a pixel.
`studio` lights them on a plain sweep of paper; `photo` covers them with patches of
scikit-learn's two sample photographs, puts them in front of others out of focus,
dims, blurs and adds noise. Image `index` of a domain depends on (SEED, domain,
index) only, so any one of them can be rendered again by itself.

Axes: x right, y up, z towards the camera, which stands at (0, 0, CAMERA_DISTANCE).
"""

import argparse
import functools
import io
import os
from pathlib import Path

import numpy as np
from PIL import Image
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

SEED = 2026
SIZE_PX = 64
PER_CLASS = 180
DOMAINS = ("studio", "photo")
COLOUR_STEP = {"studio": 4, "photo": 8}  # coarser colours keep the files small
COLUMNS = 50  # tiles in a row of the sheet
CAMERA_DISTANCE = 6.0
FOCAL_LENGTH = 3.6  # half the picture's width is 1 at this distance
LARGEST_LEAN = np.radians(30)
DEPTH_NEAR, DEPTH_STEP = 4.0, 0.05  # code 1 is DEPTH_NEAR, 0 is background
RAYS_PX = 2 * SIZE_PX


# --- Scenes ---------------------------------------------------------------------


def draw_pose(rng, up):
    """Draw a rotation evenly among those that show what the shape is.

    The shape's y axis leans from the vertical by at most LARGEST_LEAN and is seen
    neither from its end nor, for a ring, from its edge: there a cone is a disc, a
    capsule a ball and a ring a rod.

    Args:
        rng: numpy Generator.
        up: float64 (3,), the vertical in the camera's axes.

    Returns:
        float32 (4,), unit quaternion (w, x, y, z) with w >= 0, object to camera.
    """
    while True:
        quaternion = rng.normal(size=4)
        quaternion /= np.sqrt((quaternion**2).sum()) * np.sign(quaternion[0])
        axis = rotation_matrix(quaternion)[:, 1]
        is_upright = (axis * up).sum() > np.cos(LARGEST_LEAN)
        if is_upright and 0.2 < axis[2] < 0.85:
            return quaternion.astype(np.float32)


def camera_rays(rays_px=RAYS_PX):
    """Return unit directions (3, rays_px**2) of the rays, row by row from the top."""
    steps = (np.arange(rays_px) + 0.5) / rays_px * 2 - 1
    x, y = np.meshgrid(steps, -steps)
    rays = np.stack([x.ravel(), y.ravel(), np.full(x.size, -FOCAL_LENGTH)])
    return rays / np.sqrt((rays**2).sum(0))


def draw_scene(rng, label):
    """Draw what both domains share: pose, place, size and light.

    Args:
        rng: numpy Generator.
        label: int, class.

    Returns:
        dict: shape; quaternion (4,); rotation (3, 3); scale; centre (3,);
        light, up (3,), unit vectors in the camera's axes.
    """
    tilt = rng.uniform(0.3, 0.75)
    up = np.array([0.0, np.cos(tilt), np.sin(tilt)])
    quaternion = draw_pose(rng, up)
    scale = rng.uniform(1.25, 1.6)
    reach = 1.75 - scale
    centre = np.array([*rng.uniform(-reach, reach, 2), 0.0])
    side, height = rng.uniform(-1.1, 1.1), rng.uniform(0.5, 1.1)
    light = [np.sin(side) * np.cos(height), np.sin(height)]
    light.append(np.cos(side) * np.cos(height))
    return {
        "shape": SHAPES[label],
        "quaternion": quaternion,
        "rotation": rotation_matrix(quaternion.astype(np.float64)),
        "scale": scale,
        "centre": centre,
        "light": np.array(light),
        "up": up,
    }


def see_object(scene):
    """Trace a scene and shade its object as if it were white.

    Returns:
        dict: hit bool (rays,); for the rays that hit, points (3, k) in the object's
        axes, normals (3, k), depth, diffuse, gloss (k,).
    """
    shape, rotation, scale = scene["shape"], scene["rotation"], scene["scale"]
    camera = np.array([0, 0, CAMERA_DISTANCE]) - scene["centre"]
    origin = (rotation.T @ camera / scale)[:, None]
    rays = rotation.T @ camera_rays()
    walked = trace(shape, origin, rays)
    hit = np.isfinite(walked)
    points = origin + rays[:, hit] * walked[hit]
    normals = surface_normals(shape, points)
    light, up = rotation.T @ scene["light"], rotation.T @ scene["up"]
    facing = np.maximum((normals * light[:, None]).sum(0), 0)
    lit = light_reaching(shape, points + 0.02 * normals, light)
    opening = np.clip(shape(*(points + 0.25 * normals)) / 0.25, 0.3, 1)
    sky = 0.5 + 0.5 * (normals * up[:, None]).sum(0)
    halfway = light[:, None] - rays[:, hit]
    halfway /= np.sqrt((halfway**2).sum(0))
    shine = np.maximum((normals * halfway).sum(0), 0) ** 40 * lit
    return {
        "hit": hit,
        "points": points,
        "normals": normals,
        "depth": -(rotation @ rays)[2, hit] * walked[hit] * scale,
        "diffuse": opening * (0.14 + 0.26 * sky) + 0.75 * facing * lit,
        "gloss": shine,
    }


def ground_light(scene):
    """Light (rays,) in [0, 1] on the ground that the object stands on."""
    shape, rotation, scale = scene["shape"], scene["rotation"], scene["scale"]
    up, light = rotation.T @ scene["up"], rotation.T @ scene["light"]
    floor = (up[:, None] * filling_points(shape)).sum(0).min() - 0.03
    camera = np.array([0, 0, CAMERA_DISTANCE]) - scene["centre"]
    origin = (rotation.T @ camera / scale)[:, None]
    rays = rotation.T @ camera_rays()
    falling = (up[:, None] * rays).sum(0)
    walked = (floor - (up[:, None] * origin).sum()) / np.minimum(falling, -1e-3)
    points = origin + rays * walked
    away = np.sqrt((points**2).sum(0))
    near = np.flatnonzero((falling < -1e-3) & (away < 4))
    shade = np.zeros(rays.shape[1])
    points = points[:, near]
    shadow = 1 - light_reaching(shape, points, light, softness=4.0)
    contact = np.clip(1 - shape(*points) / 0.5, 0, 1) ** 2
    fade = np.clip(2 - away[near] / 2, 0, 1)
    shade[near] = fade * (0.4 * shadow + 0.3 * contact * (1 - shadow))
    return 1 - shade


# --- Colours --------------------------------------------------------------------


def hue_to_rgb(hue, saturation, value):
    """Turn hue, saturation and value, each in [0, 1], into RGB (3,) in [0, 1]."""
    wheel = np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1
    return value * (1 - saturation + saturation * np.clip(wheel, 0, 1))


@functools.cache
def photographs():
    """Return scikit-learn's two photographs, uint8 (427, 640, 3) each."""
    from sklearn.datasets import load_sample_images

    return tuple(load_sample_images().images)


def cut_patch(rng, side_px, least_px, largest_px):
    """Cut a square out of a photograph, mirrored or not, and resize it.

    Returns:
        float64 (side_px, side_px, 3), RGB, [0, 1].
    """
    photograph = photographs()[rng.integers(2)]
    size = int(rng.integers(least_px, largest_px + 1))
    top = rng.integers(photograph.shape[0] - size + 1)
    left = rng.integers(photograph.shape[1] - size + 1)
    patch = photograph[top : top + size, left : left + size]
    patch = patch[:, :: rng.choice([-1, 1])]
    picks = ((np.arange(side_px) + 0.5) / side_px * size).astype(int)
    return blur(patch / 255.0, size / side_px / 3)[picks][:, picks]


def blur(image, sigma_px):
    """Blur (height, width, 3) by a Gaussian, edges repeated."""
    if sigma_px < 0.2:
        return image
    radius = int(np.ceil(2.5 * sigma_px))
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma_px) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        edges = [(radius, radius) if a == axis else (0, 0) for a in range(3)]
        wide = np.moveaxis(np.pad(image, edges, mode="edge"), axis, 0)
        length = image.shape[axis]
        image = sum(w * wide[k : k + length] for k, w in enumerate(weights))
        image = np.moveaxis(image, 0, axis)
    return image


def wrap_patch(patch, points, normals):
    """Colours (k, 3) of points (3, k) under a patch projected along the normal."""
    main = np.round(np.abs(normals), 6).argmax(0)  # ties fall alike on every CPU
    across = np.array([[1, 2], [2, 0], [0, 1]])[main].T
    columns = np.arange(points.shape[1])
    where = (points[across, columns] + 1) / 2 * len(patch)
    row, column = np.clip(where.astype(int), 0, len(patch) - 1)
    return patch[row, column]


def paint_studio(rng, scene, seen):
    """Colours (rays, 3) in [0, 1]: a plain object on a sweep of paper."""
    hue = rng.random()
    paper_hue = hue + rng.uniform(0.15, 0.85)
    colour = hue_to_rgb(hue, rng.uniform(0.35, 0.85), rng.uniform(0.55, 0.95))
    saturation, value = rng.uniform(0.05, 0.45), rng.uniform(0.35, 0.95)
    top = hue_to_rgb(paper_hue, saturation, value)
    bottom = hue_to_rgb(paper_hue, 0.8 * saturation, min(1, value + 0.12))
    height = np.repeat(np.linspace(0, 1, RAYS_PX), RAYS_PX)[:, None]
    paper = top + (bottom - top) * height**1.5
    image = paper * ground_light(scene)[:, None]
    gloss = rng.uniform(0.1, 0.5) * seen["gloss"]
    image[seen["hit"]] = colour * seen["diffuse"][:, None] + gloss[:, None]
    return image


def paint_photo(rng, seen):
    """Colours (rays, 3) in [0, 1]: an object in a photograph's skin, before another."""
    background = cut_patch(rng, RAYS_PX, 120, 400)
    background = blur(background, rng.uniform(1.5, 5.0))  # out of focus
    image = (background * rng.uniform(0.45, 0.8)).reshape(-1, 3)
    skin = cut_patch(rng, RAYS_PX, 60, 200)
    calm = skin.mean((0, 1))
    texture = rng.uniform(0.15, 0.5)
    skin = calm + texture * (skin - calm)
    skin = skin * (rng.uniform(0.45, 0.8) / max(skin.mean(), 0.1))
    colours = wrap_patch(skin, seen["points"], seen["normals"])
    gloss = rng.uniform(0.0, 0.3) * seen["gloss"]
    image[seen["hit"]] = colours * seen["diffuse"][:, None] + gloss[:, None]
    return image * rng.uniform(0.7, 1.0)


def pool(values, size_px=SIZE_PX):
    """Average the four rays of a pixel: (rays, ...) -> (size_px, size_px, ...)."""
    cells = values.reshape(size_px, 2, size_px, 2, *values.shape[1:])
    upper = cells[:, 0, :, 0] + cells[:, 0, :, 1]
    lower = cells[:, 1, :, 0] + cells[:, 1, :, 1]
    return (upper + lower) / 4


def render(domain, index):
    """Render one image with its annotations.

    Args:
        domain: "studio" or "photo".
        index: int >= 0; the class is index modulo the number of classes.

    Returns:
        tuple: image uint8 (64, 64, 3), RGB; depth uint8 (64, 64), codes in steps of
        DEPTH_STEP from DEPTH_NEAR, 0 on the background; quaternion float32 (4,).
    """
    rng = np.random.default_rng((SEED, DOMAINS.index(domain), index))
    scene = draw_scene(rng, index % len(SHAPES))
    seen = see_object(scene)
    if domain == "studio":
        image = pool(paint_studio(rng, scene, seen))
    else:
        image = blur(pool(paint_photo(rng, seen)), rng.uniform(0.2, 0.7))
        grain = rng.uniform(0.005, 0.03)
        image = image + rng.normal(0, grain, (SIZE_PX, SIZE_PX, 1))
    return in_steps(image, COLOUR_STEP[domain]), _depth_codes(seen), scene["quaternion"]


def in_steps(image, step):
    """Round colours in [0, 1] to uint8 multiples of `step`."""
    levels = np.rint(np.clip(image, 0, 1) * 255 / step)
    return np.minimum(levels, 255 // step).astype(np.uint8) * np.uint8(step)


def _depth_codes(seen):
    share = pool(seen["hit"].astype(np.float64))
    depth = np.zeros(len(seen["hit"]))
    depth[seen["hit"]] = seen["depth"]
    mean_depth = pool(depth) / np.maximum(share, 0.25)
    codes = np.rint((mean_depth - DEPTH_NEAR) / DEPTH_STEP) + 1
    return np.where(share >= 0.5, np.clip(codes, 1, 255), 0).astype(np.uint8)


# --- Files ----------------------------------------------------------------------


def sheet_of(tiles):
    """Lay tiles (n, size, size, ...) out in rows of COLUMNS, the last row filled up."""
    missing = -len(tiles) % COLUMNS
    tiles = np.concatenate([tiles, np.zeros((missing, *tiles.shape[1:]), np.uint8)])
    rows = tiles.reshape(-1, COLUMNS, *tiles.shape[1:]).swapaxes(1, 2)
    return rows.reshape(-1, COLUMNS * tiles.shape[2], *tiles.shape[3:])


def write_whole(path, content):
    """Write bytes under a temporary name, then rename: never half a file."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)


def webp(sheet):
    """Bytes of a lossless WebP picture of uint8 (height, width) or (..., 3)."""
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "WEBP", lossless=True, quality=90, method=6)
    return buffer.getvalue()


def write_domain(folder, domain, per_class=PER_CLASS):
    """Render a domain into `<domain>.webp`, `<domain>_depth.webp`, `<domain>.npz`.

    Args:
        folder: existing directory.
        domain: "studio" or "photo".
        per_class: images of each class.
    """
    indices = range(per_class * len(SHAPES))
    rendered = [render(domain, index) for index in tqdm(indices, desc=domain)]
    images, depths, poses = map(np.stack, zip(*rendered, strict=True))
    write_whole(folder / f"{domain}.webp", webp(sheet_of(images)))
    write_whole(folder / f"{domain}_depth.webp", webp(sheet_of(depths)))
    write_arrays(
        folder / f"{domain}.npz",
        labels=(np.arange(len(images)) % len(SHAPES)).astype(np.uint8),
        pose=poses,
        class_names=np.array(CLASS_NAMES),
        depth_scale=np.array([DEPTH_NEAR, DEPTH_STEP]),
    )


def write_arrays(path, **arrays):
    """Write arrays into one .npz file, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_whole(path, buffer.getvalue())


def main(folder=Path(__file__).parent / "solids"):
    """Render both domains into the folder."""
    write_domains(folder, write_domain)


def write_domains(folder, write_domain, domains=DOMAINS):
    """Make a folder and write every domain into it.

    Args:
        folder: str or Path.
        write_domain: callable (folder, domain).
        domains: their names.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for domain in domains:
        write_domain(folder, domain)


def folder_asked(description):
    """Return [the folder that the command line names], or [] where it names none."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("folder", nargs="?")
    named = parser.parse_args().folder
    return [named] if named else []


if __name__ == "__main__":
    main(*folder_asked(__doc__))
