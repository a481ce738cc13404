"""Bundled sets: sizes, annotations, balance, and what a damaged file says."""

import shutil

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler

from tl_helpers import datasets, profiles
from tl_helpers.datasets import bundled

DOMAINS = bundled.BUNDLED["solids"].parts
EVERY_PART = [(name, part) for name, row in bundled.BUNDLED.items() for part in row[1]]


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A copy of the shipped solids that a test may damage."""
    folder = tmp_path / "solids"
    shutil.copytree(profiles.data_dir() / "solids", folder)
    monkeypatch.setattr(profiles, "data_dir", lambda: tmp_path)
    return folder


@pytest.mark.parametrize(("name", "part"), EVERY_PART)
def test_load_gives_its_classes_with_provenance(name, part):
    image_set = bundled.BUNDLED[name].load(part)
    counts = image_set.class_counts().values()
    if name == "phantom_lungs":  # few are suspicious, as its sheet says
        assert list(counts)[1] < 0.4 * len(image_set) and len(counts) == 2
    elif name == "drawn_faces":
        assert set(counts) == {20}
    else:
        assert len(counts) == 10
        assert max(counts) - min(counts) <= (60 if name == "scenes" else 10)
    assert image_set.provenance.licence and image_set.provenance.citation


@pytest.mark.parametrize("domain", DOMAINS)
def test_load_solids_is_balanced_and_large_enough(domain):
    solids = bundled.load_solids(domain)
    assert len(set(solids.class_counts().values())) == 1
    assert len(solids) >= 1500 and solids.images.shape[1:] == (64, 64, 3)


def test_load_solids_holds_no_image_twice():
    images = np.concatenate([bundled.load_solids(part).images for part in DOMAINS])
    assert len({image.tobytes() for image in images}) == len(images)


@pytest.mark.parametrize("domain", DOMAINS)
def test_load_solids_box_is_the_extent_of_the_mask(domain):
    extras = bundled.load_solids(domain).extras
    for mask, (x0, y0, x1, y1) in zip(extras["mask"], extras["box"], strict=True):
        rows, columns = np.nonzero(mask)
        assert (x0, y0) == (columns.min(), rows.min())
        assert (x1, y1) == (columns.max() + 1, rows.max() + 1)


@pytest.mark.parametrize("domain", DOMAINS)
def test_load_solids_depth_is_known_exactly_on_the_mask(domain):
    extras = bundled.load_solids(domain).extras
    assert np.array_equal(np.isfinite(extras["depth"]), extras["mask"])
    # The camera stands at 6 and no shape reaches further than 1.1 * 1.6 from 0.
    assert np.nanmin(extras["depth"]) > 4.1 and np.nanmax(extras["depth"]) < 7.9


@pytest.mark.parametrize("domain", DOMAINS)
def test_load_solids_pose_is_a_unit_quaternion(domain):
    pose = bundled.load_solids(domain).extras["pose"]
    assert pose.shape[1] == 4 and (pose[:, 0] >= 0).all()
    assert np.allclose((pose**2).sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("domain", DOMAINS)
def test_load_solids_class_cannot_be_told_from_the_colour(domain):
    solids = bundled.load_solids(domain)
    pixels, masks = solids.images.astype(float), solids.extras["mask"]
    colours = [image[mask].mean(0) for image, mask in zip(pixels, masks, strict=True)]
    colours = np.hstack([np.array(colours), pixels.mean((1, 2))])
    colours = StandardScaler().fit_transform(colours)
    scores = cross_val_score(LogisticRegression(), colours, solids.labels)
    assert scores.mean() < 0.2  # chance is 0.1


def test_load_solids_missing_file_is_one_sentence(shipped):
    (shipped / "studio.webp").unlink()
    with pytest.raises(FileNotFoundError, match=r"no file .*studio\.webp.*reinstall"):
        bundled.load_solids.__wrapped__("studio")


@pytest.mark.parametrize("name", ["photo.webp", "photo_depth.webp", "photo.npz"])
def test_load_solids_truncated_file_is_one_sentence(shipped, name):
    path = shipped / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"damaged file .*{name}.*reinstall"):
        bundled.load_solids.__wrapped__("photo")


def test_load_solids_refuses_a_pickle(shipped):
    labels = np.array([{"not": "labels"}], dtype=object)
    np.savez(shipped / "studio.npz", labels=labels, allow_pickle=True)
    with pytest.raises(ValueError, match="damaged file"):
        bundled.load_solids.__wrapped__("studio")


def test_boxes_of_hand_drawn_mask():
    mask = np.zeros((1, 5, 6), bool)
    mask[0, 1, 2] = mask[0, 3, 4] = True
    assert bundled.boxes_of(mask).tolist() == [[2, 1, 5, 4]]


def test_load_digits_on_photos_is_the_difference_of_digit_and_patch():
    from sklearn.datasets import load_sample_images

    mixed, plain = bundled.load_digits_on_photos(), bundled.load_digits()
    photographs = load_sample_images().images
    for row in (0, 7, 1796):
        number, top, left = mixed.extras["patch"][row]
        crop = photographs[number][top : top + 32, left : left + 32].astype(int)
        assert np.array_equal(mixed.images[row], abs(crop - plain.images[row]))


def test_load_digits_keeps_every_label_of_scikit_learn():
    from sklearn.datasets import load_digits

    assert np.array_equal(bundled.load_digits().labels, load_digits().target)


@pytest.mark.parametrize("name", ["digits_on_photos", "printed_digits"])
def test_digits_are_the_same_when_made_again(name):
    load = bundled.BUNDLED[name].load
    assert np.array_equal(load().images, load.__wrapped__().images)


def test_load_printed_digits_uses_every_font_and_cuts_nothing_off():
    printed = bundled.load_printed_digits()
    assert set(printed.extras["font"]) == set(range(len(bundled.FONTS)))
    ink = printed.images[..., 0] > 128
    assert ink.any((1, 2)).all()
    border = ink[:, [0, -1]].any((1, 2)) | ink[:, :, [0, -1]].any((1, 2))
    assert border.mean() < 0.01


def test_load_resizes_bundled_images():
    small = datasets.load("printed_digits", size_px=8)
    whole = datasets.load("printed_digits")
    assert small.images.shape[1:] == (8, 8, 3)
    np.testing.assert_array_equal(small.labels, whole.labels)
    blocks = whole.images.reshape(-1, 8, 4, 8, 4, 3).mean(axis=(2, 4))
    assert np.corrcoef(small.images.ravel(), blocks.ravel())[0, 1] > 0.95


def test_data_folder_stays_under_21_megabytes():
    folder = profiles.data_dir()
    shipped = [path for path in folder.rglob("*") if "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in shipped if path.is_file()) < 21e6
