"""Files from the network: whole, checked, and fetched once."""

import errno
import gzip
import re
import sys
import time
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from tl_helpers import profiles
from tl_helpers.storage import read_json, whole_or_nothing, write_json
from tl_helpers.unpacking import RefusedError, unpack

TIMEOUT_S = 30.0  # silence longer than this ends an attempt
ATTEMPTS = 3
BACKOFF_S = 1.0  # wait before the second attempt; doubled before the third
CHUNK_BYTES = 2**16
RECORD_NAME = "checksums.json"
FIRST_BYTES = {
    ".zip": b"PK",
    ".npz": b"PK",
    ".keras": b"PK",
    ".gz": b"\x1f\x8b",
    ".tgz": b"\x1f\x8b",
    ".h5": b"\x89HDF",
}
# What opening a damaged archive, or one that Python cannot read, raises.
ENDS_EARLY = (EOFError, zipfile.BadZipFile, zlib.error)
UNREADABLE = (*ENDS_EARLY, NotImplementedError, RuntimeError)
CHECKSUM = re.compile(r"(sha256:)?[0-9a-f]{64}|(md5:)?[0-9a-f]{32}")
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


class DownloadError(OSError):
    """A file could not be had whole; the sentence says why and what to do."""


def fetch(url, folder, file_name=None, known_hash=None):
    """Return a file, from the folder if it is there and sound, else from the network.

    The file is compared with the published checksum where one is given, else with
    the one recorded at the first download; a line on stderr says which.

    Args:
        url: str, http or https.
        folder: str or Path; made if it does not exist.
        file_name: str; by default the last part of the address.
        known_hash: published checksum as hex digits, sha256 or (32 digits) md5, or
            with the name before it ("md5:..."); None where none is published.

    Returns:
        Path of the whole file.

    Raises:
        DownloadError: no network, `TL_OFFLINE`, a missing page, a transfer cut off or
            stalled, a web page instead of the file, or another checksum.
    """
    path = Path(folder) / (file_name or PurePosixPath(urlsplit(url).path).name)
    expected = _expected_hash(path, known_hash)
    if path.exists() and not path.is_file():
        raise DownloadError(
            f"Got {path}, which is a folder or a pipe, expected a file or nothing; "
            "remove it."
        )
    if path.exists():
        if expected is None:
            _check_first_bytes(path, path.name)
            _record_hash(path)
            return path
        if file_hash(path, expected) == expected:
            return path
    if profiles.is_offline():
        fault = "does not match its checksum" if path.exists() else "is missing"
        raise DownloadError(
            f"{path} {fault} and TL_OFFLINE forbids the network; unset TL_OFFLINE, or "
            f"get {url} on another machine and put it at {path}."
        )
    origin = "published" if known_hash else "recorded at the first download"
    _download(url, path, expected, origin)
    if expected is None:
        _record_hash(path)
    else:
        _say(f"{path.name}: whole, its {_short(expected)} is the one {origin}.")
    return path


def file_hash(path, like="sha256:"):
    """Hash a file.

    Args:
        path: Path of the file.
        like: a checksum whose algorithm is used, such as "md5:...".

    Returns:
        str "sha256:<hex digits>", or with the algorithm of `like`.

    Raises:
        ValueError: another algorithm than sha256 or md5.
    """
    import pooch

    algorithm = str(like).split(":")[0]
    if algorithm not in ("sha256", "md5"):
        raise ValueError(
            f"Got checksum {like!r}, expected one that begins with sha256: or md5:; "
            "give it as its publisher does."
        )
    return f"{algorithm}:{pooch.file_hash(str(path), alg=algorithm)}"


def extract(archive, folder):
    """Unpack a zip or tar archive into a new folder, wholly or not at all.

    Args:
        archive: Path of a .zip, .tar, .tar.gz or .tgz file.
        folder: Path that does not exist yet.

    Returns:
        Path of the folder.

    Raises:
        ValueError: a member would be written outside the folder or is no plain file
            or folder; or the archive is damaged, cut off, empty, encrypted, or would
            unpack to far more than its size or to more than the disk has.
        FileExistsError: the folder is there already.
        FileNotFoundError: there is no such archive.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        raise FileExistsError(
            f"Got {folder}, which exists, expected a new folder to unpack "
            f"{archive.name} into; remove it or name another."
        )
    if not archive.is_file():
        raise FileNotFoundError(
            f"Got {archive}, which is no file, expected a zip, tar or tar.gz archive; "
            "check the path."
        )
    with whole_or_nothing(folder) as part:
        try:
            unpack(archive, part)
        except RefusedError:
            raise
        except Exception as error:  # zipfile and tarfile raise whatever it provokes
            if getattr(error, "errno", None) in DISK_FAULTS:
                raise
            reason = getattr(error, "strerror", None) or str(error) or type(error)
            raise ValueError(
                f"{archive} is damaged or no archive ({reason}), expected a whole zip, "
                "tar or tar.gz file; delete it and fetch it again, or unpack it with "
                "another program."
            ) from error
    return folder


def _download(url, path, expected, origin):
    """Try a few times; only a whole and checked file gets its name.

    urllib3's Retry would not do: a body that is cut off or stalls is behind it.
    """
    for attempt in range(ATTEMPTS):
        try:
            with whole_or_nothing(path) as part:
                _transfer(url, part, expected, origin)
            return
        except DownloadError:
            raise
        except OSError as error:  # requests' errors are among them
            if attempt == ATTEMPTS - 1 or not _may_pass(error):
                reason, fix = _explain(error, url)
                raise DownloadError(
                    f"Could not get {path.name} from {url} ({reason}); {fix}, or put "
                    f"the file at {path} by hand."
                ) from error
            time.sleep(BACKOFF_S * 2**attempt)


def _transfer(url, path, expected, origin):
    """Bring the bytes to a temporary file of the same name and check it."""
    import pooch
    import requests
    from tqdm import tqdm

    name = path.name
    # pooch asks whether the bar is true, which tqdm answers by a total above 0.
    with tqdm(desc=name, total=1, unit="B", unit_scale=True, mininterval=0.5) as bar:
        get = pooch.HTTPDownloader(
            progressbar=bar,
            chunk_size=CHUNK_BYTES,
            timeout=TIMEOUT_S,
            headers={"Accept-Encoding": "identity"},  # so that the length is the file's
        )
        get(url, str(path), None)
    size = path.stat().st_size
    if bar.total and size != bar.total:
        raise requests.ConnectionError(f"{size} of {bar.total} bytes came")
    _check_first_bytes(path, name)
    if expected is None:
        if not bar.total:
            _check_is_whole(path, name)
        return
    got = file_hash(path, expected)
    if got != expected:
        raise DownloadError(
            f"{name} from {url} has {got}, expected {expected} ({origin}); it was not "
            f"kept: try again, or look whether the publisher replaced the file."
        )


def _may_pass(error):
    """Whether a second attempt can help: not for a page that is not there."""
    import requests

    response = getattr(error, "response", None)
    if response is not None:
        return response.status_code in (408, 429, *range(500, 600))
    is_final = isinstance(error, ValueError) or re.search(
        "certificate| 407 ", str(error)
    )
    return isinstance(error, requests.RequestException) and not is_final


def _explain(error, url):
    """Return what happened and what to do, each a clause."""
    import requests

    response, text, host = getattr(error, "response", None), str(error), urlsplit(url)
    is_proxy = isinstance(error, requests.exceptions.ProxyError)
    if getattr(response, "status_code", None) == 407 or is_proxy and " 407 " in text:
        return (
            f"the proxy {_proxy(url)} asks for a user name and password",
            "put them into HTTPS_PROXY and HTTP_PROXY, http://user:password@host:port",
        )
    refusal = re.search("Tunnel connection failed: ([^')]*)", text)
    if is_proxy:
        said = f"answered {refusal[1]}" if refusal else "does not answer"
        return (
            f"the proxy {_proxy(url)} {said}",
            "correct or unset HTTPS_PROXY and HTTP_PROXY",
        )
    check = "check the network and try again"
    if response is not None:
        return f"the server answered {response.status_code} {response.reason}", check
    if "certificate verify failed" in text:
        why = text.partition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        return (
            f"the certificate of {host.netloc} is not trusted: {why}",
            "if your network puts in its own, name the file that holds it in "
            "REQUESTS_CA_BUNDLE, and look whether the clock is right",
        )
    if "CA certificate bundle" in text:
        return text, "correct or unset REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE"
    if isinstance(error, requests.exceptions.SSLError):
        return f"no encrypted connection with {host.netloc}: {text}", check
    if isinstance(error, requests.Timeout) or "timed out" in text:
        return f"silence for more than {TIMEOUT_S:g} s", check
    if "Max retries exceeded" in text:  # it never came to a connection
        return f"no answer from {host.netloc}", check
    if isinstance(error, ValueError):
        return text, "correct the address, or the proxy's in HTTPS_PROXY and HTTP_PROXY"
    if not isinstance(error, requests.RequestException):
        return text, "look at the disk and the folder's permissions"
    return f"the transfer was cut off: {text}", check


def _proxy(url):
    """Name the proxy for an address, without the password that may stand in it."""
    from requests.utils import get_environ_proxies, select_proxy

    return urlsplit(select_proxy(url, get_environ_proxies(url)) or "").netloc.split(
        "@"
    )[-1]


def _check_first_bytes(path, name):
    """Refuse the web page that a hotel or a log-in puts in the file's place."""
    with open(path, "rb") as file:
        head = file.read(1024)
    start = FIRST_BYTES.get(Path(name).suffix.lower(), b"")
    is_page = b"<html" in head.lower() or head.lower().startswith(b"<!doctype html")
    if is_page or not head.startswith(start):
        got = "a web page (a log-in?)" if is_page else f"bytes {head[:4]!r}"
        raise DownloadError(
            f"Got {got} in place of {name}, expected a {Path(name).suffix or 'data'} "
            "file; open a browser, log in to the network and try again."
        )


def _check_is_whole(path, name):
    """Look for the end that a format has, where neither length nor hash is known."""
    import h5py
    import requests

    suffix = Path(name).suffix.lower()
    if suffix not in FIRST_BYTES:
        raise DownloadError(
            f"The server did not say how long {name} is and no checksum is "
            "published, so a cut-off would go unseen; fetch it by hand."
        )
    try:
        if FIRST_BYTES.get(suffix) == b"PK":
            with zipfile.ZipFile(path) as archive:
                bad = archive.testzip()
            if bad is not None:
                raise zipfile.BadZipFile(f"{bad} is damaged")
        elif suffix in (".gz", ".tgz"):
            with gzip.open(path) as file:
                while file.read(2**20):
                    pass
        else:
            h5py.File(path, "r").close()
    except (OSError, *UNREADABLE) as error:
        raise requests.ConnectionError(f"{name} ends too early ({error})") from error


def _expected_hash(path, known_hash):
    """The published checksum, else the recorded one, with its algorithm's name.

    32 hex digits are md5, as Keras writes it; else sha256.
    """
    found = known_hash or _read_record(path).get(path.name)
    if found is None:
        return None
    checksum = str(found).lower()
    if not CHECKSUM.fullmatch(checksum):
        where = "" if known_hash else f" in {path.parent / RECORD_NAME}"
        raise DownloadError(
            f"Got checksum {found!r} of {path.name}{where}, expected 'sha256:' and 64 "
            "hex digits, or 'md5:' and 32; correct it, or delete it to record it anew."
        )
    if ":" in checksum:
        return checksum
    return f"{'md5' if len(checksum) == 32 else 'sha256'}:{checksum}"


def _short(checksum):
    algorithm, digits = checksum.split(":")
    return f"{algorithm} {digits[:12]}..."


def _read_record(path):
    record = read_json(path.parent / RECORD_NAME)
    return record if isinstance(record, dict) else {}


def _record_hash(path):
    """Write down a first file's hash; a read-only stick is simply left as it is."""
    checksum = file_hash(path)
    record = {**_read_record(path), path.name: checksum}
    target = path.parent / RECORD_NAME
    try:
        write_json(target, dict(sorted(record.items())))
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return
        raise
    _say(
        f"{path.name}: no checksum is published; recorded its {_short(checksum)} in "
        f"{target} to compare with from now on."
    )


def _say(line):
    print(line, file=sys.stderr)
