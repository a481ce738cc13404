"""The one door for bytes, with every bad connection played on the loopback."""

import errno
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import warnings
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import (
    CERTIFICATE,
    loopback_fixture,  # noqa: F401 (used by name)
    serving,
)

from tl_helpers import downloads, unpacking
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


def test_fetch_removes_what_a_killed_download_left(loopback, tmp_path):
    (tmp_path / ".tl-partial-0011aabb").mkdir()
    (tmp_path / ".tl-partial-0011aabb" / "a.bin").write_bytes(BODY[:9])
    os.utime(tmp_path / ".tl-partial-0011aabb", (0, 0))
    fetch(loopback.url("whole", "a.bin", BODY), tmp_path)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["a.bin", "checksums.json"]


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


@pytest.fixture
def proxied(loopback, monkeypatch):
    """Ask a proxy on the loopback, whose port is to be given, for everything."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    def use(port):
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://me:secret@127.0.0.1:{port}")

    return use


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_fetch_names_a_proxy_that_is_not_there(proxied, tmp_path, scheme):
    proxied(9)
    sentence = "the proxy 127.0.0.1:9 does not answer.*unset HTTPS_PROXY"
    with pytest.raises(DownloadError, match=sentence) as error:
        fetch(f"{scheme}://nowhere.invalid/a.zip", tmp_path)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_fetch_names_a_proxy_that_asks_for_a_password(
    proxied, loopback, tmp_path, scheme
):
    proxied(loopback.port)
    sentence = f"the proxy 127.0.0.1:{loopback.port} asks for a user name and password"
    with pytest.raises(DownloadError, match=f"{sentence}.*user:password@host") as error:
        fetch(f"{scheme}://nowhere.invalid/a.zip", tmp_path)
    assert "secret" not in str(error.value)


def test_fetch_says_what_a_proxy_refuses_with(proxied, loopback, tmp_path):
    proxied(loopback.port)
    with pytest.raises(DownloadError, match=r"the proxy \S+ answered 403 Forbidden"):
        fetch("https://forbidden.invalid/a.zip", tmp_path)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "http://", "nonsense://x"])
def test_fetch_says_that_a_proxy_is_no_address(proxied, tmp_path, monkeypatch, proxy):
    proxied(9)
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, proxy)
    with pytest.raises(DownloadError, match="correct .*HTTPS_PROXY and HTTP_PROXY"):
        fetch("https://nowhere.invalid/a.zip", tmp_path)


@pytest.fixture
def certificate(tmp_path):
    """Path of the https server's own certificate and key."""
    (tmp_path / "own.pem").write_text(CERTIFICATE)
    return tmp_path / "own.pem"


def test_fetch_names_a_certificate_that_nobody_knows(
    loopback, tmp_path, monkeypatch, certificate
):
    with serving(certificate) as secure:
        url = secure.url("whole", "a.bin", BODY).replace("http:", "https:")
        host = f"127.0.0.1:{secure.port}"
        sentence = (
            f"certificate of {host} is not trusted: self.signed.*REQUESTS_CA_BUND"
        )
        with pytest.raises(DownloadError, match=sentence):
            fetch(url, tmp_path / "in")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        assert fetch(url, tmp_path / "in").read_bytes() == BODY


def test_fetch_names_a_certificate_file_that_is_not_there(
    loopback, tmp_path, monkeypatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    with pytest.raises(DownloadError, match="gone.pem.*correct or unset REQUESTS_CA"):
        fetch(f"https://127.0.0.1:{loopback.port}/whole/a.bin", tmp_path)


def test_fetch_says_that_a_server_does_not_speak_https(loopback, tmp_path):
    with pytest.raises(DownloadError, match="no encrypted connection with 127.0.0.1"):
        fetch(f"https://127.0.0.1:{loopback.port}/whole/a.bin", tmp_path)


@pytest.mark.parametrize("url", ["nowhere.invalid/a.zip", "http:///a.zip", "ftp://x/a"])
def test_fetch_says_that_an_address_is_none(loopback, tmp_path, url):
    with pytest.raises((DownloadError, ValueError), match="address|Got"):
        fetch(url, tmp_path)


@pytest.mark.parametrize(
    "record", ["crc32:0011", "sha256:00", 5, ["md5"], "md5", "x" * 64]
)
def test_fetch_names_a_record_that_it_does_not_understand(tmp_path, record):
    (tmp_path / "a.bin").write_bytes(BODY)
    (tmp_path / "checksums.json").write_text(json.dumps({"a.bin": record}))
    sentence = "Got checksum .* of a.bin in .*checksums.json, expected 'sha256:' and 64"
    with pytest.raises(DownloadError, match=sentence):
        fetch("http://nowhere.invalid/a.bin", tmp_path)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_fetch_does_not_wait_at_a_pipe(tmp_path, make):
    make(tmp_path / "a.bin")
    with pytest.raises(DownloadError, match="a.bin, which is a folder or a pipe"):
        fetch("http://nowhere.invalid/a.bin", tmp_path)


def test_fetch_understands_a_checksum_in_capitals(tmp_path):
    (tmp_path / "a.bin").write_bytes(BODY)
    for known in ("SHA256:{}", "{}"):
        digits = hashlib.sha256(BODY).hexdigest().upper()
        assert fetch("http://x/a.bin", tmp_path, known_hash=known.format(digits))


def test_fetch_without_a_length_refuses_a_damaged_member(loopback, tmp_path):
    body = bytearray(zip_bytes(x=BODY))
    body[len(body) // 2] ^= 1
    with pytest.raises(DownloadError, match="a.zip ends too early .x is damaged"):
        fetch(loopback.url("no-length", "a.zip", bytes(body)), tmp_path)


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


PIECES = st.sampled_from(
    ["a", "..", ".", "", "/", "C:", "\\", "\\..", " ", "\N{BULLET}"]
)


@settings(max_examples=50)
@given(names=st.lists(st.lists(PIECES, min_size=1).map("/".join), min_size=1))
def test_extract_writes_nothing_outside_whatever_the_names(names):
    for name in ("a.zip", "a.tgz"):
        with TemporaryDirectory() as parent:
            archive, out = Path(parent) / name, Path(parent) / "deep" / "out"
            if name == "a.zip":
                with warnings.catch_warnings(action="ignore"):  # of names given twice
                    with zipfile.ZipFile(archive, "w") as file:
                        for one in names:
                            file.writestr(zipfile.ZipInfo(one), "x")
            else:
                tar_file(archive, *((tarfile.TarInfo(n), b"x") for n in names))
            try:
                extract(archive, out)
            except ValueError:
                assert not out.exists()
            found = {path for path in Path(parent).rglob("*") if path.is_file()}
            assert all(path == archive or out in path.parents for path in found)
        assert not Path("/a").exists()


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


def plain_tar(num_bytes=(700, 0, 1024)):
    """Return a tar of files of zeros, as its writer closes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number, size in enumerate(num_bytes):
            info = tarfile.TarInfo(f"d/{number}")
            info.size = size
            archive.addfile(info, io.BytesIO(bytes(size)))
    return buffer.getvalue()


def cuts(whole):
    """Return every length that hides the end: all by blocks, and around each."""
    return sorted({cut + off for cut in range(0, whole, 512) for off in (-1, 0, 1)})[1:]


def test_extract_refuses_a_tar_that_is_cut_anywhere(tmp_path):
    whole = plain_tar()
    last = 3 * 512 + 2 * 512 + 0 + 2 * 512  # three headers, and what they tell of
    path = tmp_path / "a.tar"
    for cut in cuts(last + 512):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="a.tar is damaged or no archive"):
            extract(path, tmp_path / "out")
    path.write_bytes(whole[: last + 512])
    assert len(list(extract(path, tmp_path / "out").rglob("[0-9]"))) == 3


def test_extract_refuses_a_tgz_that_is_cut_anywhere(tmp_path):
    whole = gzip.compress(plain_tar())
    path = tmp_path / "a.tgz"
    for cut in (*range(0, len(whole) - 20, 9), *range(len(whole) - 20, len(whole))):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="a.tgz is damaged or no archive"):
            extract(path, tmp_path / "out")
    path.write_bytes(whole[:-8] + b"\0\0\0\0" + whole[-4:])
    with pytest.raises(ValueError, match="CRC check failed"):
        extract(path, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tgz"]


def test_extract_refuses_garbage_between_members(tmp_path):
    first, second = plain_tar((700,))[:1536], plain_tar((5,))
    (tmp_path / "a.tar").write_bytes(first + b"x" * 512 + second)
    with pytest.raises(ValueError, match="goes on with something else"):
        extract(tmp_path / "a.tar", tmp_path / "out")


@pytest.fixture
def bomb_room(monkeypatch):
    """Let an archive unpack to 1 MB, not to 100 MB, so that bombs may be small."""
    monkeypatch.setattr(unpacking, "HARMLESS_BYTES", 10**6)


@pytest.mark.parametrize("name", ["a.zip", "a.tgz"])
def test_extract_refuses_a_bomb(tmp_path, bomb_room, name):
    """20 MB of zeros, packed to a thousandth."""
    path = tmp_path / name
    if name == "a.zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("zeros", bytes(2 * 10**7))
    else:
        path.write_bytes(gzip.compress(plain_tar((2 * 10**7,))))
    with pytest.raises(ValueError, match="than 20,000,000, expected at most 100 times"):
        extract(path, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_extract_unpacks_what_is_well_packed_but_small(tmp_path):
    (tmp_path / "a.tgz").write_bytes(gzip.compress(plain_tar((2 * 10**6,))))
    assert (extract(tmp_path / "a.tgz", tmp_path / "out") / "d" / "0").exists()


def test_extract_refuses_many_empty_files(tmp_path, bomb_room):
    blocks = tarfile.TarInfo("x").tobuf() * 250
    (tmp_path / "a.tgz").write_bytes(gzip.compress(blocks + bytes(1024)))
    with pytest.raises(ValueError, match="would unpack to more than 1,003,520"):
        extract(tmp_path / "a.tgz", tmp_path / "out")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_extract_refuses_a_header_that_fills_the_memory(tmp_path, kind):
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, 10**9
    (tmp_path / "a.tgz").write_bytes(gzip.compress(info.tobuf() + bytes(10**6)))
    with pytest.raises(ValueError, match="a header of 1000000"):
        extract(tmp_path / "a.tgz", tmp_path / "out")


def test_extract_refuses_zeros_behind_the_end(tmp_path, bomb_room):
    (tmp_path / "a.tgz").write_bytes(gzip.compress(plain_tar() + bytes(2 * 10**6)))
    with pytest.raises(ValueError, match="would unpack to more than 1,0"):
        extract(tmp_path / "a.tgz", tmp_path / "out")


def test_extract_refuses_what_the_disk_cannot_take(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5000))
    (tmp_path / "a.zip").write_bytes(zip_bytes(x=bytes(6000)))
    with pytest.raises(
        ValueError, match="than 6,000 bytes, expected the 5,000.*make roo"
    ):
        extract(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("name", ["a.zip", "a.tgz", "a.tar"])
def test_extract_refuses_an_archive_without_files(tmp_path, name):
    content = {"a.zip": zip_bytes(), "a.tgz": gzip.compress(bytes(10240))}
    (tmp_path / name).write_bytes(content.get(name, bytes(10240)))
    with pytest.raises(ValueError, match="which is empty"):
        extract(tmp_path / name, tmp_path / "out")
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match="damaged or no archive"):
        extract(tmp_path / name, tmp_path / "out")


def patched_zip(path, offset, value):
    """Write a zip whose header says something else, in both places."""
    content = bytearray(zip_bytes(x="1"))
    central = content.index(b"PK\1\2")
    content[offset], content[central + offset + 2] = value, value
    path.write_bytes(content)
    return path


def test_extract_refuses_an_encrypted_zip(tmp_path):
    path = patched_zip(tmp_path / "a.zip", 6, 1)
    with pytest.raises(ValueError, match="'x', which is encrypted.*its password"):
        extract(path, tmp_path / "out")


def test_extract_refuses_a_compression_that_python_lacks(tmp_path):
    path = patched_zip(tmp_path / "a.zip", 8, 9)  # Deflate64, as Windows writes it
    with pytest.raises(ValueError, match="compression.*unpack it with another program"):
        extract(path, tmp_path / "out")


@pytest.mark.parametrize("name", ["n" * 256, "d/" * 2100 + "x", "\N{BULLET}" * 86])
def test_extract_refuses_names_that_are_too_long(tmp_path, name):
    (tmp_path / "a.zip").write_bytes(zip_bytes(**{name: "1"}))
    tar_file(tmp_path / "a.tgz", (tarfile.TarInfo(name), b"1"))
    for archive in ("a.zip", "a.tgz"):
        with pytest.raises(ValueError, match="a longer name than disks take"):
            extract(tmp_path / archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_extract_refuses_a_file_that_is_a_folder_too(tmp_path):
    (tmp_path / "a.zip").write_bytes(zip_bytes(**{"x": "1", "x/y": "2"}))
    with pytest.raises(ValueError, match="a.zip is damaged or no archive"):
        extract(tmp_path / "a.zip", tmp_path / "out")


def test_extract_says_that_there_is_no_archive(tmp_path):
    os.mkfifo(tmp_path / "a.zip")
    for name in ("a.zip", "b.zip"):
        with pytest.raises(FileNotFoundError, match=f"{name}, which is no file"):
            extract(tmp_path / name, tmp_path / "out")


def test_extract_leaves_a_full_disk_to_say_so(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "extractall", fail)
    (tmp_path / "a.zip").write_bytes(zip_bytes(x="1"))
    with pytest.raises(OSError, match="No space left"):
        extract(tmp_path / "a.zip", tmp_path / "out")


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
