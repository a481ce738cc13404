import numpy as np
import pytest
from pictures_of_own import bytes_of, dark_and_bright, drawn, odd_folder, write
from PIL import Image

from tl_helpers.fitting import inspect_folder
from tl_helpers.fitting.copies import find_look_alikes
from tl_helpers.fitting.protocol import hold_out_test


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    folder = odd_folder(tmp_path_factory.mktemp("odd"))
    before = bytes_of(folder)
    found = inspect_folder(folder)
    assert bytes_of(folder) == before
    return found


def test_inspection_counts_every_format(odd):
    assert odd.class_names == ("bright", "dark", "other")
    assert odd.counts["bright"] == {"files": 8, "train": 8, "test": 0}
    assert odd.counts["dark"] == {"files": 12, "train": 10, "test": 0}
    assert odd.train.class_counts() == {"bright": 8, "dark": 10, "other": 6}


def test_inspection_names_broken_files_and_says_why(odd):
    assert list(odd.broken) == ["dark/broken.jpg", "dark/notes.txt"]
    assert "no format that Pillow knows" in odd.broken["dark/notes.txt"]


def test_inspection_leaves_out_classes_of_one_image_and_of_none(odd):
    assert odd.left_out == {
        "lonely": "1 usable image, where 3 are the least",
        "empty": "0 usable images, where 3 are the least",
    }
    assert odd.loose == ["readme.md"]


def test_inspection_tells_sizes(odd):
    assert odd.sizes["median"] == [96, 80]


def test_one_class_only_is_refused(tmp_path):
    dark_and_bright(tmp_path, 4, names=("dark",))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"Got 1 classes .*empty: 0 usable"):
        inspect_folder(tmp_path)


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="check the path"):
        inspect_folder(tmp_path / "nowhere")


def test_one_picture_in_two_classes_is_used_in_neither(tmp_path):
    dark_and_bright(tmp_path, 4)
    write(tmp_path / "dark/again.jpg", drawn(0, 150), quality=90)
    found = inspect_folder(tmp_path)
    assert found.contradictions == [["bright/000.png", "dark/again.jpg"]]
    assert found.train.class_counts() == {"bright": 3, "dark": 4}


def test_a_copy_in_its_class_is_used_once(tmp_path):
    dark_and_bright(tmp_path, 4)
    (tmp_path / "dark/z.png").write_bytes((tmp_path / "dark/000.png").read_bytes())
    large = Image.fromarray(drawn(1001, 0)).resize((240, 200), Image.Resampling.BICUBIC)
    large.save(tmp_path / "dark/larger.jpg", quality=92)
    found = inspect_folder(tmp_path)
    assert sorted(found.copies) == [
        ["dark/000.png", "dark/z.png"],
        ["dark/001.png", "dark/larger.jpg"],
    ]
    assert found.train.class_counts()["dark"] == 4


@pytest.mark.parametrize("inner", ["", "train"])
def test_a_test_folder_is_kept_apart_and_its_pictures_out_of_training(tmp_path, inner):
    dark_and_bright(tmp_path / inner, 5)
    dark_and_bright(tmp_path / "test", 3, first=50)
    write(tmp_path / inner / "dark/leak.webp", drawn(1050, 0), lossless=True)
    found = inspect_folder(tmp_path)
    leak = f"{inner}/dark/leak.webp".lstrip("/")
    assert found.leaks == [["test/dark/000.png", leak]]
    train, test = hold_out_test(found)
    assert (len(train), len(test)) == (10, 6)
    assert all("/test/" in path for path in test.images.paths)


def test_a_class_may_be_called_test(tmp_path):
    dark_and_bright(tmp_path, 4, names=("dark", "test"))
    assert inspect_folder(tmp_path).class_names == ("dark", "test")


def test_validation_folders_teach_as_well(tmp_path):
    dark_and_bright(tmp_path / "train", 4)
    dark_and_bright(tmp_path / "val", 2, first=70)
    assert inspect_folder(tmp_path).train.class_counts() == {"bright": 6, "dark": 6}


def test_without_test_folder_a_quarter_of_every_class_is_held_out(tmp_path):
    found = inspect_folder(dark_and_bright(tmp_path, 8))
    train, test = hold_out_test(found)
    assert test.class_counts() == {"bright": 2, "dark": 2}
    assert not set(train.images.paths) & set(test.images.paths)


def test_look_alikes_are_not_what_differs_in_one_small_place():
    one = np.stack([drawn(1, 60, (32, 32))] * 4)
    one[1] = one[1] + np.uint8(2)  # brighter by a hair
    one[2, 10:14, 10:14] = 255  # a small object
    one[3] = one[3][:, ::-1]
    groups = find_look_alikes(one)
    assert groups[0] == groups[1]
    assert len({groups[0], groups[2], groups[3]}) == 3


def test_even_surfaces_are_alike_only_if_they_are_equal():
    rng = np.random.default_rng(0)
    noise = rng.integers(100, 103, (6, 32, 32, 3), np.uint8)
    noise[5] = noise[0]
    assert find_look_alikes(noise).tolist() == [0, 1, 2, 3, 4, 0]
