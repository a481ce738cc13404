"""Render `phantom_lungs`: axial CT slices of nodules in lungs that nobody has.

    python data/render_lungs.py [FOLDER]     (a minute on one core)

It is a phantom: drawn by the rules below, never measured on a patient. For every nodule
a block of lung is filled in Hounsfield units, on a grid finer than a slice is thick;
a scanner then averages, blurs and adds noise. What patient number `patient` has depends
on (SEED, patient) only, so each can be rendered again alone.

Axes: z towards the head, y towards the back, x towards the patient's left, in mm from
the middle of the block.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from lung_shapes import (
    Ellipsoid,
    add_rod,
    add_tree,
    draw_direction,
    meshed,
    random_texture,
    share_inside,
    unit,
)
from render_solids import (
    folder_asked,
    sheet_of,
    webp,
    write_arrays,
    write_domains,
    write_whole,
)
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

SEED = 2028
SIZE_PX = 48  # of a patch, 1 mm a pixel
MARGIN_PX = 8  # rendered around it, for blurs
INTERVAL_MM = 1.25  # from slice to slice
FINE_MM = INTERVAL_MM / 2  # from plane to plane of the block
MOST_ASIDE = 4  # slices on either side of the middle one
LEAST_ASIDE = 2
PATIENTS = {"a": range(100), "b": range(100, 150)}
NUM_NODULES = (0.3, 0.3, 0.25, 0.15)  # chances of one, two, three and four a patient
CLASS_NAMES = ("unsuspicious", "suspicious")
LOWEST_HU, STEP_HU = -1024, 8  # of code 0, and from code to code
BLOOD_HU, MUSCLE_HU, FAT_HU, AIR_HU = 40.0, 50.0, -95.0, -1000.0
GROUND_GLASS_HU = -480.0
# chance = sigmoid of this sum over size, edge and texture in units of their spread, and
# over what the patient brings along that no scan shows
INTERCEPT, BY_SIZE, BY_EDGE, BY_TEXTURE, BY_PATIENT = -1.5, 1.0, 1.4, 0.8, 0.6


class Scanner(NamedTuple):
    """How a block becomes slices.

    Attributes:
        thickness_mm: of a slice; a multiple of twice FINE_MM.
        blur_mm: standard deviation of the kernel in a slice.
        sharpening: how much of what a wider blur would take is added again.
        noise_hu: median standard deviation of the noise over the patients.
    """

    thickness_mm: float
    blur_mm: float
    sharpening: float
    noise_hu: float


SCANNERS = {
    "a": Scanner(thickness_mm=1.25, blur_mm=0.8, sharpening=0.0, noise_hu=20.0),
    "b": Scanner(thickness_mm=2.5, blur_mm=0.5, sharpening=0.8, noise_hu=45.0),
}


class Patient(NamedTuple):
    """Traits that all nodules of a patient share.

    Attributes:
        lung_hu: of lung tissue with its smallest vessels.
        texture_hu: standard deviation of that tissue.
        grain_mm: of that tissue.
        calibre_mm: radius of large vessels.
        num_vessels: trees in a block.
        noise: factor on the scanner's noise.
        risk: shifts the chance that a nodule is suspicious; no scan shows it.
    """

    lung_hu: float
    texture_hu: float
    grain_mm: float
    calibre_mm: float
    num_vessels: int
    noise: float
    risk: float


class Nodule(NamedTuple):
    """What decides about a nodule's label, but for the patient.

    Attributes:
        radius_mm: of a ball with the volume of its body.
        spiculation: in [0, 1], 0 for a smooth edge.
        texture: in [0, 1], 0 for solid and even, 1 for a mottled core in ground glass.
    """

    radius_mm: float
    spiculation: float
    texture: float


# --- Patients and nodules ---------------------------------------------------------


def draw_patient(rng):
    """Draw traits."""
    return Patient(
        lung_hu=rng.normal(-855, 28),
        texture_hu=rng.uniform(10, 45),
        grain_mm=rng.uniform(0.8, 2.5),
        calibre_mm=rng.uniform(0.8, 1.7),
        num_vessels=int(rng.integers(2, 7)),
        noise=np.exp(rng.normal(0, 0.25)),
        risk=rng.normal(),
    )


def draw_nodule(rng):
    """Draw size, edge and texture without regard to each other."""
    is_rough = rng.random() < 0.4
    return Nodule(
        radius_mm=min(3.2 + np.exp(rng.normal(np.log(1.6), 0.7)), 11.0),
        spiculation=rng.uniform(0.4, 1) if is_rough else rng.uniform(0, 0.3),
        texture=rng.random(),
    )


def chance_of(nodule, patient):
    """Probability in (0, 1) that a nodule is called suspicious."""
    logit = (
        INTERCEPT
        + BY_SIZE * np.log(nodule.radius_mm / 4.9) / 0.28
        + BY_EDGE * (nodule.spiculation - 0.37) / 0.31
        + BY_TEXTURE * (nodule.texture - 0.5) / 0.29
        + BY_PATIENT * patient.risk
    )
    return 1 / (1 + np.exp(-logit))


# --- Blocks of lung -----------------------------------------------------------------


def block_grid():
    """Return z, y, x of the planes and pixels around a patch, in mm."""
    num_planes = 4 * (MOST_ASIDE + 1)
    z = (np.arange(num_planes) - (num_planes - 1) / 2) * FINE_MM
    side = SIZE_PX + 2 * MARGIN_PX
    y = np.arange(side) - (side - 1) / 2
    return z, y, y


def draw_lung(rng, patient, grid, clearance_mm, centre):
    """Fill a block with lung, vessels, in some an airway, in some the chest wall.

    Args:
        rng: numpy Generator.
        patient: Patient.
        grid: tuple of z, y, x.
        clearance_mm: float, from the nodule's centre to the wall at least.
        centre: float64 (3,), of the nodule.

    Returns:
        float64 (k, m, n), HU.
    """
    _, y, _ = meshed(grid)
    tissue = random_texture(rng, grid, patient.grain_mm)
    hu = patient.lung_hu + 0.5 * y + patient.texture_hu * tissue
    vessels = np.zeros_like(hu)
    for _ in range(patient.num_vessels):
        add_tree(rng, vessels, grid, patient.calibre_mm * rng.uniform(0.6, 1.5))
    hu += vessels * (BLOOD_HU - hu)
    if rng.random() < 0.25:
        _draw_airway(rng, hu, grid)
    if rng.random() < 0.3:
        _draw_wall(rng, hu, grid, centre, clearance_mm + rng.uniform(0, 8))
    return hu


def _draw_airway(rng, hu, grid):
    """Lay a tube of air with a thin wall across the block."""
    start, end = rng.uniform(-25, 25, 3), rng.uniform(-25, 25, 3)
    radius = rng.uniform(1.5, 3)
    for value, thick in ((0.0, 0.8), (AIR_HU, 0.0)):
        share = np.zeros_like(hu)
        add_rod(share, grid, start, end, (radius + thick, 0.7 * radius + thick))
        hu += share * (value - hu)


def _draw_wall(rng, hu, grid, centre, gap_mm, curve_mm=75.0):
    """Lay the chest wall at a distance from the nodule: muscle, a rib, fat behind."""
    angle = rng.uniform(0, 2 * np.pi)
    outward = unit(np.array([rng.normal(0, 0.15), np.sin(angle), np.cos(angle)]))
    pivot = centre + outward * (gap_mm - curve_mm)
    offsets = [x - p for x, p in zip(meshed(grid), pivot, strict=True)]
    depth = np.sqrt(sum(offset**2 for offset in offsets)) - curve_mm
    wall = MUSCLE_HU + (FAT_HU - MUSCLE_HU) * share_inside(rng.uniform(7, 12) - depth)
    along = unit(np.cross(outward, draw_direction(rng)))
    middle = centre + outward * (gap_mm + 5)
    for value, radius in ((550.0, 4.0), (180.0, 2.5)):  # cortex, marrow
        rib = np.zeros_like(hu)
        ends = middle - 40 * along, middle + 40 * along
        add_rod(rib, grid, *ends, (radius, radius))
        wall += rib * (value - wall)
    hu += share_inside(-depth) * (wall - hu)


class Body:
    """The shape of a nodule: a wavy ellipsoid and spicules that stick out of it."""

    def __init__(self, rng, nodule, centre):
        self.core = Ellipsoid(
            rng, centre, nodule.radius_mm, waviness=0.05 + 0.35 * nodule.spiculation
        )
        self.spicules = []
        for _ in range(round(28 * nodule.spiculation)):
            direction = draw_direction(rng)
            root = 0.8 * self.core.reach_mm(direction)
            length = 0.5 * nodule.radius_mm + rng.uniform(2, 9) * nodule.spiculation
            ends = centre + root * direction, centre + (root + length) * direction
            self.spicules.append((*ends, (rng.uniform(0.8, 1.3), 0.35)))

    def shares(self, grid):
        """Return core distance in mm and the shares of core and spicules together."""
        distance = self.core.distance(grid)
        share = share_inside(distance)
        for start, end, radii_mm in self.spicules:
            add_rod(share, grid, start, end, radii_mm)
        return distance, share

    def volume_mm3(self):
        """Volume of core and spicules."""
        axis = np.arange(-20.0, 21.0)
        grid = tuple(axis + c for c in self.core.centre)
        return float(self.shares(grid)[1].sum())


def nodule_hu(rng, nodule, distance, grid):
    """HU inside a nodule: a solid core, thinned out towards its edge by `texture`."""
    halo_mm = 0.55 * nodule.texture * nodule.radius_mm
    solid = np.clip((-distance - halo_mm) / 2 + 1, 0, 1)
    solid = np.maximum(solid, np.clip(distance, 0, 1))  # spicules are solid
    mottles = 130 * nodule.texture * random_texture(rng, grid, 1.2)
    dense = rng.normal(30, 15) + mottles
    return GROUND_GLASS_HU + solid * (dense - GROUND_GLASS_HU)


# --- Scans --------------------------------------------------------------------------


def scan(rng, hu, scanner, noise_hu):
    """Average a block into slices, apply the kernel, add noise.

    Args:
        rng: numpy Generator.
        hu: float64 (k, m, n), planes FINE_MM apart.
        scanner: Scanner.
        noise_hu: float, standard deviation.

    Returns:
        float64 (1 + 2 * MOST_ASIDE, m, n), HU.
    """
    noise = _kernel(in_slices(rng.normal(size=hu.shape), scanner), scanner)
    noise *= noise_hu / np.sqrt((noise**2).mean())
    return _kernel(in_slices(hu, scanner), scanner) + noise


def in_slices(values, scanner):
    """Average planes (k, ...) into 1 + 2 * MOST_ASIDE slices of their thickness."""
    half = round(scanner.thickness_mm / FINE_MM / 2)
    middles = 2 * (np.arange(2 * MOST_ASIDE + 1) + 1)  # between two planes
    return np.stack([values[m - half : m + half].mean(0) for m in middles])


def _kernel(slices, scanner):
    def blurred(blur_mm):
        return gaussian_filter(slices, (0, blur_mm, blur_mm), mode="nearest")

    plain = blurred(scanner.blur_mm)
    if not scanner.sharpening:
        return plain
    return plain + scanner.sharpening * (plain - blurred(scanner.blur_mm + 0.7))


def to_codes(hu):
    """Round HU to uint8 codes: LOWEST_HU + STEP_HU * code."""
    return np.clip(np.rint((hu - LOWEST_HU) / STEP_HU), 0, 255).astype(np.uint8)


def render(name, patient_number):
    """Render all nodules of a patient.

    Args:
        name: "a" or "b", the scanner.
        patient_number: int, one of PATIENTS[name].

    Returns:
        list with a dict a nodule: codes uint8 (s, 48, 48); mask bool (s, 48, 48);
        slice int (s,), number counted from the middle one; volume_mm3, spiculation,
        texture, chance, floats; label int.
    """
    rng = np.random.default_rng((SEED, patient_number))
    patient = draw_patient(rng)
    number = 1 + np.searchsorted(np.cumsum(NUM_NODULES), rng.random())
    return [_render_nodule(rng, patient, SCANNERS[name]) for _ in range(number)]


def _render_nodule(rng, patient, scanner):
    nodule, grid = draw_nodule(rng), block_grid()
    centre = np.array([rng.uniform(-0.3, 0.3), *rng.uniform(-3, 3, 2)])
    body = Body(rng, nodule, centre)
    hu = draw_lung(rng, patient, grid, 0.9 * nodule.radius_mm, centre)
    distance, share = body.shares(grid)
    hu += share * (nodule_hu(rng, nodule, distance, grid) - hu)
    slices = scan(rng, hu, scanner, scanner.noise_hu * patient.noise)
    masks = in_slices(share, scanner) >= 0.5
    height_mm = body.core.reach_mm(np.array([1.0, 0, 0]))
    aside = int(np.clip((height_mm - 0.8) / INTERVAL_MM, LEAST_ASIDE, MOST_ASIDE))
    kept = slice(MOST_ASIDE - aside, MOST_ASIDE + aside + 1)
    patch = (kept, *2 * [slice(MARGIN_PX, MARGIN_PX + SIZE_PX)])
    chance = chance_of(nodule, patient)
    return {
        "codes": to_codes(slices[patch]),
        "mask": masks[patch],
        "slice": np.arange(-aside, aside + 1),
        "volume_mm3": body.volume_mm3(),
        "spiculation": nodule.spiculation,
        "texture": nodule.texture,
        "chance": chance,
        "label": int(rng.random() < chance),
    }


# --- Files --------------------------------------------------------------------------


def write_scanner(folder, name):
    """Render a scanner's patients into `<name>.webp`, `<name>_mask.webp`, `<name>.npz`.

    Args:
        folder: existing directory.
        name: "a" or "b".
    """
    tiles, masks, table = [], [], {}
    for patient in tqdm(PATIENTS[name], desc=name):
        for k, nodule in enumerate(render(name, patient)):
            tiles.append(nodule.pop("codes"))
            masks.append(nodule.pop("mask"))
            row = {"patient": patient, "nodule": 4 * patient + k, **nodule}
            for key, value in row.items():
                rows = np.broadcast_to(value, len(tiles[-1]))
                table.setdefault(key, []).append(rows)
    table = {key: np.concatenate(rows) for key, rows in table.items()}
    write_whole(folder / f"{name}.webp", webp(sheet_of(np.concatenate(tiles))))
    sheet = sheet_of(np.concatenate(masks).astype(np.uint8) * np.uint8(255))
    write_whole(folder / f"{name}_mask.webp", webp(sheet))
    facts = _compact(table) | {"hu_scale": [LOWEST_HU, STEP_HU]}
    write_arrays(folder / f"{name}.npz", **facts)


def _compact(table):
    """Name the labels as the other sets do, and keep as many digits as are needed."""
    whole = {
        "patient": np.int16,
        "nodule": np.int16,
        "slice": np.int8,
        "label": np.int8,
    }
    table = {
        key: rows.astype(whole.get(key, np.float32)) for key, rows in table.items()
    }
    table["labels"] = table.pop("label")
    return table | {"class_names": np.array(CLASS_NAMES)}


def main(folder=Path(__file__).parent / "phantom_lungs"):
    """Render both scanners into the folder."""
    write_domains(folder, write_scanner, SCANNERS)


if __name__ == "__main__":
    main(*folder_asked(__doc__))
