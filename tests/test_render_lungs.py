"""The renderer of phantom lungs: it repeats the shipped files and keeps its word."""

import numpy as np
import pytest
from renderers import SCRIPTS, check_repeats_the_shipped_files, script
from sklearn.metrics import roc_auc_score

from tl_helpers.datasets import bundled
from tl_helpers.scans import to_rgb

lung_shapes = script("lung_shapes")
render_lungs = script("render_lungs")
PARTS = tuple(render_lungs.SCANNERS)


def by_nodule(*parts):
    """Labels and extras with one row a nodule."""
    labels, extras = [], []
    for part in parts:
        lungs = bundled.load_phantom_lungs(part)
        first = np.unique(lungs.extras["nodule"], return_index=True)[1]
        labels.append(lungs.labels[first])
        extras.append({name: rows[first] for name, rows in lungs.extras.items()})
    return np.concatenate(labels), {
        name: np.concatenate([one[name] for one in extras]) for name in extras[0]
    }


@pytest.mark.parametrize("part, patient", [("a", 0), ("a", 99), ("b", 100), ("b", 149)])
def test_render_repeats_the_shipped_patient(part, patient):
    lungs = bundled.load_phantom_lungs(part)
    shipped = lungs[lungs.extras["patient"] == patient]
    nodules = render_lungs.render(part, patient)
    codes = np.concatenate([nodule["codes"] for nodule in nodules])
    hu = render_lungs.LOWEST_HU + render_lungs.STEP_HU * codes.astype(int)
    assert np.array_equal(hu, shipped.extras["hu"])
    masks = np.concatenate([nodule["mask"] for nodule in nodules])
    assert np.array_equal(masks, shipped.extras["mask"])
    for name in ("slice", "volume_mm3", "spiculation", "texture", "chance", "label"):
        rows = [np.broadcast_to(one[name], len(one["codes"])) for one in nodules]
        wanted = shipped.labels if name == "label" else shipped.extras[name]
        np.testing.assert_allclose(np.concatenate(rows), wanted, rtol=1e-6)
    numbers = shipped.extras["nodule"]
    assert set(numbers) == {4 * patient + k for k in range(len(nodules))}


@pytest.mark.slow
def test_main_repeats_the_shipped_files(tmp_path):
    check_repeats_the_shipped_files(render_lungs.main, "phantom_lungs", tmp_path)


def test_files_stay_small():
    sizes = [path.stat().st_size for path in (SCRIPTS / "phantom_lungs").iterdir()]
    assert sum(sizes) <= 4_000_000


def test_images_show_the_hounsfield_units_in_three_windows():
    lungs = bundled.load_phantom_lungs("a")
    assert lungs.images.shape == (len(lungs), 48, 48, 3)
    assert np.array_equal(lungs.images[:9], to_rgb(lungs.extras["hu"][:9]))


@pytest.mark.parametrize("part", PARTS)
def test_slices_of_a_nodule_agree(part):
    lungs = bundled.load_phantom_lungs(part)
    extras = lungs.extras
    assert extras["mask"].any(axis=(1, 2)).all()
    marked = extras["pixel_labels"] - extras["mask"] * lungs.labels[:, None, None]
    assert np.array_equal(marked, extras["mask"])  # 1 + label on the nodule
    for number in np.unique(extras["nodule"]):
        rows = np.flatnonzero(extras["nodule"] == number)
        aside = len(rows) // 2
        assert extras["slice"][rows].tolist() == list(range(-aside, aside + 1))
        for name in ("patient", "volume_mm3", "chance", "spiculation", "texture"):
            assert len(np.unique(extras[name][rows])) == 1
        assert len(np.unique(lungs.labels[rows])) == 1


def test_parts_share_no_patient_and_no_nodule():
    (_, a), (_, b) = by_nodule("a"), by_nodule("b")
    for name in ("patient", "nodule"):
        assert not set(a[name]) & set(b[name])


@pytest.mark.parametrize("part", PARTS)
def test_masks_of_small_nodules_add_up_to_the_volume(part):
    """Nodules that end within their slices; the half-filled voxels cancel out."""
    extras = bundled.load_phantom_lungs(part).extras
    areas = extras["mask"].sum(axis=(1, 2))
    shares = []
    for number in np.unique(extras["nodule"]):
        rows = extras["nodule"] == number
        is_smooth = extras["spiculation"][rows][0] < 0.2
        if rows.sum() == 7 and is_smooth:
            shares.append(areas[rows].sum() * 1.25 / extras["volume_mm3"][rows][0])
    assert len(shares) > 10 and 0.85 < np.mean(shares) < 1.05


def test_the_label_is_drawn_with_the_chance_that_stands_beside_it():
    labels, extras = by_nodule(*PARTS)
    expected, spread = extras["chance"].sum(), extras["chance"] * (1 - extras["chance"])
    assert abs(labels.sum() - expected) < 2 * np.sqrt(spread.sum())
    patient = render_lungs.Patient(-850, 20, 1.0, 1.0, 3, 1.0, risk=0.0)
    plain = render_lungs.Nodule(4.9, 0.37, 0.5)
    assert render_lungs.chance_of(plain, patient) == pytest.approx(
        1 / (1 + np.exp(1.5))
    )
    rough = plain._replace(spiculation=0.37 + 0.31)
    assert render_lungs.chance_of(rough, patient) == pytest.approx(
        1 / (1 + np.exp(0.1))
    )


def noise_of(lungs):
    """Noise of each slice: spread of what differs between neighbours in plain lung."""
    hu = lungs.extras["hu"].astype(float)
    steps = hu[:, :, 2:] - hu[:, :, :-2]
    steps[hu[:, :, 1:-1] > -750] = np.nan
    return np.nanmedian(np.abs(steps), axis=(1, 2)) / (0.674 * np.sqrt(2))


def test_patients_and_scanners_differ_in_noise():
    """What slices of a patient share is why a split by slice leaks."""
    means = {}
    for part in PARTS:
        lungs = bundled.load_phantom_lungs(part)
        noise, patients = noise_of(lungs), lungs.extras["patient"]
        groups = [noise[patients == one] for one in np.unique(patients)]
        within = np.mean([group.std() for group in groups])
        assert np.std([group.mean() for group in groups]) > 2 * within
        means[part] = noise.mean()
    assert means["b"] > 1.8 * means["a"]


def test_the_data_sheet_tells_the_truth():
    sheet = (SCRIPTS / "phantom_lungs.md").read_text()
    aucs, chances = {}, {}
    for parts in (("a",), ("b",), PARTS):
        labels, extras = by_nodule(*parts)
        for name in ("volume_mm3", "spiculation", "texture", "chance"):
            aucs[parts, name] = roc_auc_score(labels, extras[name])
        chances[parts] = labels.mean()
        if parts != PARTS:
            slices = len(bundled.load_phantom_lungs(*parts))
            count, positive = len(labels), labels.sum()
            patients = len(np.unique(extras["patient"]))
            assert f"| `{parts[0]}` | {patients}" in sheet
            row = f"| {count} | {positive} ({positive / count:.0%}) | {slices:,} |"
            assert row in sheet
    both = {name: aucs[PARTS, name] for (_, name) in aucs}
    volumes = f"{aucs[('a',), 'volume_mm3']:.2f}, `b` {aucs[('b',), 'volume_mm3']:.2f}"
    assert f"volume alone {both['volume_mm3']:.2f} (`a` {volumes})" in sheet
    assert f"spiculation alone {both['spiculation']:.2f}" in sheet
    assert f"texture alone {both['texture']:.2f}" in sheet
    assert f"true chance {both['chance']:.2f}" in sheet
    assert f"{chances[PARTS]:.0%} of the nodules are suspicious" in sheet
    diameters = 2 * (3 * extras["volume_mm3"] / (4 * np.pi)) ** (1 / 3)
    low, middle, high = np.percentile(diameters, [5, 50, 95])
    assert f"{low:.1f} to {high:.1f} mm, the median {middle:.1f} mm" in sheet
    assert np.bincount(np.unique(extras["patient"], return_counts=True)[1]).size == 5


def test_the_sheet_says_phantom_first():
    """Nobody shall take a number from here for a clinical one."""
    sheet = (SCRIPTS / "phantom_lungs.md").read_text().lower()
    assert "phantom" in sheet.splitlines()[0] and "no clinical" not in sheet
    assert "nothing learnt on it is a clinical claim" in sheet
    for part in PARTS:
        told = str(bundled.load_phantom_lungs(part).provenance)
        assert "phantom" in told and "nothing learnt on it is a clinical claim" in told


def test_add_rod_by_hand():
    """A rod along x of radius r = 2 mm: its section is a disc, its ends are round.

    An edge that falls off over 1 mm adds pi / 12 to a disc and pi r / 3 to a ball.
    """
    axis = np.arange(-6.0, 7.0)
    share = np.zeros((13, 13, 13))
    ends = np.array([0.0, 0, -3]), np.array([0.0, 0, 3])
    lung_shapes.add_rod(share, (axis, axis, axis), *ends, (2.0, 2.0))
    middle = share[:, :, 6]
    assert middle[6, 6] == 1 and middle[6, 8] == 0.5 and middle[6, 9] == 0
    assert share[6, 6, 11] == 0.5 and share[6, 6, 12] == 0  # 2 mm past the end
    disc, ball = np.pi * (4 + 1 / 12), np.pi * (4 / 3 * 8 + 2 / 3)
    assert share.sum() == pytest.approx(6 * disc + ball, rel=0.03)


def test_ellipsoid_has_the_volume_of_its_ball():
    rng = np.random.default_rng(0)
    axis = np.arange(-9.0, 10.0)
    ball = lung_shapes.Ellipsoid(rng, np.zeros(3), 5.0, waviness=0)
    share = lung_shapes.share_inside(ball.distance((axis, axis, axis)))
    assert share.sum() == pytest.approx(4 / 3 * np.pi * 125, rel=0.02)
    direction = lung_shapes.draw_direction(rng)
    surface = ball.reach_mm(direction) * direction
    distance = ball.distance(tuple(np.array([one]) for one in surface))
    assert distance.item() == pytest.approx(0, abs=1e-9)


def test_in_slices_averages_over_the_thickness():
    planes = np.arange(20.0)[:, None, None]
    thin = render_lungs.in_slices(planes, render_lungs.SCANNERS["a"])
    thick = render_lungs.in_slices(planes, render_lungs.SCANNERS["b"])
    assert thin.ravel().tolist() == thick.ravel().tolist()  # of a slope: the middle
    assert thin.ravel().tolist() == [1.5 + 2 * k for k in range(9)]
    spike = np.zeros((20, 1, 1))
    spike[10] = 1  # in the fifth slice, and on the border of the next thick one
    thin, thick = (
        render_lungs.in_slices(spike, scanner).ravel().tolist()
        for scanner in render_lungs.SCANNERS.values()
    )
    assert thin == [0, 0, 0, 0, 0.5, 0, 0, 0, 0]
    assert thick == [0, 0, 0, 0, 0.25, 0.25, 0, 0, 0]
