"""A folder of one's own: loaded, or one sentence that says what is wrong."""

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tl_helpers.datasets.files import ImageFiles
from tl_helpers.datasets.folder import load_folder
from tl_helpers.datasets.splitting import split


@pytest.fixture
def pets(tmp_path):
    """Three cats in 40, two dogs in 200, one of them in a folder below."""
    (tmp_path / "dogs" / "holiday").mkdir(parents=True)
    (tmp_path / "cats").mkdir()
    for i in range(3):
        Image.new("L", (9, 9 + i), 40).save(tmp_path / "cats" / f"{i}.png")
    Image.new("L", (9, 9), 200).save(tmp_path / "dogs" / "0.png")
    Image.new("L", (9, 10), 200).save(tmp_path / "dogs" / "holiday" / "1.png")
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


CLUTTER = ("@eaDir", "Icon\r", "ehthumbs.db", "$RECYCLE.BIN", "#recycle", "Thumbs.db")


@pytest.mark.parametrize("name", CLUTTER)
@pytest.mark.parametrize("place", [".", "cats"])
def test_load_folder_ignores_what_systems_leave(pets, name, place):
    (pets / place / name).mkdir()
    (pets / place / name / "a.png").write_text("x")
    assert load_folder(pets).class_names == ("cats", "dogs")
    shutil.rmtree(pets / place / name)
    (pets / place / name).write_text("x")
    assert len(load_folder(pets)) == 5


@pytest.mark.parametrize("place", ["cats", "dogs/holiday"])
def test_load_folder_reports_a_link_back_to_a_folder_above(pets, place):
    (pets / place / "again").symlink_to(pets)
    with pytest.raises(ValueError, match="1 files.*(?s:.*)again is a .* link led"):
        load_folder(pets)
    with pytest.warns(UserWarning, match="again is a folder"):
        assert len(load_folder(pets, skip_bad=True)) == 5


def test_load_folder_follows_other_links(pets, tmp_path):
    (pets / "dogs").rename(pets / ".elsewhere")
    (pets / "dogs").symlink_to(pets / ".elsewhere")
    assert load_folder(pets).class_counts() == {"cats": 3, "dogs": 2}
    (pets / "dogs" / "twin").symlink_to(pets / ".elsewhere" / "holiday")
    with pytest.raises(ValueError, match="1 files.*(?s:.*) that a link led to before"):
        load_folder(pets)


def test_load_folder_reports_a_link_to_itself(pets):
    (pets / "cats" / "self").symlink_to(pets / "cats" / "self")
    with pytest.raises(ValueError, match="1 files.*(?s:.*)levels of symbolic links"):
        load_folder(pets)


def test_load_folder_enters_a_folder_once_however_many_links_lead_there(pets):
    """Two links a level would make 2^30 paths of 30 levels."""
    for level in range(30):
        (pets / f".{level}").mkdir()
        for name in "ab":
            (pets / f".{level}" / name).symlink_to(pets / f".{level + 1}")
    (pets / ".30").mkdir()
    (pets / "cats" / "links").symlink_to(pets / ".0")
    with pytest.raises(ValueError, match="30 files"):
        load_folder(pets)


@pytest.mark.parametrize("skip_bad", [False, True])
def test_load_folder_does_not_wait_at_a_pipe(pets, skip_bad):
    os.mkfifo(pets / "cats" / "a.png")
    (pets / "cats" / "gone.png").symlink_to(pets / "nowhere.png")
    if skip_bad:
        with pytest.warns(UserWarning, match="a.png is a pipe(?s:.*)gone.png"):
            assert len(load_folder(pets, skip_bad=True)) == 5
    else:
        with pytest.raises(ValueError, match="a.png is a pipe(?s:.*)gone.png"):
            load_folder(pets)


def test_load_folder_refuses_a_pipe_beside_the_classes(pets):
    os.mkfifo(pets / "pipe")
    with pytest.raises(ValueError, match="1 files directly in.*'pipe'"):
        load_folder(pets)


@pytest.mark.parametrize("place", ["", "cats", "dogs/holiday"])
def test_load_folder_reports_a_folder_that_cannot_be_read(pets, place, monkeypatch):
    """These tests may run as root, which may read everything."""
    scandir, listdir = os.scandir, os.listdir

    def refuse(real, path="."):
        if Path(path) == pets / place:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", lambda *given: refuse(scandir, *given))
    monkeypatch.setattr(os, "listdir", lambda *given: refuse(listdir, *given))
    expected = "cannot be listed" if place else "may not be listed"
    with pytest.raises((ValueError, PermissionError), match=expected) as error:
        load_folder(pets)
    assert str(pets / place) in str(error.value)


def test_load_folder_tells_of_one_name_in_two_unicode_forms(pets):
    for form in ("NFC", "NFD"):
        folder = pets / unicodedata.normalize(
            form, "\N{LATIN SMALL LETTER E WITH ACUTE}"
        )
        folder.mkdir()
        Image.new("L", (9, 30), 90).save(folder / "a.png")
    with pytest.raises(ValueError, match="Got two folders in .* one composed .*NFC"):
        load_folder(pets)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_load_folder_composes_the_names_of_classes(pets, form):
    name = "caf\N{LATIN SMALL LETTER E WITH ACUTE}"
    (pets / "cats").rename(pets / unicodedata.normalize(form, name))
    assert load_folder(pets).class_names == (name, "dogs")
    named = ("dogs", unicodedata.normalize("NFD", name))
    assert load_folder(pets, class_names=named).class_counts() == {"dogs": 2, name: 3}


def test_load_folder_tells_of_copies_and_split_can_group_them(pets):
    for i in range(3):
        shutil.copy(pets / "cats" / "0.png", pets / "cats" / f"copy{i}.png")
    sentence = "Got 3 byte-identical copies among 8 images .*0.png and cats/copy0.png"
    with pytest.warns(UserWarning, match=sentence):
        images = load_folder(pets)
    for seed in range(5):
        parts = split(images, 0.5, 0.5, groups=images.images.copies, seed=seed)
        sides = [{Path(x).read_bytes() for x in part.images.paths} for part in parts]
        assert not sides[0] & sides[1]


def test_load_folder_tells_of_one_image_in_two_classes(pets, recwarn):
    os.link(pets / "cats" / "1.png", pets / "dogs" / "tom.png")
    load_folder(pets)
    assert "Got 1 images in two classes (such as cats/1.png and dogs/tom.png)" in str(
        recwarn.list[0].message
    )


def deep(folder, value, number, kind=np.uint16):
    """Save a file of three grey levels: none, the least of its kind, and `value`."""
    folder.mkdir(exist_ok=True)
    pixels = np.zeros((8, 9 + number), kind)
    pixels[:, :7] = value
    pixels[:, 8] = 1 if kind == np.uint16 else 0
    Image.fromarray(pixels).save(folder / f"{number}.tif")


@pytest.mark.parametrize(
    "value, levels, offered",
    [
        (4095, 17, "0, 4095"),  # 12 bits
        (1023, 5, "0, 1023"),
        (16383, 65, "0, 16383"),
        (1500, 7, "0, 2047"),  # depth in mm
        (255, 2, "0, 255"),
    ],
)
def test_load_folder_judges_the_range_of_the_whole_set(
    tmp_path, value, levels, offered
):
    for number in range(20):
        deep(tmp_path / "ab"[number % 2], value, number)
    deep(tmp_path / "a", 65535, 20)  # one file of another kind does not hide them
    sentence = rf"makes {levels} of 256.*pixel_range=\({offered}\); \(0, 65535\) keeps"
    with pytest.warns(UserWarning, match=sentence):
        dark = load_folder(tmp_path, 8)
    assert dark.pixels()[0].max() == round(value / 257)


def test_load_folder_takes_a_range_and_says_what_lies_beyond(tmp_path, recwarn):
    for number, folder in enumerate("aabb"):
        deep(tmp_path / folder, 4095, number)
    images = load_folder(tmp_path, 8, pixel_range=(0, 4095))
    assert images.pixels()[0].max() == 255 and not recwarn.list
    assert load_folder(tmp_path, 8, pixel_range=(0, 65535)) and not recwarn.list
    with pytest.warns(UserWarning, match="from 1 to 4095, expected all within"):
        load_folder(tmp_path, 8, pixel_range=(0, 255))


def test_load_folder_asks_for_the_range_of_floats(tmp_path):
    for number, folder in enumerate("aabb"):
        deep(tmp_path / folder, 1 / (1 + number), number, np.float32)
    sentence = r"Got 4 files with values from 0 to 1, .*pixel_range=\(0, 1\)"
    with pytest.raises(ValueError, match=sentence):
        load_folder(tmp_path)
    images = load_folder(tmp_path, 8, pixel_range=(0, 1))
    assert images.pixels().max(axis=(1, 2, 3)).tolist() == [255, 128, 85, 64]


def test_load_folder_judges_full_ranges_without_a_word(tmp_path, recwarn):
    for number, folder in enumerate("aabb"):
        deep(tmp_path / folder, 40_000, number)
    load_folder(tmp_path, 8)
    assert not recwarn.list


def test_load_folder_tells_of_files_that_are_almost_black(tmp_path):
    for number, folder in enumerate("aabb"):
        deep(tmp_path / folder, 1, number, np.uint8)
    with pytest.warns(
        UserWarning, match="4 files of 8 bits .* from 0 to 1, .* 2 of 256"
    ):
        load_folder(tmp_path, 8)


@pytest.mark.parametrize("wrong", [(1, 0), (0, 0), 5, (0, np.nan), "ab", (0, 1, 2)])
def test_load_folder_refuses_what_is_no_range(pets, wrong):
    with pytest.raises(ValueError, match="Got pixel_range=.*give .0, 4095"):
        load_folder(pets, pixel_range=wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": None},
        {"path": 3},
        {"size_px": 0},
        {"size_px": 64.5},
        {"size_px": (64, 64)},
        {"skip_bad": "no"},
    ],
)
def test_load_folder_refuses_wrong_arguments(pets, wrong):
    with pytest.raises(ValueError, match=f"Got {next(iter(wrong))}.*expected"):
        load_folder(**{"path": pets, **wrong})


def test_load_folder_refuses_a_range_for_8_bits(pets):
    with pytest.raises(ValueError, match="files of 8 bits.*leave it out"):
        load_folder(pets, pixel_range=(0, 4095))


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


def test_load_folder_tells_of_the_level_before_loose_files(pets, tmp_path):
    for part in ("train", "test"):
        shutil.copytree(pets / "cats", tmp_path / "all" / part / "cats")
    (tmp_path / "all" / "README.txt").write_text("x")
    with pytest.raises(ValueError, match="Got folders test, train .*, which are parts"):
        load_folder(tmp_path / "all")


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
