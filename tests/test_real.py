"""Real data sets: tiny official archives over the loopback, and the mirror itself."""

import dataclasses
import io
import re
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from loopback import loopback_fixture  # noqa: F401 (used by name)
from PIL import Image

from tl_helpers import datasets
from tl_helpers.datasets import real
from tl_helpers.datasets.catalogue import HELPERS, REAL, Archive
from tl_helpers.datasets.places import targets_of
from tl_helpers.datasets.real import blend_with_patches, load_real
from tl_helpers.downloads import DownloadError
from tl_helpers.tools.mirror import mirror, verify


def jpeg(level=100, size=(8, 8)):
    buffer = io.BytesIO()
    Image.new("RGB", size, (level,) * 3).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def tar(files, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def mnist_npz():
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        x_train=rng.integers(0, 256, (12, 28, 28), np.uint8),
        y_train=np.arange(12, dtype=np.uint8) % 10,
        x_test=rng.integers(0, 256, (3, 28, 28), np.uint8),
        y_test=np.arange(3, dtype=np.uint8),
    )
    return buffer.getvalue()


@pytest.fixture
def official(loopback, monkeypatch, tmp_path):
    """Return a function that serves fake archives in place of a set's own.

    The fakes hold two classes.
    """
    monkeypatch.delenv("TL_DATA_DIR", raising=False)
    monkeypatch.setenv("TL_CACHE_DIR", str(tmp_path / "cache"))

    def serve(name, *contents, role="whole", num_classes=2):
        table = REAL if name in REAL else HELPERS
        archives = tuple(
            Archive(loopback.url(role, archive.file_name, content))
            for archive, content in zip(table[name].archives, contents, strict=True)
        )
        spec = dataclasses.replace(
            table[name], archives=archives, num_classes=num_classes
        )
        monkeypatch.setitem(table, name, spec)
        return loopback

    return serve


def test_mnist_comes_as_rgb_and_is_fetched_once(official):
    server = official("mnist", mnist_npz())
    train, test = load_real("mnist"), load_real("mnist", "test")
    assert train.images.shape == (12, 28, 28, 3) and len(test) == 3
    assert (train.images[..., 0] == train.images[..., 2]).all()
    assert train.labels.tolist() == [*range(10), 0, 1]
    assert server.hits == {"mnist.npz": 1}


def test_mnist_can_be_resized(official):
    official("mnist", mnist_npz())
    assert load_real("mnist", size_px=32).images.shape == (12, 32, 32, 3)


def test_cifar10_keeps_pixels_and_labels_of_the_binary_archive(official):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (7, 3, 32, 32), np.uint8)
    records = [bytes([i % 2]) + planes.tobytes() for i, planes in enumerate(pixels)]
    folder = "cifar-10-batches-bin"
    files = {f"{folder}/data_batch_{i + 1}.bin": records[i] for i in range(5)}
    files[f"{folder}/test_batch.bin"] = records[5] + records[6]
    files[f"{folder}/batches.meta.txt"] = b"airplane\nautomobile\n\n"
    official("cifar10", tar(files))
    train, test = load_real("cifar10"), load_real("cifar10", "test")
    assert train.class_counts() == {"airplane": 3, "automobile": 2}
    expected = pixels[[0, 2, 4, 1, 3]].transpose(0, 2, 3, 1)
    assert np.array_equal(train.pixels(), expected)
    assert test.labels.tolist() == [0, 1]
    assert np.array_equal(test.pixels()[1], pixels[5].transpose(1, 2, 0))


def test_tiny_imagenet_sorts_val_and_names_classes(official):
    root = "tiny-imagenet-200"
    official(
        "tiny_imagenet",
        zipped(
            {
                f"{root}/wnids.txt": "n01\nn02\nn03\n",
                f"{root}/words.txt": "n01\ttoad, frog\nn02\tcrane\nn03\tcrane, bird\n",
                **{f"{root}/train/n0{i}/images/a.JPEG": jpeg() for i in (1, 2, 3)},
                f"{root}/train/n01/n01_boxes.txt": "",
                **{f"{root}/val/images/{i}.JPEG": jpeg() for i in (1, 2, 3)},
                f"{root}/val/val_annotations.txt": "".join(
                    f"{i}.JPEG\tn0{i}\t0\t0\t9\t9\n" for i in (1, 2, 3)
                ),
            }
        ),
        num_classes=3,
    )
    assert load_real("tiny_imagenet").class_names == ("toad", "n02", "n03")
    folder = real.find("tiny_imagenet")
    assert [p.name for p in folder.glob("val/n02/*")] == ["2.JPEG"]


def test_flowers_keep_the_photographers(official):
    root = "flower_photos"
    files = {f"{root}/roses/a.jpg": jpeg(10), f"{root}/tulips/b.jpg": jpeg(200)}
    official("flowers", tar({**files, f"{root}/LICENSE.txt": b"by someone"}))
    images = load_real("flowers", size_px=8)
    assert images.class_names == ("roses", "tulips") and len(images) == 2
    assert (real.find("flowers") / "LICENSE.txt").read_text() == "by someone"


def test_cats_and_dogs_names_the_files_it_leaves_out(official, capsys):
    files = {f"PetImages/{kind}/1.jpg": jpeg() for kind in ("Cat", "Dog")}
    files |= {"PetImages/Cat/666.jpg": b"", "PetImages/Cat/Thumbs.db": b"x"}
    official("cats_and_dogs", zipped(files))
    assert load_real("cats_and_dogs").class_counts() == {"cat": 1, "dog": 1}
    skipped = (real.find("cats_and_dogs") / "skipped.txt").read_text()
    assert skipped == "all/cat/666.jpg\n"
    assert "all/cat/666.jpg" in capsys.readouterr().err


def test_stanford_dogs_follows_the_official_lists(official, tmp_path):
    from scipy.io import savemat

    kinds = ("n01-Chow", "n02-black-and-tan")
    names = [f"{kind}/{kind[:3]}_{i}.jpg" for i in (1, 2) for kind in kinds]
    lists = {}
    for part, rows in {"train": names[2:], "test": names[:2]}.items():
        cells = np.array(rows, object).reshape(-1, 1)
        savemat(tmp_path / "list.mat", {"file_list": cells})
        lists[f"{part}_list.mat"] = (tmp_path / "list.mat").read_bytes()
    images = tar({f"Images/{name}": jpeg() for name in names}, "w")
    official("stanford_dogs", images, tar(lists, "w"))
    train = load_real("stanford_dogs")
    assert train.class_counts() == {"Chow": 1, "black-and-tan": 1}
    assert load_real("stanford_dogs", "test").images.paths[0].endswith("n01_1.jpg")


def trimap(rows):
    buffer = io.BytesIO()
    Image.fromarray(np.array(rows, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def pets(official):
    """Two photographs to learn from and two to test on, 16 wide and 8 high."""
    stems = ["Maine_Coon_1", "Maine_Coon_2", "pug_10", "pug_11"]
    rows = np.full((8, 16), 2)  # background
    rows[2:4, 5:11], rows[4, 5:11] = 1, 3  # pet, then its border
    unseen = np.full((8, 16), 2)
    unseen[:, :4] = 1  # outside the centre square
    lists = {
        "annotations/trainval.txt": b"#comment\nMaine_Coon_1 1 1 1\npug_10 2 2 1\n",
        "annotations/test.txt": b"Maine_Coon_2 1 1 1\npug_11 2 2 1\n",
        "annotations/trimaps/._pug_10.png": b"the system's own",
    }
    for stem, pixels in zip(stems, (rows, rows, unseen, rows), strict=True):
        lists[f"annotations/trimaps/{stem}.png"] = trimap(pixels)
    images = tar({f"images/{stem}.jpg": jpeg(size=(16, 8)) for stem in stems})
    official("oxford_pets", images, tar(lists))


def test_oxford_pets_follows_the_official_lists(pets):
    assert load_real("oxford_pets").class_counts() == {"Maine_Coon": 1, "pug": 1}
    assert load_real("oxford_pets", "test").labels.tolist() == [0, 1]


def test_oxford_pets_masks_are_the_pet_and_its_border_in_the_centre(pets):
    extras = load_real("oxford_pets", "test", size_px=8)[:1].extras
    expected = np.zeros((1, 8, 8), bool)
    expected[0, 2:5, 1:7] = True  # 16 x 8 px lose 4 columns on either side
    assert extras["mask"].dtype == bool
    assert np.array_equal(extras["mask"], expected)
    assert extras["box"].tolist() == [[1, 2, 7, 5]]


def test_oxford_pets_masks_are_enlarged_without_new_values(pets):
    extras = load_real("oxford_pets", "test", size_px=32)[:1].extras
    assert extras["mask"].sum() == 16 * 3 * 6
    assert extras["box"].tolist() == [[4, 8, 28, 20]]
    assert extras["box"].dtype == np.float32


def test_oxford_pets_box_is_absent_where_the_centre_shows_no_pet(pets):
    train = load_real("oxford_pets", size_px=8)
    assert np.isnan(train.extras["box"]).all(axis=1).tolist() == [False, True]
    assert not train.extras["mask"][1].any()
    assert train[1:].extras["mask"].shape == (1, 8, 8)


def test_oxford_pets_of_a_mirror_without_trimaps_come_without_extras(pets):
    load_real("oxford_pets")
    shutil.rmtree(real.find("oxford_pets") / "trimaps")
    train = load_real("oxford_pets")
    assert len(train) == 2 and train.extras == {}


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_oxford_pets_name_a_trimap_that_cannot_be_read(pets, content):
    load_real("oxford_pets")
    path = real.find("oxford_pets") / "trimaps" / "pug_10.png"
    path.write_bytes(content) if content else path.unlink()
    with pytest.raises(ValueError, match="Got mask .*pug_10.png.*fill it again"):
        load_real("oxford_pets")


def test_oxford_pets_labels_of_pixels_leave_the_border_open(pets):
    labels = load_real("oxford_pets", "test", size_px=8).extras["pixel_labels"]
    expected = np.zeros((2, 8, 8), np.uint8)
    expected[0, 2:4, 1:7], expected[1, 2:4, 1:7] = 1, 2  # of two breeds
    expected[:, 4, 1:7] = 255
    assert np.array_equal(labels, expected)


def mask(rows):
    return trimap(255 * np.array(rows, np.uint8))


def test_magnetic_tiles_keep_their_masks(official):
    root, files = "Magnetic-tile-defect-datasets.-master", {}
    defect = np.zeros((8, 4), int)  # 4 px wide, 8 high: the whole tile is kept
    defect[2:4, 3:] = 1
    for kind in ("Blowhole", "Break", "Crack", "Fray", "Free", "Uneven"):
        rows = 0 * defect if kind == "Free" else defect
        for number in (1, 2):
            path = f"{root}/MT_{kind}/Imgs/exp{number}_num_{kind}"
            files[f"{path}.jpg"] = jpeg(size=(4, 8))
            files[f"{path}.png"] = mask(rows)
    official("magnetic_tile", zipped(files), num_classes=6)
    tiles = load_real("magnetic_tile", size_px=8)
    assert tiles.class_names == tuple("blowhole break crack fray free uneven".split())
    assert set(tiles.class_counts().values()) == {2} and "group" not in tiles.extras
    wanted = np.full((12, 8, 8), 255)
    wanted[:, :, 2:6] = (1 + tiles.labels[:, None, None]) * defect
    wanted[tiles.labels == 4, :, 2:6] = 0
    assert np.array_equal(tiles.extras["pixel_labels"], wanted)
    assert not tiles.images[:, :, :2].any() and tiles.images[:, :, 2:6].min() > 90
    table = "file,group\n" + "".join(
        f"all/{name}/exp{i}_num_{name.title()}.jpg,{k}\n"
        for k, name in enumerate(tiles.class_names)
        for i in (1, 2)
    )
    (real.find("magnetic_tile") / "groups.csv").write_text(table)
    again = load_real("magnetic_tile", size_px=8)
    assert np.array_equal(again.extras["group"], again.labels)


@pytest.fixture
def steel(tmp_path, monkeypatch):
    """Two pictures a part; the second has no box, the first one of each class."""
    monkeypatch.setenv("TL_DATA_DIR", str(tmp_path))
    monkeypatch.setitem(
        REAL, "neu_det", dataclasses.replace(REAL["neu_det"], num_classes=2)
    )
    rows = ["file,class,x0,y0,x1,y1"]
    for part in ("train", "test"):
        for kind in ("patches", "scratches"):
            folder = tmp_path / "neu_det" / part / kind
            folder.mkdir(parents=True)
            (folder / "1.jpg").write_bytes(jpeg(size=(160, 160)))
        rows += [f"{part}/patches/1.jpg,patches,0,8,80,160"]
        rows += [f"{part}/patches/1.jpg,scratches,10.5,20,30,40"]
    (tmp_path / "neu_det" / "boxes.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "neu_det"


def test_steel_comes_with_boxes_of_any_class_in_px_of_the_image(steel):
    images = load_real("neu_det", size_px=80)
    assert images.images.shape == (2, 80, 80, 3)
    assert images.extras["box_labels"].tolist() == [[0, 1], [-1, -1]]
    assert images.extras["boxes"][0].tolist() == [[0, 4, 40, 80], [5.25, 10, 15, 20]]
    assert np.isnan(images.extras["boxes"][1]).all()
    (steel / "boxes.csv").unlink()
    with pytest.raises(
        FileNotFoundError, match="without boxes.csv, expected it beside"
    ):
        load_real("neu_det")


def svhn_mat(labels, seed=0):
    """An official file with random pixels, and the pixels (32, 32, 3, n)."""
    from scipy.io import savemat

    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (32, 32, 3, len(labels)), np.uint8)
    buffer = io.BytesIO()
    savemat(buffer, {"X": pixels, "y": np.array(labels, np.uint8)[:, None]})
    return buffer.getvalue(), pixels


def test_svhn_is_fetched_once_and_keeps_pixels_in_place(official):
    (train_file, pixels), (test_file, _) = svhn_mat([1, 10, 9]), svhn_mat([5], seed=1)
    server = official("svhn", train_file, test_file)
    train, test = load_real("svhn"), load_real("svhn", "test")
    assert train.images.shape == (3, 32, 32, 3) and len(test) == 1
    assert np.array_equal(train.images[1], pixels[:, :, :, 1])
    assert train.images.flags.c_contiguous
    assert set(server.hits.values()) == {1} and len(server.hits) == 2


def test_svhn_says_10_for_the_digit_0(official):
    official("svhn", svhn_mat([1, 10, 9])[0], svhn_mat([5])[0])
    train = load_real("svhn")
    assert train.labels.tolist() == [1, 0, 9]
    assert train.class_names == tuple("0123456789")


def test_svhn_is_read_from_a_mirror(tmp_path, monkeypatch):
    monkeypatch.setenv("TL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TL_OFFLINE", "1")
    (tmp_path / "svhn").mkdir()
    (tmp_path / "svhn" / "test_32x32.mat").write_bytes(svhn_mat([10, 2])[0])
    assert datasets.load("svhn", "test", size_px=28).images.shape == (2, 28, 28, 3)
    with pytest.raises(FileNotFoundError, match="without train_32x32.mat"):
        load_real("svhn")


def test_svhn_names_a_file_that_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.setenv("TL_DATA_DIR", str(tmp_path))
    (tmp_path / "svhn").mkdir()
    whole = svhn_mat(range(1, 11))[0]
    for content in (whole[: len(whole) // 2], b"", b"<html>Room number?</html>"):
        (tmp_path / "svhn" / "test_32x32.mat").write_bytes(content)
        with pytest.raises(ValueError, match="test_32x32.mat, which cannot be read"):
            load_real("svhn", "test")


def test_mirror_keeps_svhn_and_the_trimaps(official, pets, tmp_path):
    official("svhn", svhn_mat([1])[0], svhn_mat([2])[0])
    assert mirror(tmp_path / "stick", ("svhn", "oxford_pets")) == 0
    folder = tmp_path / "stick" / "datasets"
    names = sorted(path.name for path in (folder / "svhn").iterdir())
    assert names == ["test_32x32.mat", "train_32x32.mat"]
    assert len(list((folder / "oxford_pets" / "trimaps").iterdir())) == 4
    assert verify(tmp_path / "stick") == 0
    (folder / "svhn" / "test_32x32.mat").write_bytes(b"x")
    assert verify(tmp_path / "stick") == 1


def test_mnist_m_is_made_from_the_two_official_archives(official):
    folder = "BSR/BSDS500/data/images/train"
    official("mnist", mnist_npz())
    official("bsds500", tar({f"{folder}/1.jpg": jpeg(100, (40, 50))}))
    images, digits = load_real("mnist_m"), load_real("mnist")
    expected = np.abs(digits.images.astype(int) - 100)
    assert np.abs(images.images.astype(int) - expected).max() <= 1  # JPEG rounds
    assert images.extras["patch"].shape == (12, 3)
    assert (images.extras["patch"].max(axis=0) <= [0, 22, 12]).all()


def test_blend_with_patches_is_the_absolute_difference():
    rng = np.random.default_rng(0)
    digits = rng.integers(0, 256, (50, 4, 4, 3), np.uint8)
    photographs = [rng.integers(0, 256, (4 + i, 9, 3), np.uint8) for i in range(3)]
    images, positions = blend_with_patches(digits, photographs, seed=1)
    for digit, image, (which, row, column) in zip(
        digits, images, positions, strict=True
    ):
        patch = photographs[which][row : row + 4, column : column + 4]
        assert np.array_equal(image, np.abs(digit.astype(int) - patch))
    assert positions[:, 1].max() == 2 and positions[:, 2].max() == 5


def test_blend_with_patches_depends_on_the_seed_alone():
    rng = np.random.default_rng(0)
    digits = rng.integers(0, 256, (9, 4, 4, 3), np.uint8)
    photographs = [rng.integers(0, 256, (30, 30, 3), np.uint8)]
    first, again, other = (
        blend_with_patches(digits, photographs, seed)[0] for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_blend_with_patches_refuses_a_small_photograph():
    digits = np.zeros((1, 28, 28, 3), np.uint8)
    with pytest.raises(ValueError, match="expected at least 28 x 28"):
        blend_with_patches(digits, [np.zeros((20, 90, 3), np.uint8)], 0)


def test_load_real_looks_in_the_mirror_before_the_cache(
    official, tmp_path, monkeypatch
):
    server = official("mnist", mnist_npz())
    for base, rows in {"stick": 2, "cache/datasets": 5}.items():
        (tmp_path / base).mkdir(parents=True)
        zeros = np.zeros((rows, 28, 28), np.uint8)
        path = tmp_path / base / "mnist.npz"
        np.savez(path, x_train=zeros, y_train=zeros[:, 0, 0])
    assert len(load_real("mnist")) == 5
    monkeypatch.setenv("TL_DATA_DIR", str(tmp_path / "stick"))
    assert len(load_real("mnist")) == 2
    assert server.hits == {}


def test_load_real_never_unpickles(official, tmp_path):
    official("mnist", mnist_npz())
    (tmp_path / "cache/datasets").mkdir(parents=True)
    path = tmp_path / "cache/datasets/mnist.npz"
    np.savez(path, x_train=np.array([{"a": 1}], object), y_train=np.zeros(1))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_real("mnist")


@pytest.mark.parametrize("content", [b"PK no zip", None])
def test_load_real_leaves_nothing_after_a_bad_archive(official, tmp_path, content):
    half = zipped({"PetImages/Cat/1.jpg": jpeg()})[:-30]
    official("cats_and_dogs", content or half)
    with pytest.raises(ValueError, match="damaged or no archive"):
        load_real("cats_and_dogs")
    assert list((tmp_path / "cache/datasets").iterdir()) == []


@pytest.mark.parametrize(
    "name, missing",
    [("cats_and_dogs", "PetImages/Cat/..jpg"), ("flowers", "flower_photos")],
)
def test_load_real_tells_of_an_archive_laid_out_otherwise(
    official, tmp_path, name, missing
):
    pack = zipped if name == "cats_and_dogs" else tar
    official(name, pack({"other/1.jpg": jpeg()}))
    with pytest.raises(ValueError, match=f"without {missing}, expected its authors'"):
        load_real(name)
    assert list((tmp_path / "cache/datasets").iterdir()) == []


def test_load_real_leaves_nothing_when_laying_out_is_stopped(official, monkeypatch):
    official("flowers", tar({"flower_photos/roses/a.jpg": jpeg()}))

    def stop(*_):
        raise KeyboardInterrupt

    spec = dataclasses.replace(REAL["flowers"], lay_out=stop)
    monkeypatch.setitem(REAL, "flowers", spec)
    with pytest.raises(KeyboardInterrupt):
        load_real("flowers")
    assert real.find("flowers") is None


def test_load_real_offline_points_to_the_mirror(official, monkeypatch):
    official("mnist", mnist_npz())
    monkeypatch.setenv("TL_OFFLINE", "1")
    with pytest.raises(DownloadError, match="mnist.npz is missing.*tl-helpers mirror"):
        load_real("mnist")


def test_load_real_of_pacs_says_that_it_is_fetched_by_hand(official):
    with pytest.raises(FileNotFoundError, match="by hand from https://.*TL_DATA_DIR"):
        load_real("pacs")


def test_load_real_names_a_mirror_that_is_misspelt(official, tmp_path, monkeypatch):
    server = official("mnist", mnist_npz())
    monkeypatch.setenv("TL_DATA_DIR", str(tmp_path / "stcik"))
    with pytest.raises(FileNotFoundError, match="stcik, a folder that is not there"):
        load_real("mnist")
    assert server.hits == {}


def test_load_real_names_a_mirror_one_level_below(official, tmp_path, monkeypatch):
    server = official("mnist", mnist_npz())
    (tmp_path / "stick/datasets/mnist.npz").mkdir(parents=True)
    monkeypatch.setenv("TL_DATA_DIR", str(tmp_path / "stick"))
    with pytest.raises(FileNotFoundError, match="set TL_DATA_DIR=.*stick.datasets[.]"):
        load_real("mnist")
    assert server.hits == {}


def test_load_real_says_what_the_mirror_holds_instead(
    official, tmp_path, monkeypatch, capsys
):
    official("mnist", mnist_npz())
    (tmp_path / "stick/datasets/svhn/test").mkdir(parents=True)
    monkeypatch.setenv("TL_DATA_DIR", str(tmp_path / "stick/datasets/svhn"))
    load_real("mnist")
    said = capsys.readouterr().err
    assert "mnist is not in TL_DATA_DIR=" in said and "holds test." in said


def test_load_real_of_half_a_set_names_the_missing_part(
    official, tmp_path, monkeypatch
):
    (tmp_path / "cifar10" / "train" / "cat").mkdir(parents=True)
    monkeypatch.setenv("TL_DATA_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="without its folder 'test'"):
        load_real("cifar10", "test")


@pytest.fixture
def cats_and_dogs_in_parts(tmp_path, monkeypatch):
    """CIFAR-10 with two of its classes, where a name that is gone moves no other."""
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / "cifar10" / part / name).mkdir(parents=True)
            (tmp_path / "cifar10" / part / name / "1.jpg").write_bytes(jpeg())
    spec = dataclasses.replace(REAL["cifar10"], num_classes=2)
    monkeypatch.setitem(REAL, "cifar10", spec)
    monkeypatch.setenv("TL_DATA_DIR", str(tmp_path))
    return tmp_path / "cifar10"


def test_load_real_refuses_a_part_that_lacks_a_class(cats_and_dogs_in_parts):
    """Without its folder of cats, the dogs of the test set would be class 0."""
    folder = cats_and_dogs_in_parts / "test"
    assert load_real("cifar10", "test").class_names == ("cat", "dog")
    (folder / "cat" / "1.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="Got no image of cat and 1 classes"):
        load_real("cifar10", "test")
    (folder / "cat").rmdir()
    with pytest.raises(FileNotFoundError, match="no image of cat .*expected the 2 of"):
        load_real("cifar10", "test")
    assert len(load_real("cifar10", "train")) == 2


def test_load_real_tells_of_a_set_whose_parts_all_lack_a_class(cats_and_dogs_in_parts):
    for part in ("train", "test"):
        shutil.rmtree(cats_and_dogs_in_parts / part / "cat")
    with pytest.warns(UserWarning, match=r"Got 1 classes .*\(dog\), expected the 2"):
        assert load_real("cifar10", "test").class_names == ("dog",)


def test_load_real_refuses_a_folder_that_is_none_of_its_classes(cats_and_dogs_in_parts):
    shutil.copytree(
        cats_and_dogs_in_parts / "test" / "cat", cats_and_dogs_in_parts / "test" / "bin"
    )
    with pytest.raises(FileNotFoundError, match=r"Got 3 classes .*\(bin, cat, dog\)"):
        load_real("cifar10", "test")


def test_load_real_refuses_unknown_names_and_parts():
    with pytest.raises(ValueError, match="Got data set 'cifar'.*cifar10"):
        load_real("cifar")
    with pytest.raises(ValueError, match="Got part 'val' of cifar10.*train, test"):
        load_real("cifar10", "val")


@pytest.mark.parametrize("name", [*REAL, *HELPERS])
def test_catalogue_states_where_everything_comes_from(name):
    spec = real.describe(name)
    provenance = spec.provenance
    assert provenance.name == name and spec.parts
    assert (spec.num_classes > 1) == (name in REAL)
    assert all((provenance.origin, provenance.licence, provenance.citation))
    by_hand = ("pacs", "neu_det", "lung_nodules", "lidc_predictions")
    assert spec.archives or spec.needs or name in by_hand
    for archive in spec.archives:
        checksum = archive.checksum or ""
        assert re.fullmatch("[0-9a-f]{64}|md5:[0-9a-f]{32}|", checksum)
        assert bool(checksum) != archive.published_in.startswith("nowhere")


@pytest.fixture
def mirrored(monkeypatch):
    """The real mirror and nothing else; `realdata` skips where there is none."""
    monkeypatch.setenv("TL_OFFLINE", "1")


@pytest.mark.realdata
@pytest.mark.parametrize(
    "name, counts, num_classes, size_px",
    [
        ("mnist", [60_000, 10_000], 10, 28),
        ("cifar10", [50_000, 10_000], 10, 32),
        ("pacs", [1_670, 2_048, 2_344, 3_929], 7, 128),
        ("tiny_imagenet", [68_000, 5_000], 200, 64),
        ("neu_det", [420, 180], 6, 160),
    ],
)
def test_load_real_counts_images_and_classes(
    mirrored, name, counts, num_classes, size_px
):
    sets = [load_real(name, part) for part in real.describe(name).parts]
    assert [len(images) for images in sets] == counts
    for images in sets:
        some = images.pixels(slice(None, None, len(images) // 50))
        assert some.shape[1:] == (size_px, size_px, 3)
        assert some.min() < 20 and some.max() > 235
        assert len(images.class_names) == num_classes
        assert min(images.class_counts().values()) > 0


@pytest.mark.realdata
def test_load_real_names_classes(mirrored):
    assert load_real("cifar10").class_names[:3] == ("airplane", "automobile", "bird")
    assert load_real("pacs", "sketch").class_names[0] == "dog"
    names = load_real("tiny_imagenet", "val").class_names
    assert "Egyptian cat" in names and len(set(names)) == 200


@pytest.mark.realdata
def test_defects_have_places(mirrored):
    tiles = load_real("magnetic_tile")
    assert tiles.class_counts()["blowhole"] == 115 and len(tiles) == 792
    has_defect = (tiles.extras["pixel_labels"] % 255 > 0).any(axis=(1, 2))
    is_sound = tiles.labels == tiles.class_names.index("free")
    assert not has_defect[is_sound].any() and has_defect[~is_sound].mean() > 0.95
    assert len(np.unique(tiles.extras["group"])) == 241
    steel = load_real("neu_det", "test")
    assert targets_of(steel, "boxes")["labels"].max() == 5
    assert targets_of(tiles, "pixel_labels").shape == (792, 160, 160)


@pytest.mark.realdata
def test_mnist_m_follows_the_recipe(mirrored):
    images, digits = load_real("mnist_m", "test"), load_real("mnist", "test")
    folder = real.find("bsds500") / "train"
    files = sorted(folder.glob("*.jpg"))
    for i in (0, 17, 9_999):
        which, row, column = images.extras["patch"][i]
        photograph = np.asarray(Image.open(files[which]).convert("RGB"), int)
        patch = photograph[row : row + 28, column : column + 28]
        assert np.array_equal(images.images[i], np.abs(patch - digits.images[i]))
        assert not np.array_equal(images.images[i], digits.images[i])
    assert np.array_equal(images.labels, digits.labels)
    train = load_real("mnist_m")
    assert not np.array_equal(train.extras["patch"][:10], images.extras["patch"][:10])
