import importlib.util
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def set_up(monkeypatch, tmp_path):
    """The set-up script, working on a tiny checkout of its own, with no real pip."""
    spec = importlib.util.spec_from_file_location("set_up", ROOT / ".ci/set_up.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text("as before\n")
    monkeypatch.setattr(module, "ROOT", str(tmp_path))
    monkeypatch.setattr(module, "CANDIDATES", (sys.executable,))
    module.commands = []

    def run(command):
        module.commands.append(command)
        if command[1:3] == ["-m", "venv"]:
            fake_python(Path(command[-1]) / "bin", "python", "3 11 1")
        return module.failures.pop(0) if module.failures else ""

    module.failures = []
    monkeypatch.setattr(module, "run", run)
    return module


def fake_python(folder, name, answer):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho {answer}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def steps(set_up):
    return ["venv" if "venv" in c[1:3] else "install" for c in set_up.commands]


def test_main_makes_an_environment_once(set_up):
    assert set_up.main() is True
    assert steps(set_up) == ["venv", "install"]
    assert set_up.main() is False
    assert len(set_up.commands) == 2


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_main_installs_again_when_a_requirement_changes(set_up, tmp_path, name):
    set_up.main()
    (tmp_path / name).write_text("one more package\n")
    assert set_up.main() is True
    assert steps(set_up) == ["venv", "install", "install"]


def test_main_adopts_an_environment_that_was_there(set_up, tmp_path):
    fake_python(tmp_path / ".venv/bin", "python", "3 11 1")
    set_up.main()
    assert steps(set_up) == ["install"]


@pytest.mark.parametrize("step", ["make", "install"])
def test_main_starts_afresh_after_an_interrupted_set_up(set_up, monkeypatch, step):
    real = getattr(set_up, step)

    def interrupt(*arguments):
        real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(set_up, step, interrupt)
        set_up.main()
    set_up.commands.clear()
    assert set_up.main() is True
    assert steps(set_up) == ["venv", "install"]


def test_main_puts_a_failing_pip_into_one_sentence(set_up):
    set_up.failures = ["", "ERROR: No matching distribution found for keras"]
    with pytest.raises(set_up.SetUpError, match="No matching.*check the network") as e:
        set_up.main()
    assert "\n" not in str(e.value)
    assert set_up.main() is True  # what failed was not taken for whole


def test_main_keeps_an_environment_that_pip_could_not_update(set_up, tmp_path):
    set_up.main()
    (tmp_path / "constraints.txt").write_text("newer\n")
    set_up.failures = ["no network"]
    with pytest.raises(set_up.SetUpError, match="no network"):
        set_up.main()
    (tmp_path / "constraints.txt").write_text("as before\n")
    assert set_up.main() is False


def test_main_wants_room_on_the_disk(set_up, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=2_500_000_000)
    monkeypatch.setattr(set_up.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(set_up.SetUpError, match="2.5 GB of free disk .* at least 6 GB"):
        set_up.main()
    assert set_up.commands == []


def test_find_python_takes_the_newest_that_fits(set_up, monkeypatch, tmp_path):
    answers = ["3 14 1", "3 13 0", "2 7 0", "3 12 1", "3 11 1"]
    names = [fake_python(tmp_path, f"p{i}", a) for i, a in enumerate(answers)]
    broken = fake_python(tmp_path, "broken", "pyenv: not found")
    monkeypatch.setattr(set_up, "CANDIDATES", ("none-such", broken, *names))
    assert set_up.find_python() == names[3]


def test_find_python_says_that_all_are_too_old(set_up, monkeypatch, tmp_path):
    monkeypatch.setattr(
        set_up, "CANDIDATES", (fake_python(tmp_path, "old", "3 9 1"), "none-such")
    )
    with pytest.raises(set_up.SetUpError, match="Got Python 3.9, expected 3.11, 3.12"):
        set_up.find_python()


def test_find_python_says_that_venv_is_missing(set_up, monkeypatch, tmp_path):
    bare = fake_python(tmp_path, "bare", "3 12 0")
    monkeypatch.setattr(set_up, "CANDIDATES", (bare,))
    with pytest.raises(
        set_up.SetUpError, match="without the venv module.*python3-venv"
    ):
        set_up.find_python()


def test_probe_reads_this_interpreter(set_up):
    assert set_up.probe(sys.executable) == (*sys.version_info[:2], 1)
    assert set_up.probe("none-such") == ()


def test_script_ends_in_one_sentence_without_traceback(tmp_path):
    (tmp_path / ".ci").mkdir()
    script = shutil.copy(ROOT / ".ci/set_up.py", tmp_path / ".ci")
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "taken").write_text("a file where the folder should be")
    command = [sys.executable, script, "taken"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Got no environment at")
    assert done.stderr.count("\n") == 1


def dry_run(target, **environment):
    names = ("DISPLAY", "WAYLAND_DISPLAY", "MAKEFLAGS", "MAKELEVEL")
    kept = {k: v for k, v in os.environ.items() if k not in names}
    command = ["make", "-n", target]
    return subprocess.check_output(command, cwd=ROOT, env=kept | environment, text=True)


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac always has a browser")
def test_make_lab_opens_a_browser_only_where_there_is_a_screen():
    assert "--no-browser" in dry_run("lab")
    assert "--no-browser" not in dry_run("lab", DISPLAY=":0")


def test_make_lab_runs_as_root_and_opens_the_first_notebook():
    output = dry_run("lab")
    assert ("--allow-root" in output) == (os.getuid() == 0)
    assert output.rstrip().endswith("notebooks/00_start_here.ipynb")


def test_make_says_that_python_is_missing():
    command = ["make", "--no-print-directory", "set-up", "PYTHON=no-such-python"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stdout.startswith("Got no no-such-python, expected Python 3.11 to 3.13")
