import subprocess
import sys

import pytest

from tl_helpers import __main__
from tl_helpers.tools import course, doctor, mirror


def outcome(error=""):
    return course.Outcome("00_a", "A", duration_s=61.2, num_checks=3, error=error)


def test_course_reports_every_notebook(monkeypatch, capsys):
    monkeypatch.setattr(course, "run_course", lambda **_: [outcome()])
    assert __main__.main(["course"]) == 0
    assert "00_a: 61 s, 3 checked claims\n" in capsys.readouterr().out


def test_course_ends_in_1_where_a_notebook_failed(monkeypatch, capsys):
    monkeypatch.setattr(course, "run_course", lambda **_: [outcome("cell 2 failed")])
    assert __main__.main(["course"]) == 1
    assert "FAILED\n  cell 2 failed" in capsys.readouterr().out


def test_course_passes_its_arguments_on(monkeypatch):
    seen = {}
    monkeypatch.setattr(course, "run_course", lambda **given: seen.update(given) or [])
    __main__.main(["course", "--profile", "full", "--out", "x", "--only", "01_b"])
    assert seen == {"profile": "full", "out": "x", "only": "01_b"}


@pytest.mark.parametrize("error", [ValueError, OSError, RuntimeError, ImportError])
def test_main_puts_an_error_into_one_sentence(monkeypatch, capsys, error):
    def fail():
        raise error("Got this, expected that.")

    monkeypatch.setattr(doctor, "report", fail)
    assert __main__.main(["doctor"]) == 2
    assert capsys.readouterr().err == "tl-helpers: Got this, expected that.\n"


def test_main_stops_quietly_when_interrupted(monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "report", interrupt)
    assert __main__.main(["doctor"]) == 130


def test_badges_names_what_it_stamped(monkeypatch, capsys):
    monkeypatch.setattr(course, "stamp_badges", lambda: ["notebooks/00_a.ipynb"])
    assert __main__.main(["badges"]) == 0
    assert capsys.readouterr().out == "stamped notebooks/00_a.ipynb\n"


def test_cache_is_shown_and_emptied(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("TL_CACHE_DIR", str(tmp_path))
    (tmp_path / "features").mkdir()
    (tmp_path / "features/a.npz").write_bytes(bytes(300_000))
    __main__.main(["cache"])
    assert "1 entries, 0.3 MB" in capsys.readouterr().out
    __main__.main(["cache", "--clear"])
    assert "0 entries, 0.0 MB" in capsys.readouterr().out
    assert not list((tmp_path / "features").iterdir())


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
