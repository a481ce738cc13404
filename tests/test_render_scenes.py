"""The renderer of scenes: shipped files come out of it again, and it keeps its word."""

import numpy as np
import pytest
from renderers import SCRIPTS, check_repeats_the_shipped_files, script

from tl_helpers.datasets import bundled

render_scenes = script("render_scenes")
render_solids = script("render_solids")


@pytest.mark.parametrize("domain", render_scenes.DOMAINS)
@pytest.mark.parametrize("index", [0, 7, 599])
def test_render_repeats_the_shipped_scene(domain, index):
    shipped = bundled.load_scenes(domain)
    image, objects, labels, visible = render_scenes.render(domain, index)
    extras = {name: values[index] for name, values in shipped.extras.items()}
    assert np.array_equal(image, shipped.images[index])
    assert np.array_equal(objects, extras["objects"])
    assert np.array_equal(labels, extras["box_labels"][: len(labels)])
    assert (extras["box_labels"][len(labels) :] == -1).all()
    np.testing.assert_allclose(visible, extras["visible"][: len(labels)], rtol=1e-6)


@pytest.mark.slow
def test_main_repeats_the_shipped_files(tmp_path):
    check_repeats_the_shipped_files(render_scenes.main, "scenes", tmp_path)


def test_files_stay_small():
    sizes = [path.stat().st_size for path in (SCRIPTS / "scenes").iterdir()]
    assert sum(sizes) <= 5_000_000


def test_no_object_is_hidden_more_than_the_sheet_says():
    for domain in render_scenes.DOMAINS:
        extras = bundled.load_scenes(domain).extras
        is_there = extras["box_labels"] >= 0
        assert extras["visible"][is_there].min() >= render_scenes.LEAST_VISIBLE
        assert (extras["visible"][is_there] < 0.999).mean() > 0.05  # some are hidden


def test_the_data_sheet_tells_the_truth():
    sheet = (SCRIPTS / "scenes.md").read_text()
    counts, shares, sides, hidden, touching = [], [], [], [], []
    for domain in render_scenes.DOMAINS:
        extras = bundled.load_scenes(domain).extras
        is_there = extras["box_labels"] >= 0
        boxes = extras["boxes"][is_there]
        counts.append(np.bincount(extras["box_labels"][is_there]))
        assert f"{is_there.sum():,} " in sheet
        shares.append((extras["pixel_labels"] == 0).mean())
        sides.append(np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))
        hidden.append(extras["visible"][is_there] < 0.995)
        touching.append((boxes[:, :2] <= 0).any(1) | (boxes[:, 2:] >= 96).any(1))
    assert np.min(counts) == 140
    low, middle, high = np.percentile(np.concatenate(sides), [5, 50, 95])
    assert low > 16 and round(middle) == 27 and high < 41
    assert round(np.concatenate(hidden).mean(), 1) == 0.4
    assert round(np.concatenate(touching).mean(), 2) == 0.07
    assert round(np.mean(shares), 2) == 0.84


def test_the_nearer_object_hides_the_other():
    """Two balls on one line of sight, then side by side."""
    ball = render_scenes.SHAPES[0]
    rays = render_solids.camera_rays(render_scenes.RAYS_PX)

    def seen(*centres):
        things = [
            {"label": 0, "shape": ball, "rotation": np.eye(3), "scale": 0.5}
            | {"centre": np.array(centre, float)}
            for centre in centres
        ]
        first, _, alone = render_scenes.see_objects({"objects": things}, rays)
        objects = render_scenes.instance_map(first, len(things))
        return objects, render_scenes.visible_shares(objects, alone)

    objects, visible = seen([0, 0, 1], [0, 0, -1])
    assert set(np.unique(objects)) == {0, 1} and visible.tolist() == [1, 0]
    objects, visible = seen([-0.8, 0, 0], [0.8, 0, 0])
    assert (objects == 1).sum() == (objects == 2).sum() > 50
    assert visible.tolist() == [1, 1]
    assert not (objects[:, :48] == 2).any()  # the first stands on the left
