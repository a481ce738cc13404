"""A mirror is filled, goes on where it stopped, and is checked byte by byte."""

import dataclasses
import os
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from tl_helpers.backbones import applications
from tl_helpers.datasets import real
from tl_helpers.datasets.catalogue import HELPERS, REAL
from tl_helpers.tools.mirror import mirror, verify


@pytest.fixture(autouse=True)
def lab(tmp_path, monkeypatch):
    """A lab's own mirror with two small sets, offline; weights come from a stub."""
    lab = tmp_path / "lab"
    for domain in ("photo", "sketch"):
        (lab / "pacs" / domain / "dog").mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(lab / "pacs" / domain / "dog" / "1.jpg")
    np.savez(lab / "mnist.npz", x_train=np.zeros((2, 28, 28), np.uint8))
    monkeypatch.setenv("TL_DATA_DIR", str(lab))
    monkeypatch.setenv("TL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TL_OFFLINE", "1")

    def fetch_weights(name, keras_dir):
        if name != "MobileNetV2":
            raise ValueError(f"Got backbone {name!r}, expected a known one.")
        (keras_dir / "models").mkdir(parents=True, exist_ok=True)
        (keras_dir / "models" / "w.h5").write_bytes(b"weights")

    monkeypatch.setattr(applications, "fetch_weights", fetch_weights)
    return lab


def test_mirror_copies_sets_and_weights_and_prints_the_exports(tmp_path, capsys):
    stick = tmp_path / "stick"
    assert mirror(stick, ("pacs", "mnist", "MobileNetV2")) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"export TL_DATA_DIR={stick / 'datasets'}",
        f"export KERAS_HOME={stick / 'keras'}",
    ]
    assert (stick / "datasets/pacs/sketch/dog/1.jpg").exists()
    assert (stick / "keras/models/w.h5").read_bytes() == b"weights"
    assert verify(stick) == 0


@pytest.mark.skipif(os.name == "nt", reason="there is no sh")
def test_mirror_prints_exports_that_a_shell_takes(tmp_path, capsys):
    stick = tmp_path / "my stick's $HOME; echo 'x'"
    assert mirror(stick, ("pacs",)) == 0
    script = capsys.readouterr().out + 'printf "%s\n%s" "$TL_DATA_DIR" "$KERAS_HOME"'
    told = subprocess.run(["sh", "-c", script], capture_output=True, text=True).stdout
    assert told.splitlines() == [str(stick / "datasets"), str(stick / "keras")]


def test_mirror_fetches_nothing_where_its_source_is_misspelt(tmp_path, monkeypatch):
    monkeypatch.setenv("TL_DATA_DIR", str(tmp_path / "lba"))
    with pytest.raises(FileNotFoundError, match="lba, a folder that is not there"):
        mirror(tmp_path / "stick", ("pacs",))
    assert not (tmp_path / "stick").exists()


def test_mirror_can_be_used_as_a_mirror(tmp_path, monkeypatch):
    mirror(tmp_path / "stick", ("pacs",))
    monkeypatch.setenv("TL_DATA_DIR", str(tmp_path / "stick/datasets"))
    monkeypatch.setitem(REAL, "pacs", dataclasses.replace(REAL["pacs"], num_classes=1))
    assert real.load_real("pacs", "sketch").class_counts() == {"dog": 1}


def test_mirror_does_not_take_a_complete_set_again(tmp_path, capsys, monkeypatch):
    stick = tmp_path / "stick"
    mirror(stick, ("pacs",))
    monkeypatch.setattr(shutil, "copyfile", None)  # would raise if called
    assert mirror(stick, ("pacs",)) == 0
    assert "pacs: already there" in capsys.readouterr().err


def test_mirror_stopped_in_the_middle_leaves_no_half_set(tmp_path, monkeypatch):
    stick, copied = tmp_path / "stick", []
    real_copy = shutil.copyfile

    def copy_one_then_stop(source, target):
        if copied:
            raise KeyboardInterrupt
        copied.append(real_copy(source, target))

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "copyfile", copy_one_then_stop)
        mirror(stick, ("pacs",))
    assert list((stick / "datasets").iterdir()) == []
    assert verify(stick) == 1
    assert mirror(stick, ("pacs",)) == 0 and verify(stick) == 0


def test_mirror_stopped_later_loses_its_old_manifest(tmp_path, monkeypatch):
    mirror(tmp_path, ("pacs",))

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copyfile", stop)
    with pytest.raises(KeyboardInterrupt):
        mirror(tmp_path, ("mnist",))
    assert verify(tmp_path) == 1


def test_mirror_names_what_it_cannot_get_and_goes_on(tmp_path, capsys):
    stick = tmp_path / "stick"
    assert mirror(stick, ("flowers", "NoNet", "pacs")) == 1
    said = capsys.readouterr().err
    assert "flowers: " in said and "NoNet: Got backbone 'NoNet'" in said
    assert (stick / "datasets/pacs").exists()


def test_mirror_of_mnist_m_brings_what_it_is_made_from(tmp_path, lab):
    (lab / "bsds500" / "train").mkdir(parents=True)
    (lab / "bsds500" / "train" / "1.jpg").write_bytes(b"x")
    assert mirror(tmp_path / "stick", ("mnist_m", "mnist")) == 0
    names = {path.name for path in (tmp_path / "stick/datasets").iterdir()}
    assert names == {"mnist.npz", "bsds500"}


def test_mirror_takes_everything_by_default(tmp_path, capsys):
    """Offline it has two sets and the weights, and names all the others."""
    assert mirror(tmp_path / "stick") == 1
    lines = capsys.readouterr().err.splitlines()
    missing = [line.split(":")[0] for line in lines if "is missing and TL_O" in line]
    missing += [line.split(":")[0] for line in lines if "by hand" in line]
    assert sorted(set(missing)) == sorted(
        {*REAL, *HELPERS} - {"pacs", "mnist", "mnist_m"}  # the last is made of two
    )
    found = {path.name for path in (tmp_path / "stick").glob("*/*")}
    assert found == {"pacs", "mnist.npz", "models"}


def test_verify_finds_one_flipped_byte(tmp_path, capsys):
    mirror(tmp_path / "stick", ("pacs",))
    path = tmp_path / "stick/datasets/pacs/photo/dog/1.jpg"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    capsys.readouterr()
    assert verify(tmp_path / "stick") == 1
    assert capsys.readouterr().out == "changed: datasets/pacs/photo/dog/1.jpg\n"


def test_verify_names_missing_and_extra_files(tmp_path, capsys):
    mirror(tmp_path / "stick", ("pacs",))
    folder = tmp_path / "stick/datasets/pacs/photo/dog"
    (folder / "1.jpg").rename(folder / "2.jpg")
    (folder / ".DS_Store").write_text("the system's, not the teacher's")
    capsys.readouterr()
    assert verify(tmp_path / "stick") == 1
    assert capsys.readouterr().out.splitlines() == [
        "missing: datasets/pacs/photo/dog/1.jpg",
        "extra:   datasets/pacs/photo/dog/2.jpg",
    ]


NO_MANIFEST = [None, "{", "[]", "{}", '{"format": 1, "files": ["a"]}', '{"files": {}}']


@pytest.mark.parametrize("content", NO_MANIFEST)
def test_verify_without_a_sound_manifest_says_so(tmp_path, capsys, content):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    assert verify(tmp_path) == 1
    assert "Got no readable manifest.json" in capsys.readouterr().out


def test_verify_refuses_a_manifest_of_another_format(tmp_path, capsys):
    (tmp_path / "manifest.json").write_text('{"format": 99, "files": {}}')
    assert verify(tmp_path) == 1
    assert "of format 99 in" in capsys.readouterr().out


def test_mirror_copies_what_links_lead_to(tmp_path, lab):
    """A class that lies on another disk, as is usual in a lab."""
    (lab / "pacs/photo/dog").rename(tmp_path / "elsewhere")
    (lab / "pacs/photo/dog").symlink_to(tmp_path / "elsewhere")
    assert mirror(tmp_path / "stick", ("pacs",)) == 0
    assert (tmp_path / "stick/datasets/pacs/photo/dog/1.jpg").exists()


def test_mirror_names_a_link_in_a_circle(tmp_path, lab, capsys):
    (lab / "pacs/photo/dog/again").symlink_to(lab / "pacs")
    assert mirror(tmp_path / "stick", ("pacs",)) == 1
    assert "pacs: Got " in capsys.readouterr().err
    assert not (tmp_path / "stick/datasets/pacs").exists()


def test_verify_does_not_wait_at_a_pipe(tmp_path, capsys):
    mirror(tmp_path / "stick", ("pacs",))
    name = "datasets/pacs/photo/dog/1.jpg"
    (tmp_path / "stick" / name).unlink()
    os.mkfifo(tmp_path / "stick" / name)
    capsys.readouterr()
    assert verify(tmp_path / "stick") == 1
    assert capsys.readouterr().out == f"missing: {name}\n"


def test_verify_ignores_hashes_recorded_while_the_mirror_is_used(tmp_path):
    mirror(tmp_path / "stick", ("MobileNetV2",))
    (tmp_path / "stick/keras/models/checksums.json").write_text("{}")
    assert verify(tmp_path / "stick") == 0
