"""The renderer of faces: it repeats the shipped files, and a person is no colour."""

import numpy as np
import pytest
from renderers import SCRIPTS, check_repeats_the_shipped_files, script
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tl_helpers import profiles
from tl_helpers.datasets import bundled

face_shapes = script("face_shapes")
render_faces = script("render_faces")
PARTS = tuple(render_faces.PEOPLE)
CHANCE = 1 / 44


@pytest.fixture(scope="module")
def train():
    return bundled.load_drawn_faces("train")


def guessed(values, labels):
    """Share of people that a probe on these values finds, four-fold."""
    probe = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    probe = make_pipeline(StandardScaler(), probe)
    return cross_val_score(probe, values, labels, cv=4).mean()


@pytest.mark.parametrize(
    "part, row", [("train", 0), ("train", 879), ("held_out", 7), ("held_out", 639)]
)
def test_render_repeats_the_shipped_picture(part, row):
    faces = bundled.load_drawn_faces(part)
    number = render_faces.PEOPLE[part][row // 20]
    image, picture = render_faces.render(number, row % 20)
    assert np.array_equal(image, faces.images[row])
    assert faces.class_names[faces.labels[row]] == f"person_{number:02}"
    extras = {name: values[row] for name, values in faces.extras.items()}
    assert np.array_equal(extras["pose"], np.rint(np.degrees(picture["pose"])))
    np.testing.assert_allclose(extras["light"], picture["light"], atol=1e-3)
    for name in ("strength", "tone", "smile"):
        assert extras[name] == pytest.approx(picture[name], abs=1e-3)
    assert extras["has_glasses"] == picture["has_glasses"]


@pytest.mark.slow
def test_main_repeats_the_shipped_files(tmp_path):
    check_repeats_the_shipped_files(render_faces.main, "drawn_faces", tmp_path)


def test_files_stay_small():
    sizes = [path.stat().st_size for path in (SCRIPTS / "drawn_faces").iterdir()]
    assert sum(sizes) <= 2_000_000


def test_write_part_is_read_by_load_drawn_faces(tmp_path, monkeypatch):
    folder = tmp_path / "drawn_faces"
    folder.mkdir()
    monkeypatch.setitem(render_faces.PEOPLE, "train", range(2))
    render_faces.write_part(folder, "train", per_person=1)
    monkeypatch.setattr(profiles, "data_dir", lambda: tmp_path)
    faces = bundled.load_drawn_faces.__wrapped__("train")
    assert np.array_equal(faces.images[1], render_faces.render(1, 0)[0])
    assert faces.class_names == ("person_00", "person_01")


def test_parts_share_no_person_and_no_picture():
    first, second = map(bundled.load_drawn_faces, PARTS)
    assert not set(first.class_names) & set(second.class_names)
    images = np.concatenate([first.images, second.images])
    assert len({image.tobytes() for image in images}) == len(images)


@pytest.mark.parametrize("part", PARTS)
def test_everybody_has_twenty_pictures(part):
    counts = bundled.load_drawn_faces(part).class_counts()
    assert set(counts.values()) == {20}
    assert len(counts) == len(render_faces.PEOPLE[part])


def test_a_person_is_no_colour(train):
    pixels = train.images.astype(float)
    means = np.hstack([pixels.mean((1, 2)), pixels.std((1, 2))])
    bins = train.images // 64 @ np.array([16, 4, 1])  # 64 colours
    shares = np.stack([np.bincount(one.ravel(), minlength=64) for one in bins])
    assert guessed(means, train.labels) < 2 * CHANCE
    assert guessed(shares, train.labels) < 2 * CHANCE


def test_what_is_drawn_for_a_picture_does_not_tell_the_person(train):
    drawn = [values.reshape(len(train), -1) for values in train.extras.values()]
    assert guessed(np.hstack(drawn), train.labels) < 2 * CHANCE


def test_raw_pixels_hardly_tell_people_apart(train):
    pixels = train.images.reshape(len(train), -1).astype(float)
    nearest = KNeighborsClassifier(1)
    assert cross_val_score(nearest, pixels, train.labels, cv=4).mean() < 0.1
    held_out = bundled.load_drawn_faces("held_out")
    rows = held_out.images.reshape(len(held_out), -1).astype(float)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    first, second = np.triu_indices(len(rows), 1)
    is_same = held_out.labels[first] == held_out.labels[second]
    auc = roc_auc_score(is_same, (rows @ rows.T)[first, second])
    assert auc < 0.55
    sheet = (SCRIPTS / "drawn_faces.md").read_text()
    assert f"cosine of raw pixels is {auc:.2f} on" in sheet


def test_the_sheet_says_first_that_nobody_is_shown():
    lines = (SCRIPTS / "drawn_faces.md").read_text().splitlines()
    assert lines[2].startswith("**Nobody is shown here")
    for part in PARTS:
        faces = bundled.load_drawn_faces(part)
        row = f"| `{part}` | {len(faces.class_names)} | {len(faces)} |"
        assert any(line.startswith(row) for line in lines)
    assert f"{len(face_shapes.RANGES)} measures and nothing else" in "\n".join(lines)


def test_two_pictures_of_a_person_share_every_measure():
    """Geometry comes from the person alone, colours from the picture alone."""
    one = face_shapes.draw_person(np.random.default_rng((render_faces.SEED, 5)))
    other = face_shapes.draw_person(np.random.default_rng((render_faces.SEED, 6)))
    assert all(a != b for a, b in zip(one, other, strict=True))
    pictures = [render_faces.draw_picture(np.random.default_rng(k)) for k in (0, 1)]
    for name in ("skin", "hair", "light", "pose"):
        assert not np.allclose(pictures[0][name], pictures[1][name])


def test_ellipsoid_is_exact_for_a_ball():
    points = np.array([[3.0, 0, 0.5], [0, 4.0, 0], [0, 0, 0]])
    distance = face_shapes.ellipsoid(points, (0, 0, 0), (1, 1, 1))
    np.testing.assert_allclose(distance, [2, 3, -0.5])


@pytest.mark.parametrize("gap", [0.0, 0.05, 0.3])
def test_blend_by_hand(gap):
    """Where both are equal it takes off a quarter of the width, far apart nothing."""
    expected = -((0.2 - gap) ** 2) / (4 * 0.2) if gap < 0.2 else 0.0
    blended = face_shapes.blend(np.array([0.0]), np.array([gap]), 0.2)
    assert blended.item() == pytest.approx(expected)


def test_turn_is_a_rotation_that_yaws_the_nose_to_the_right():
    rotation = face_shapes.turn(0.3, -0.2, 0.1)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    nose = face_shapes.turn(np.pi / 2, 0, 0) @ [0, 0, 1]
    np.testing.assert_allclose(nose, [1, 0, 0], atol=1e-12)
    looks_down = face_shapes.turn(0, np.radians(10), 0) @ [0, 0, 1]
    assert looks_down[1] < 0


def test_see_finds_a_face_that_looks_at_the_viewer():
    person = face_shapes.draw_person(np.random.default_rng(0))
    picture = render_faces.draw_picture(np.random.default_rng(0))
    picture |= {"pose": np.zeros(3), "centre": np.zeros(2), "scale": 1.0}
    hit, points, material, normals = render_faces.see(person, picture)
    np.testing.assert_allclose((normals**2).sum(0), 1, atol=1e-6)
    nose = np.abs(points[:2]).max(0) < 0.03
    assert set(material[nose]) == {face_shapes.SKIN} and (normals[2, nose] > 0).all()
    parts = render_faces.parts_of(person, np.eye(3), points)
    assert np.abs(parts.min(0)).max() < 2 * render_faces.NEAR
    assert set(material) == {face_shapes.SKIN, face_shapes.HAIR, face_shapes.CLOTH}
