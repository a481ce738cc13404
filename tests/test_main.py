import io
import subprocess
import sys

import pytest

from tl_helpers import __main__, features
from tl_helpers.tools import course, doctor, exercises, mirror, record, stamps
from tl_helpers.tools.record import Run


def outcome(error=""):
    return course.Outcome("00_a", "A", Run(claims=3, seconds=61.2), error)


@pytest.fixture
def written_down(monkeypatch):
    monkeypatch.setattr(record, "read", lambda folder: {"00_a": Run(6, 45)})


def test_course_prints_the_durations(monkeypatch, capsys, written_down):
    monkeypatch.setattr(course, "run_course", lambda **_: [outcome()])
    assert __main__.main(["course", "--profile", "quick"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == [
        ["chapter", "seconds", "recorded", "claims"],
        ["00_a", "61", "45", "3"],
    ]
    assert lines[-1] == ["build/course/index.html"]


def test_course_compares_no_full_run_with_quick_records(
    monkeypatch, capsys, written_down
):
    monkeypatch.setattr(course, "run_course", lambda **_: [outcome()])
    assert __main__.main(["course", "--profile", "full"]) == 0
    assert ["00_a", "61", "-", "3"] in map(
        str.split, capsys.readouterr().out.splitlines()
    )


def test_course_ends_in_1_where_a_notebook_failed(monkeypatch, capsys):
    monkeypatch.setattr(course, "run_course", lambda **_: [outcome("cell 2 failed")])
    assert __main__.main(["course"]) == 1
    assert "FAILED 00_a: cell 2 failed\n" in capsys.readouterr().out


def test_course_passes_its_arguments_on(monkeypatch):
    seen = {}
    monkeypatch.setattr(course, "run_course", lambda **given: seen.update(given) or [])
    __main__.main(["course", "--profile", "full", "--out", "x", "--only", "01_b"])
    assert seen == {"profile": "full", "out": "x", "only": "01_b"}


@pytest.fixture
def recording(monkeypatch, written_down):
    """Names of the steps that a recording takes."""
    steps = []

    monkeypatch.setattr(stamps, "stamp_badges", lambda: steps.append("stamp"))
    monkeypatch.setattr(
        exercises,
        "write_learners",
        lambda only: steps.append(f"learners {only}") or ["notebooks/00_a.ipynb"],
    )
    return steps


def test_record_runs_the_authored_notebooks_then_writes_the_learners(
    monkeypatch, capsys, recording
):
    def run(only):
        recording.append(f"run {only}")
        return [outcome()]

    monkeypatch.setattr(course, "record_course", run)
    assert __main__.main(["record", "--only", "00_a"]) == 0
    assert recording == ["stamp", "run 00_a", "learners 00_a"]
    lines = capsys.readouterr().out.splitlines()
    assert ["00_a", "61", "45", "3", "6"] in map(str.split, lines)
    assert lines[-1] == "wrote notebooks/00_a.ipynb"


def test_record_writes_no_learners_notebook_where_one_failed(
    monkeypatch, capsys, recording
):
    monkeypatch.setattr(course, "record_course", lambda only: [outcome("cell 2")])
    assert __main__.main(["record"]) == 1
    assert recording == ["stamp"]
    assert "FAILED 00_a: cell 2" in capsys.readouterr().out


@pytest.mark.parametrize("error", [ValueError, OSError, RuntimeError, ImportError])
def test_main_puts_an_error_into_one_sentence(monkeypatch, capsys, error):
    def fail():
        raise error("Got this, expected that.")

    monkeypatch.setattr(doctor, "report", fail)
    assert __main__.main(["doctor"]) == 2
    assert capsys.readouterr().err == "tl-helpers: Got this, expected that.\n"


def test_main_prints_on_a_console_in_cp1252(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "cp1252"))
    monkeypatch.setattr(doctor, "report", lambda: [("mirror", "/stick/Ĉiuj ✓")])
    assert __main__.main(["doctor"]) == 0
    sys.stdout.seek(0)
    assert sys.stdout.read() == "mirror  /stick/?iuj ?\n"


@pytest.mark.parametrize("name", ["TL_OFFLINE", "TL_PROFILE"])
def test_main_says_what_a_setting_may_be(monkeypatch, capsys, name):
    monkeypatch.setattr(doctor, "_try_imports", lambda: ("tensorflow", "none"))
    monkeypatch.setenv(name, "flase")
    assert __main__.main(["doctor"]) == 2
    assert capsys.readouterr().err.startswith(
        f"tl-helpers: {name} is 'flase', expected"
    )


def test_main_stops_quietly_when_interrupted(monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "report", interrupt)
    assert __main__.main(["doctor"]) == 130


def test_badges_names_what_it_stamped(monkeypatch, capsys):
    monkeypatch.setattr(stamps, "stamp_badges", lambda: ["notebooks/00_a.ipynb"])
    assert __main__.main(["badges"]) == 0
    assert capsys.readouterr().out == "stamped notebooks/00_a.ipynb\n"


def test_cache_is_shown_and_emptied(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("TL_CACHE_DIR", str(tmp_path))
    folder = tmp_path / "features"
    folder.mkdir()
    (folder / features.MARKER).touch()
    (folder / f"tl-features-{32 * '0'}.npz").write_bytes(bytes(300_000))
    (folder / "my_results.csv").write_text("not the course's")
    __main__.main(["cache"])
    assert "1 entries, 0.3 MB" in capsys.readouterr().out
    __main__.main(["cache", "--clear"])
    assert "0 entries, 0.0 MB" in capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} == {
        features.MARKER,
        "my_results.csv",
    }


def test_the_module_runs_as_a_command(tmp_path):
    command = [sys.executable, "-m", "tl_helpers", "course"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("tl-helpers: Got no *.ipynb in")
    assert "Traceback" not in done.stderr


def test_mirror_and_verify_hand_their_status_on(monkeypatch):
    seen = []
    monkeypatch.setattr(mirror, "mirror", lambda *given: seen.append(given) or 1)
    monkeypatch.setattr(mirror, "verify", lambda *given: seen.append(given) or 0)
    assert __main__.main(["mirror", "stick", "mnist", "pacs"]) == 1
    assert __main__.main(["verify", "stick"]) == 0
    assert seen == [("stick", ["mnist", "pacs"]), ("stick",)]
