"""The one door for bytes, with every bad connection played on the loopback."""

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
import zipfile
from pathlib import Path

import pytest
from loopback import loopback_fixture  # noqa: F401 (used by name)

from tl_helpers import downloads
from tl_helpers.downloads import DownloadError, extract, fetch

BODY = bytes(range(256)) * 64
ROOT = Path(__file__).resolve().parent.parent


def zip_bytes(**files):
    """Return a zip archive of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_file(path, *members):
    """Write a tar.gz of (TarInfo, bytes) pairs."""
    with tarfile.open(path, "w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_fetch_brings_the_file_and_checks_the_published_hash(
    loopback, tmp_path, capsys
):
    digest = hashlib.sha256(BODY).hexdigest()
    path = fetch(loopback.url("whole", "a.bin", BODY), tmp_path, known_hash=digest)
    assert path.read_bytes() == BODY
    assert "is the one published" in capsys.readouterr().err
    assert not (tmp_path / "checksums.json").exists()


@pytest.mark.parametrize("prefix", ["", "md5:"])
def test_fetch_understands_md5_with_and_without_its_name(loopback, tmp_path, prefix):
    known = prefix + hashlib.md5(BODY).hexdigest()
    assert fetch(loopback.url("whole", "a.bin", BODY), tmp_path, known_hash=known)
    with pytest.raises(DownloadError, match="expected md5:0000"):
        fetch(loopback.url("whole", "b.bin", BODY), tmp_path, known_hash="0" * 32)


def test_fetch_records_the_hash_of_a_first_download(loopback, tmp_path, capsys):
    fetch(loopback.url("whole", "a.bin", BODY), tmp_path)
    record = json.loads((tmp_path / "checksums.json").read_text())
    assert record == {"a.bin": f"sha256:{hashlib.sha256(BODY).hexdigest()}"}
    assert "no checksum is published; recorded" in capsys.readouterr().err


def test_fetch_compares_with_the_recorded_hash(loopback, tmp_path):
    fetch(loopback.url("whole", "a.bin", BODY), tmp_path).unlink()
    with pytest.raises(DownloadError, match="recorded at the first download"):
        fetch(loopback.url("whole", "a.bin", BODY[::-1]), tmp_path)
    assert not (tmp_path / "a.bin").exists()


def test_fetch_asks_the_network_only_once(loopback, tmp_path):
    url = loopback.url("whole", "a.bin", BODY)
    assert fetch(url, tmp_path) == fetch(url, tmp_path)
    assert loopback.hits["a.bin"] == 1


def test_fetch_uses_and_records_a_file_laid_by_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("TL_OFFLINE", "1")
    (tmp_path / "a.bin").write_bytes(BODY)
    assert fetch("http://nowhere.invalid/a.bin", tmp_path).read_bytes() == BODY
    assert "a.bin" in json.loads((tmp_path / "checksums.json").read_text())


def test_fetch_replaces_a_damaged_file(loopback, tmp_path):
    digest = hashlib.sha256(BODY).hexdigest()
    (tmp_path / "a.bin").write_bytes(BODY[:-1])
    path = fetch(loopback.url("whole", "a.bin", BODY), tmp_path, known_hash=digest)
    assert path.read_bytes() == BODY


def test_fetch_keeps_the_old_file_when_the_new_one_is_wrong(loopback, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"old")
    with pytest.raises(DownloadError, match="expected sha256:1111"):
        fetch(loopback.url("whole", "a.bin", BODY), tmp_path, known_hash="1" * 64)
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_fetch_removes_a_file_with_another_checksum(loopback, tmp_path):
    got = hashlib.sha256(BODY).hexdigest()
    with pytest.raises(DownloadError, match=f"has sha256:{got}, expected sha256:11"):
        fetch(loopback.url("whole", "a.bin", BODY), tmp_path, known_hash="1" * 64)
    assert list(tmp_path.iterdir()) == []
    assert loopback.hits["a.bin"] == 1


def test_fetch_passes_over_a_flaky_server(loopback, tmp_path):
    path = fetch(loopback.url("flaky", "a.bin", BODY), tmp_path)
    assert path.read_bytes() == BODY and loopback.hits["a.bin"] == 3


@pytest.mark.parametrize(
    "role, sentence",
    [("cut-off", "cut off"), ("stalled", "silence for more than 0.3 s")],
)
def test_fetch_never_takes_half_a_file_for_whole(loopback, tmp_path, role, sentence):
    with pytest.raises(DownloadError, match=sentence):
        fetch(loopback.url(role, "a.bin", BODY), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert loopback.hits["a.bin"] == downloads.ATTEMPTS


def test_fetch_does_not_repeat_a_404(loopback, tmp_path):
    with pytest.raises(DownloadError, match="the server answered 404"):
        fetch(loopback.url("missing", "a.bin", BODY), tmp_path)
    assert loopback.hits["a.bin"] == 1


def test_fetch_without_a_length_accepts_what_ends_as_its_format_does(
    loopback, tmp_path
):
    for name, body in {"a.zip": zip_bytes(x=BODY), "a.gz": gzip.compress(BODY)}.items():
        assert fetch(loopback.url("no-length", name, body), tmp_path).exists()
        with pytest.raises(DownloadError, match="ends too early"):
            fetch(loopback.url("no-length-cut-off", f"cut-{name}", body), tmp_path)
        assert not (tmp_path / f"cut-{name}").exists()


def test_fetch_without_a_length_checks_hdf5(loopback, tmp_path):
    import h5py

    with h5py.File(tmp_path / "made.h5", "w") as file:
        file["w"] = list(range(5000))
    body = (tmp_path / "made.h5").read_bytes()
    assert fetch(loopback.url("no-length", "a.h5", body), tmp_path / "in").exists()
    with pytest.raises(DownloadError, match="ends too early"):
        fetch(loopback.url("no-length-cut-off", "b.h5", body), tmp_path / "in")


def test_fetch_without_length_hash_or_known_format_refuses(loopback, tmp_path):
    url = loopback.url("no-length", "a.bin", BODY)
    with pytest.raises(DownloadError, match="did not say how long a.bin is"):
        fetch(url, tmp_path)
    assert fetch(url, tmp_path, known_hash=hashlib.sha256(BODY).hexdigest())


@pytest.mark.parametrize("name", ["set.zip", "w.h5", "set.tar", "set.npz"])
def test_fetch_refuses_a_log_in_page(loopback, tmp_path, name):
    with pytest.raises(DownloadError, match="Got a web page"):
        fetch(loopback.url("login", name, BODY), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_fetch_refuses_text_in_place_of_an_archive(loopback, tmp_path):
    with pytest.raises(DownloadError, match="expected a .npz file"):
        fetch(loopback.url("whole", "a.npz", b"please log in to go on, ok"), tmp_path)


def test_fetch_offline_names_the_file_and_its_place(tmp_path, monkeypatch):
    monkeypatch.setenv("TL_OFFLINE", "1")
    place = re.escape(str(tmp_path / "a.zip"))
    with pytest.raises(DownloadError, match=f"{place} is missing.*put it at {place}"):
        fetch("http://nowhere.invalid/a.zip", tmp_path)


def test_fetch_without_network_says_so(loopback, tmp_path):
    with pytest.raises(DownloadError, match="no answer from 127.0.0.1:9"):
        fetch("http://127.0.0.1:9/a.zip", tmp_path)


def test_extract_unpacks_zip_and_tar(tmp_path):
    (tmp_path / "a.zip").write_bytes(zip_bytes(x="1"))
    tar_file(tmp_path / "a.tgz", (tarfile.TarInfo("d/y"), b"2"))
    assert (extract(tmp_path / "a.zip", tmp_path / "z") / "x").read_text() == "1"
    assert (extract(tmp_path / "a.tgz", tmp_path / "t") / "d/y").read_text() == "2"


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "..\\evil"])
def test_extract_refuses_members_outside_the_folder(tmp_path, name):
    (tmp_path / "a.zip").write_bytes(zip_bytes(**{"ok": "", name: "x"}))
    tar_file(
        tmp_path / "a.tgz", (tarfile.TarInfo("ok"), b""), (tarfile.TarInfo(name), b"x")
    )
    for archive in ("a.zip", "a.tgz"):
        with pytest.raises(ValueError, match="outside the folder"):
            extract(tmp_path / archive, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tgz", "a.zip"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_extract_refuses_links_and_devices(tmp_path, kind):
    info = tarfile.TarInfo("link")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(ValueError, match="'link', which is a link or a device"):
        extract(tar_file(tmp_path / "a.tgz", (info, b"")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_extract_refuses_a_link_in_a_zip(tmp_path):
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ValueError, match="is a link or a device"):
        extract(tmp_path / "a.zip", tmp_path / "out")


def test_extract_of_half_an_archive_leaves_nothing(tmp_path):
    whole = tar_file(tmp_path / "a.tgz", (tarfile.TarInfo("x"), os.urandom(9999)))
    (tmp_path / "half.tgz").write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(ValueError, match="half.tgz is damaged"):
        extract(tmp_path / "half.tgz", tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tgz", "half.tgz"]


def test_extract_does_not_write_into_a_folder_that_exists(tmp_path):
    with pytest.raises(FileExistsError, match="expected a new folder"):
        extract(tmp_path / "a.zip", tmp_path)


def bytes_by_another_door(root):
    """Return 'file: line' for every download that does not go through `fetch`."""
    doors = re.compile(
        r"urlretrieve|urlopen|(?<!def )\bget_file\(|extract=True|requests\.get\b"
    )
    found = []
    for folder in ("tl_helpers", "notebooks", "benchmarks"):
        for path in (root / folder).rglob("*"):
            if path.suffix not in (".py", ".ipynb", ".sh"):
                continue
            for line in path.read_text(encoding="utf-8").splitlines():
                if doors.search(line):
                    found.append(f"{path.name}: {line.strip()}")
    return found


def test_there_is_one_door_for_bytes():
    assert bytes_by_another_door(ROOT) == []


def test_the_search_for_other_doors_finds_one(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "a.py").write_text("utils.get_file(origin=url)\n")
    assert bytes_by_another_door(tmp_path) == ["a.py: utils.get_file(origin=url)"]
