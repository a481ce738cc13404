"""A folder with data and weights for a class without internet: fill it, check it."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from tl_helpers import profiles
from tl_helpers.datasets import real
from tl_helpers.datasets.catalogue import HELPERS, REAL
from tl_helpers.datasets.files import walk
from tl_helpers.downloads import RECORD_NAME, file_hash
from tl_helpers.storage import read_json, whole_or_nothing, write_json

MANIFEST_NAME = "manifest.json"
FORMAT = 1  # of the manifest
DEFAULT_BACKBONES = ("MobileNetV2",)  # the full profile's


def mirror(destination, names=()):
    """Fill a folder with data sets and pretrained weights; run it again to go on.

    A set in `TL_DATA_DIR` or the cache is copied, any other is downloaded. A set
    that cannot be had is named, and the others still come.

    Args:
        destination: str or Path, for example on a USB stick.
        names: data sets and Keras Applications; by default all real sets and the
            weights of MobileNetV2.

    Returns:
        int exit status: 0, or 1 where something could not be had.

    Raises:
        FileNotFoundError: `TL_DATA_DIR` names a folder that is not there.
    """
    profiles.mirror_dir()  # a wrong name is told once, and nothing is fetched instead
    destination = Path(destination).expanduser().resolve()
    # Without a manifest the folder counts as unfinished, until it is written last.
    (destination / MANIFEST_NAME).unlink(missing_ok=True)
    failures = 0
    for name in _with_needs(names or (*REAL, *HELPERS, *DEFAULT_BACKBONES)):
        try:
            _mirror_one(name, destination)
        except (OSError, ValueError) as error:
            failures += 1
            print(f"{name}: {error}", file=sys.stderr)
    _write_manifest(destination)
    print(_setting("TL_DATA_DIR", destination / "datasets"))
    print(_setting("KERAS_HOME", destination / "keras"))
    return int(failures > 0)


def verify(destination):
    """Compare a mirror with its manifest and print what differs.

    Args:
        destination: str or Path.

    Returns:
        int exit status: 0 where every file is as it was, else 1.
    """
    destination = Path(destination).expanduser().resolve()
    manifest = read_json(destination / MANIFEST_NAME)
    manifest = manifest if isinstance(manifest, dict) else {}
    listed = manifest.get("files")
    if manifest.get("format", FORMAT) != FORMAT:
        print(
            f"Got {MANIFEST_NAME} of format {manifest['format']!r} in {destination}, "
            f"expected {FORMAT}; check it with the tl-helpers that wrote it."
        )
        return 1
    if not isinstance(listed, dict) or "format" not in manifest:
        print(
            f"Got no readable {MANIFEST_NAME} in {destination}, expected the one that "
            "'tl-helpers mirror' writes last; run it again to finish the folder."
        )
        return 1
    present = set(_list_files(destination))
    problems = [f"missing: {name}" for name in sorted(listed.keys() - present)]
    problems += [f"extra:   {name}" for name in sorted(present - listed.keys())]
    both = sorted(listed.keys() & present)
    found = _describe_files(destination, both, "checking")
    problems += [f"changed: {name}" for name in both if found[name] != listed[name]]
    print("\n".join(problems) or f"{len(both)} files, all as they were.")
    return int(bool(problems))


def _setting(name, path):
    """Return the line that sets a variable, whatever characters are in the path."""
    if os.name == "nt":
        return f'set "{name}={path}"'
    return f"export {name}={shlex.quote(str(path))}"


def _with_needs(names):
    """Replace a set that is made from others by those; keep the order, once each."""
    known = {**REAL, **HELPERS}
    wanted = {}
    for name in names:
        needs = known[name].needs if name in known else ()
        wanted.update(dict.fromkeys(needs or (name,)))
    return list(wanted)


def _mirror_one(name, destination):
    if name not in {**REAL, **HELPERS}:
        from tl_helpers.backbones import applications  # slow, and only weights need it

        applications.fetch_weights(name, destination / "keras")
        return
    target = destination / "datasets" / real.entry_name(name)
    source = real.find(name)
    if target.exists():
        print(f"{name}: already there", file=sys.stderr)
    elif source is not None:
        _copy(source, target, name)
    else:
        real.prepare_set(name, target)


def _copy(source, target, name):
    from tqdm import tqdm

    with whole_or_nothing(target) as half_made:
        if source.is_file():
            shutil.copyfile(source, half_made)
            return
        for file in tqdm(_list_files(source), desc=f"copying {name}"):
            (half_made / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file, half_made / file)


def _list_files(folder):
    """Return the files below a folder, relative, with forward slashes, sorted.

    Links are followed, as where the images are read.

    Left out: hidden files, the manifest, and the record of first downloads, which
    grows while the mirror is used.
    """
    files = []
    for path in map(Path, walk(str(folder))):
        if path.is_dir():
            raise PermissionError(
                f"Got {path}, which cannot be listed, or which a link led to before, "
                "expected folders that may be read, each once; remove or repair it."
            )
        is_own = path.name in (MANIFEST_NAME, RECORD_NAME)
        if path.is_file() and not is_own:  # a pipe would keep its reader waiting
            files.append(path.relative_to(folder).as_posix())
    return sorted(files)


def _describe_files(folder, files, verb):
    """Return {file: {"size": bytes, "sha256": hex digits}}."""
    from tqdm import tqdm
    from tqdm.contrib.concurrent import thread_map

    def describe(file):
        path = folder / file
        digits = file_hash(path).split(":")[1]
        return {"size": path.stat().st_size, "sha256": digits}

    found = thread_map(describe, files, desc=verb, tqdm_class=tqdm)
    return dict(zip(files, found, strict=True))


def _write_manifest(destination):
    files = _describe_files(destination, _list_files(destination), "hashing")
    write_json(destination / MANIFEST_NAME, {"format": FORMAT, "files": files})
