"""The renderer: shipped files come out of it again, and its geometry is right."""

import numpy as np
import pytest
from renderers import check_repeats_the_shipped_files, script

from tl_helpers import profiles
from tl_helpers.datasets import bundled

render_solids = script("render_solids")
solid_shapes = script("solid_shapes")


@pytest.mark.parametrize("domain", render_solids.DOMAINS)
@pytest.mark.parametrize("index", [0, 4, 17, 1238, 1799])
def test_render_repeats_the_shipped_image(domain, index):
    shipped = bundled.load_solids(domain)
    image, codes, pose = render_solids.render(domain, index)
    extras = {name: values[index] for name, values in shipped.extras.items()}
    assert np.array_equal(image, shipped.images[index])
    assert np.array_equal(codes > 0, extras["mask"])
    assert np.array_equal(bundled.boxes_of(codes[None] > 0)[0], extras["box"])
    depth = render_solids.DEPTH_NEAR + render_solids.DEPTH_STEP * (codes - 1.0)
    assert np.allclose(depth[codes > 0], extras["depth"][codes > 0], atol=1e-6)
    assert np.array_equal(pose, extras["pose"])
    assert (
        shipped.class_names[shipped.labels[index]]
        == (solid_shapes.CLASS_NAMES[index % 10])
    )


@pytest.mark.slow
def test_main_repeats_the_shipped_files(tmp_path):
    check_repeats_the_shipped_files(render_solids.main, "solids", tmp_path)


def test_a_skin_does_not_hang_on_the_last_bit_of_a_normal():
    """A face of an octahedron leans towards all three axes alike."""
    patch = np.random.default_rng(0).random((8, 8, 3))
    points = np.array([[0.3], [-0.2], [0.5]])
    normals = np.full((3, 1), 3**-0.5)
    colours = [
        render_solids.wrap_patch(patch, points, np.nextafter(normals, towards))
        for towards in (np.array([[0.0], [1], [1]]), np.array([[1.0], [0], [0]]))
    ]
    assert np.array_equal(*colours)


def test_write_domain_is_read_by_load_solids(tmp_path, monkeypatch):
    folder = tmp_path / "solids"
    folder.mkdir()
    render_solids.write_domain(folder, "studio", per_class=1)
    monkeypatch.setattr(profiles, "data_dir", lambda: tmp_path)
    solids = bundled.load_solids.__wrapped__("studio")
    assert np.array_equal(solids.images[3], render_solids.render("studio", 3)[0])
    assert len(solids) == 10 and len(list(folder.iterdir())) == 3


def test_trace_meets_a_ball_where_geometry_says():
    origin, rays = np.array([[0.0], [0], [5]]), np.array([[0.0, 0], [0, 1], [-1, 0]])
    walked = solid_shapes.trace(solid_shapes.sphere, origin, rays)
    assert walked[0] == pytest.approx(5 - 0.78, abs=1e-3) and np.isinf(walked[1])


@pytest.mark.parametrize("shape", solid_shapes.SHAPES)
def test_shapes_never_overstate_the_distance(shape):
    rng = np.random.default_rng(0)
    start, end = rng.uniform(-1.5, 1.5, (2, 3, 500))
    gap = np.abs(shape(*end) - shape(*start))
    assert (gap <= np.sqrt(((end - start) ** 2).sum(0)) + 1e-9).all()


@pytest.mark.parametrize("shape", solid_shapes.SHAPES)
def test_shapes_fit_the_ball_that_trace_searches(shape):
    directions = np.random.default_rng(0).normal(size=(3, 2000))
    directions *= solid_shapes.BALL_RADIUS / np.sqrt((directions**2).sum(0))
    assert shape(*directions).min() > 0


def test_surface_normals_point_away_from_a_ball():
    points = np.eye(3) * 0.78
    normals = solid_shapes.surface_normals(solid_shapes.sphere, points)
    assert np.allclose(normals, np.eye(3), atol=1e-3)


def test_light_reaching_is_dark_behind_a_ball():
    points = np.array([[0.0, 3.0], [-0.9, 0.0], [0.0, 0.0]])
    share = solid_shapes.light_reaching(
        solid_shapes.sphere, points, np.array([0.0, 1.0, 0.0])
    )
    assert share[0] == 0 and share[1] == 1


def test_rotation_matrix_turns_a_quarter_about_z():
    half = np.sqrt(0.5)
    turned = solid_shapes.rotation_matrix((half, 0, 0, half)) @ [1, 0, 0]
    assert np.allclose(turned, [0, 1, 0])


def test_draw_pose_keeps_the_shape_upright_and_in_view():
    rng, up = np.random.default_rng(0), np.array([0, np.cos(0.5), np.sin(0.5)])
    for _ in range(50):
        pose = render_solids.draw_pose(rng, up)
        axis = solid_shapes.rotation_matrix(pose)[:, 1]
        assert axis @ up > np.cos(np.radians(30)) - 1e-6
        assert 0.2 - 1e-6 < axis[2] < 0.85 + 1e-6
