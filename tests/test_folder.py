"""A folder of one's own: loaded, or one sentence that says what is wrong."""

import shutil

import numpy as np
import pytest
from PIL import Image

from tl_helpers.datasets.files import ImageFiles
from tl_helpers.datasets.folder import load_folder


@pytest.fixture
def pets(tmp_path):
    """Three cats in 40, two dogs in 200, one of them in a folder below."""
    (tmp_path / "dogs" / "holiday").mkdir(parents=True)
    (tmp_path / "cats").mkdir()
    for i in range(3):
        Image.new("L", (9, 9), 40).save(tmp_path / "cats" / f"{i}.png")
    Image.new("L", (9, 9), 200).save(tmp_path / "dogs" / "0.png")
    Image.new("L", (9, 9), 200).save(tmp_path / "dogs" / "holiday" / "1.png")
    return tmp_path


def test_load_folder_reads_one_class_a_folder(pets):
    images = load_folder(pets, size_px=8)
    assert images.class_names == ("cats", "dogs")
    assert images.class_counts() == {"cats": 3, "dogs": 2}
    assert images.pixels()[:, 0, 0, 0].tolist() == [40, 40, 40, 200, 200]
    assert isinstance(images.images, ImageFiles) and str(pets) in str(images.provenance)


def test_load_folder_ignores_hidden_files(pets):
    (pets / ".DS_Store").write_text("x")
    (pets / "cats" / "Thumbs.db").write_text("x")
    (pets / ".ipynb_checkpoints").mkdir()
    assert len(load_folder(pets)) == 5


def test_load_folder_names_bad_files(pets):
    (pets / "cats" / "note.txt").write_text("x")
    (pets / "dogs" / "half.png").write_bytes(
        (pets / "dogs" / "0.png").read_bytes()[:50]
    )
    with pytest.raises(ValueError, match="2 files in.*(?s:.*)skip_bad=True") as error:
        load_folder(pets)
    assert "note.txt" in str(error.value) and "half.png" in str(error.value)


def test_load_folder_skips_bad_files_when_told_and_says_which(pets):
    (pets / "cats" / "note.txt").write_text("x")
    with pytest.warns(UserWarning, match=r"Skipped: 1 files(?s:.*)note.txt"):
        images = load_folder(pets, skip_bad=True)
    assert images.class_counts() == {"cats": 3, "dogs": 2}


def test_load_folder_shows_ten_bad_files_and_a_count(pets):
    for i in range(14):
        (pets / "cats" / f"bad{i:02}.png").write_text("x")
    with pytest.raises(ValueError, match="14 files in.*(?s:.*)and 4 more") as error:
        load_folder(pets)
    assert str(error.value).count(".png (class") == 10


def test_load_folder_says_when_skipping_empties_a_class(pets):
    (pets / "birds").mkdir()
    (pets / "birds" / "a.png").write_text("x")
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="folder 'birds'"):
        load_folder(pets, skip_bad=True)


def test_load_folder_without_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no folder"):
        load_folder(tmp_path / "nowhere")


def test_load_folder_with_an_empty_folder(tmp_path):
    with pytest.raises(ValueError, match="which is empty"):
        load_folder(tmp_path)


def test_load_folder_with_an_empty_class(pets):
    (pets / "birds").mkdir()
    with pytest.raises(ValueError, match="no readable image in class folder 'birds'"):
        load_folder(pets)


def test_load_folder_with_one_class(tmp_path):
    (tmp_path / "cats").mkdir()
    with pytest.raises(ValueError, match="Got one class folder.*'cats'"):
        load_folder(tmp_path)


def test_load_folder_numbers_the_classes_of_another_set(pets):
    """Trained on bird, cat and dog, validated where no bird was seen."""
    images = load_folder(pets, 8, class_names=("birds", "cats", "dogs"))
    assert images.class_counts() == {"birds": 0, "cats": 3, "dogs": 2}
    assert images.labels.tolist() == [1, 1, 1, 2, 2]
    turned = load_folder(pets, 8, class_names=["dogs", "cats"])
    assert turned.class_counts() == {"dogs": 2, "cats": 3}
    assert turned.pixels()[:, 0, 0, 0].tolist() == [40, 40, 40, 200, 200]


def test_load_folder_takes_one_class_of_those_that_are_named(pets):
    (pets / "dogs").rename(pets / ".hidden")
    images = load_folder(pets, 8, class_names=("birds", "cats"))
    assert images.labels.tolist() == [1, 1, 1]


def test_load_folder_refuses_a_class_that_is_not_named(pets):
    with pytest.raises(ValueError, match="Got class folder 'dogs' .*only birds, cats"):
        load_folder(pets, class_names=("birds", "cats"))


@pytest.mark.parametrize(
    "parts", [("train", "val"), ("Test", "Training"), ("seg_test", "seg_train", "x")]
)
def test_load_folder_tells_of_a_level_too_high(pets, tmp_path, parts):
    for part in parts:
        shutil.copytree(pets / "cats", tmp_path / "all" / part / "cats")
    with pytest.raises(ValueError, match=r"which are parts .*[tT]rain.*, and the oth"):
        load_folder(tmp_path / "all")
    assert len(load_folder(tmp_path / "all", 8, class_names=parts)) == 3 * len(parts)


def test_load_folder_warns_where_every_class_holds_the_same_folders(pets, tmp_path):
    for domain in ("photo", "sketch"):
        shutil.copytree(pets / "cats", tmp_path / "all" / domain / "cat")
        shutil.copytree(pets / "dogs", tmp_path / "all" / domain / "dog")
    with pytest.warns(UserWarning, match="photo, sketch .* each of them holds cat, do"):
        load_folder(tmp_path / "all", 8)


def test_load_folder_with_images_beside_the_classes(pets):
    Image.new("L", (9, 9)).save(pets / "loose.png")
    with pytest.raises(ValueError, match="1 files directly in.*'loose.png'"):
        load_folder(pets)


def test_load_folder_splits_and_batches_like_any_set(pets):
    images = load_folder(pets, size_px=8)[np.array([0, 4])]
    (pixels, labels), *_ = images.batches(2)
    assert pixels.shape == (2, 8, 8, 3) and labels.numpy().tolist() == [0, 1]
