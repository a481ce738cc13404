"""Archives from elsewhere: nothing leaves the folder, nothing fills the disk."""

import gzip
import os
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

MAX_RATIO = 100  # bytes unpacked for one of the archive; photographs have 1
HARMLESS_BYTES = 10**8  # which any archive may unpack
BLOCK_BYTES = 4096  # what the smallest file takes on a disk
MAX_HEADER_BYTES = 2**20
MAX_NAME_BYTES, MAX_PATH_BYTES = 255, 1024
ENCRYPTED = "is encrypted"


class RefusedError(ValueError):
    """An archive that is whole, but is not unpacked."""


def unpack(archive, folder):
    """Unpack a zip or tar archive, after a look at everything that it holds.

    Args:
        archive: Path of a .zip, .tar, .tar.gz or .tgz file.
        folder: Path that does not exist yet, in a folder that does.

    Raises:
        RefusedError: a member would be written outside the folder, is no plain file or
            folder or is encrypted; there are no files, or more than the disk can take.
        Exception: whatever a damaged archive provokes in zipfile and tarfile.
    """
    limits = _Limits(
        archive, archive.stat().st_size, shutil.disk_usage(folder.parent).free
    )
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            _check_members(limits, map(_describe_zipped, file.infolist()))
            file.extractall(folder)
        return
    with open(archive, "rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    with _CarefulGzip(archive) if is_gzip else open(archive, "rb") as stream:
        with tarfile.open(fileobj=stream, mode="r:") as file:
            total = _check_members(limits, map(_describe_tarred, file))
            _check_end(limits, stream, file.offset, total)
            # from 3.11.4 on
            file.extraction_filter = getattr(tarfile, "data_filter", None)
            file.extractall(folder)


class _Limits(NamedTuple):
    """How large an archive is, and how much its disk can take, both in bytes."""

    archive: Path
    size: int
    free: int

    def check(self, total):
        """Refuse an archive that unpacks to `total` bytes or more."""
        if total > max(HARMLESS_BYTES, MAX_RATIO * self.size):
            raise RefusedError(
                f"{self.archive} has {self.size:,} bytes and would unpack to more than "
                f"{total:,}, expected at most {MAX_RATIO} times as many; do not trust "
                "this archive."
            )
        if total > self.free:
            raise RefusedError(
                f"{self.archive} would unpack to more than {total:,} bytes, expected "
                f"the {self.free:,} at most that are free on the disk; make room, or "
                "choose another disk."
            )


class _CarefulGzip(gzip.GzipFile):
    """A stream in which no header of a few bytes unpacks to fill the memory."""

    def read(self, size=-1):
        if size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def _describe_zipped(member):
    if member.flag_bits & 1:
        fault = ENCRYPTED
    elif stat.S_ISLNK(member.external_attr >> 16):
        fault = "is a link or a device"
    else:
        fault = ""
    return member.filename, member.file_size, member.is_dir(), fault


def _describe_tarred(member):
    fault = "" if member.isfile() or member.isdir() else "is a link or a device"
    return member.name, member.size, member.isdir(), fault


def _check_members(limits, members):
    """Refuse what leaves the folder or fills the disk, before anything is written.

    Args:
        limits: _Limits.
        members: iterable of (name, bytes, whether it is a folder, fault or "").

    Returns:
        int, bytes that they will take on the disk.
    """
    total, num_files = 0, 0
    for name, size, is_folder, fault in members:
        parts, fix = PurePosixPath(name.replace("\\", "/")), "do not trust this archive"
        if parts.is_absolute() or ".." in parts.parts or PureWindowsPath(name).drive:
            fault = "would be written outside the folder"
        elif not parts.parts and not is_folder:
            fault = "would take the folder's place"
        elif _is_too_long(parts):
            fault, name = "has a longer name than disks take", name[:20] + "..."
        elif fault == ENCRYPTED:
            fix = "unpack it with a program that asks for its password"
        if fault:
            raise RefusedError(
                f"{limits.archive} holds {name!r}, which {fault}; expected plain files "
                f"inside it: nothing was unpacked, {fix}."
            )
        num_files += not is_folder
        total += max(size, BLOCK_BYTES)
        limits.check(total)
    if not num_files:
        raise RefusedError(
            f"Got {limits.archive}, which is empty, expected files; fetch it again."
        )
    return total


def _is_too_long(path):
    longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
    return longest > MAX_NAME_BYTES or len(os.fsencode(path)) > MAX_PATH_BYTES


def _check_end(limits, stream, offset, total):
    """Read a tar to its end: its mark of 512 zeros, then the checksum of the gzip."""
    stream.seek(offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it ends too early, or goes on with something else")
    while chunk := stream.read(2**16):
        total += len(chunk)
        limits.check(total)
