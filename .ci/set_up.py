"""Make the virtual environment, or bring it up to date; one sentence where it fails.

Usage: python3 .ci/set_up.py [VENV] [CONSTRAINTS]

Written for any Python from 3.6 on, so that an old one can say that it is too old.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CANDIDATES = ("python3.13", "python3.12", "python3.11", "python3", sys.executable)
OLDEST, TOO_NEW = (3, 11), (3, 14)
NEEDED_GB = 6  # TensorFlow, JupyterLab and pip's own copies while it unpacks
UNFINISHED = "unfinished"
PROBE = (
    "import importlib.util as u, sys; "
    "print(sys.version_info[0], sys.version_info[1], "
    "int(all(u.find_spec(m) for m in ('venv', 'ensurepip'))))"
)


class SetUpError(Exception):
    """What went wrong and what to do, in one sentence."""


def main(venv=".venv", constraints="constraints.txt"):
    """Make `venv` ready for work; do nothing where it already is.

    Args:
        venv: folder of the environment, made where missing.
        constraints: pip's constraints file; relative paths count from the
            repository's root.

    Returns:
        bool: whether anything had to be done.

    Raises:
        SetUpError: no fitting Python, no venv module, no disk space, or pip failed.
    """
    venv, constraints = os.path.join(ROOT, venv), os.path.join(ROOT, constraints)
    os.makedirs(os.path.join(ROOT, "build"), exist_ok=True)
    with open(os.path.join(ROOT, "build", "set_up.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits for a set-up in another terminal
        return bring_up_to_date(venv, constraints)


def bring_up_to_date(venv, constraints):
    """Make and fill an environment where its stamp does not say that it is ready."""
    stamp = os.path.join(venv, ".ready")
    found, wanted = read(stamp), digest(constraints)
    if found == wanted:
        return False
    if found == UNFINISHED:  # cut off: nobody knows what it holds
        shutil.rmtree(venv)
    python = os.path.join(venv, "bin", "python")
    if not os.path.exists(python):
        make(venv, stamp)
    print(f"Installing into {venv} (takes minutes the first time) ...", flush=True)
    write(stamp, UNFINISHED)
    try:
        install(python, constraints)
    except SetUpError:  # pip says no before it changes anything: still as it was
        write(stamp, found)
        raise
    write(stamp, wanted)
    return True


def digest(constraints):
    """Hash of all that decides what the environment holds."""
    parts = [ROOT.encode()]
    for path in (os.path.join(ROOT, "pyproject.toml"), constraints):
        with open(path, "rb") as file:
            parts.append(file.read())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def make(venv, stamp):
    """Make an empty environment with the newest Python that fits."""
    parent = os.path.dirname(venv)
    free_gb = shutil.disk_usage(parent).free / 1e9
    if free_gb < NEEDED_GB:
        raise SetUpError(
            f"Got {free_gb:.1f} GB of free disk at {parent}, expected at least "
            f"{NEEDED_GB} GB for a fresh environment; free some space."
        )
    python = find_python()
    try:
        os.makedirs(venv, exist_ok=True)
        write(stamp, UNFINISHED)
        failure = run([python, "-m", "venv", venv])
    except OSError as error:
        failure = str(error)
    if failure:
        raise SetUpError(
            f"Got no environment at {venv} from {python} ({failure}), expected one; "
            "see that the folder can be written and that python3-venv is installed."
        )


def find_python():
    """Name of the newest Python that fits and has the venv module."""
    found = [(name, probe(name)) for name in CANDIDATES]
    found = [(name, answer) for name, answer in found if answer]
    fitting = [(name, a) for name, a in found if OLDEST <= a[:2] < TOO_NEW]
    for name, answer in fitting:
        if answer[2]:
            return name
    if fitting:
        raise SetUpError(
            f"Got {fitting[0][0]} without the venv module, expected a whole Python; "
            "install it (Debian and Ubuntu: apt install python3-venv)."
        )
    seen = sorted({a[:2] for _, a in found})
    names = ", ".join(f"{major}.{minor}" for major, minor in seen)
    raise SetUpError(
        f"Got Python {names or 'in no working version'}, expected 3.11, 3.12 or 3.13; "
        "install one from python.org or your package manager."
    )


def probe(name):
    """(major, minor, has venv) of an interpreter; () where it does not run."""
    try:
        answer = subprocess.check_output([name, "-c", PROBE], stderr=subprocess.DEVNULL)
        return tuple(int(word) for word in answer.split())
    except (OSError, ValueError, subprocess.CalledProcessError):
        return ()


def install(python, constraints):
    """Install the package in place, with what tests and notebooks need."""
    pip = [python, "-m", "pip", "install", "-qq", "-c", constraints]
    failure = run(pip + ["-e", ROOT + "[test]"])
    if failure:
        raise SetUpError(
            f"Got an error from pip ({failure}), expected the packages of "
            f"{os.path.basename(constraints)}; check the network and the free disk, "
            "then run this again."
        )


def run(command):
    """Run a command; return "" or, where it fails, the last line that it wrote."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output = process.communicate()[0].decode(errors="replace")
    if process.returncode == 0:
        return ""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    fallback = lines[-1:] or [f"exit status {process.returncode}"]
    return (errors or fallback)[-1].rstrip(".")


def read(path):
    """Text of a small file; "" where there is none."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def write(path, text):
    """Write a small file under another name, then rename it."""
    with open(path + ".partial", "w") as file:
        file.write(text)
    os.replace(path + ".partial", path)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except SetUpError as error:
        sys.exit(str(error))
