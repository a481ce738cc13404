"""The official pairs: read as written, and only where both images are there."""

import numpy as np
import pytest
from loopback import loopback_fixture  # noqa: F401 (used by name)
from PIL import Image
from test_real import jpeg, official, tar  # noqa: F401, a fixture

from tl_helpers import datasets, evaluation
from tl_helpers.datasets import load_folder, load_real, read_pairs
from tl_helpers.datasets.lfw import lfw_pairs

LINES = "2\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\nBob\t1\t2\nBob\t2\tAnn\t2\n"


@pytest.fixture
def faces(tmp_path):
    """Two people, two pictures each, in files named as LFW names them."""
    for shade, name in enumerate(("Ann", "Bob")):
        for number in (1, 2):
            path = tmp_path / "faces" / name / f"{name}_{number:04}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (40 * number, 90 * shade, 0)).save(path)
    return load_folder(tmp_path / "faces", size_px=8)


@pytest.fixture
def listed(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text(LINES)
    return path


def test_read_pairs_by_hand(faces, listed):
    pairs = read_pairs(listed, faces)
    assert pairs.first.tolist() == [0, 0, 2, 3]
    assert pairs.second.tolist() == [1, 2, 3, 1]
    assert pairs.is_same.tolist() == [1, 0, 1, 0] and pairs.fold.tolist() == [
        0,
        0,
        1,
        1,
    ]
    values = np.array([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1]])
    distances = evaluation.cosine_distances(values, pairs)
    assert evaluation.fold_accuracies(distances, pairs).tolist() == [1, 1]


def test_read_pairs_counts_what_is_not_there(faces, listed):
    with pytest.warns(UserWarning, match="2 pairs of 4, 2 were left out"):
        pairs = read_pairs(listed, faces[[0, 2, 3]])
    assert pairs.first.tolist() == [0, 1] and pairs.second.tolist() == [1, 2]
    assert pairs.is_same.tolist() == [0, 1] and pairs.fold.tolist() == [0, 1]
    with pytest.raises(ValueError, match="both images of none, expected some"):
        read_pairs(listed, faces[[0]])


@pytest.mark.parametrize(
    "text", ["", "Ann 1 2\n", LINES.replace("2\t1\n", "3\t1\n", 1), LINES + "Ann 1 2\n"]
)
def test_read_pairs_refuses_another_format(faces, listed, text):
    listed.write_text(text)
    with pytest.raises(ValueError, match="in another format, expected the folds"):
        read_pairs(listed, faces)


def test_read_pairs_refuses_images_without_names(listed):
    with pytest.raises(ValueError, match="images in memory, expected those of files"):
        read_pairs(listed, datasets.load("digits"))


def test_lfw_comes_from_its_archives(official):  # noqa: F811
    files = {
        f"lfw-deepfunneled/{name}/{name}_{number:04}.jpg": jpeg(60 * number)
        for name in ("Ann", "Bob")
        for number in (1, 2)
    }
    official("lfw", tar(files), LINES.encode())
    faces = load_real("lfw", size_px=8)
    assert faces.class_counts() == {"Ann": 2, "Bob": 2}
    assert lfw_pairs(faces).is_same.tolist() == [1, 0, 1, 0]


@pytest.mark.realdata
def test_the_mirrors_part_of_lfw_says_that_it_is_one(tmp_path):
    with pytest.warns(UserWarning, match="expected the 5,749 of lfw; this is a part"):
        faces = load_real("lfw")
    assert set(faces.class_counts().values()) == {20}
