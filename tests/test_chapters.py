"""The plugin of `make test`, on made-up chapters, as a process of its own."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from books import CHECKED, ROOT, write_book
from chapters import NOTE, Chapters

from tl_helpers.tools import record
from tl_helpers.tools.record import Run

FLAGS = """
    -m pytest -p tests.chapters -p no:cacheprovider --nbval-lax --nbval-current-env
""".split()
# a user's wishes: not for this run
ALONE = 'import os\nassert "TL_PROFILE" not in os.environ'
FALSE = 'from tl_helpers.checks import check\ncheck(False, "never so")'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three chapters: a claim too few and slow, right, and with a false claim."""
    folder = tmp_path_factory.mktemp("chapters")
    write_book(folder / "00_short.ipynb", CHECKED, "2")
    write_book(folder / "01_long.ipynb", ALONE, CHECKED)
    write_book(folder / "02_false.ipynb", FALSE, CHECKED)
    runs = {"00_short": Run(3, 0.1), "01_long": Run(2, 99), "02_false": Run(2, 99)}
    record.write(folder, runs)
    return folder


def run_pytest(folder, *arguments):
    """Exit status and output of a run over notebooks of a folder."""
    own = {"TL_PROFILE": "full", "PYTHONPATH": "", "TL_CACHE_DIR": str(folder)}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, *FLAGS, "--rootdir", folder, *arguments],
        env=kept | own,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def lost(folder):
    """A run through a worker of xdist, of two chapters, one with a claim too few."""
    names = [folder / "00_short.ipynb", folder / "01_long.ipynb"]
    return run_pytest(folder, "-n1", "--dist=loadfile", "-v", *names)


def test_a_claim_too_few_fails_the_run(lost):
    status, output = lost
    assert "4 passed" in output
    assert status == 1
    assert "FAILED 00_short: got 2 claims, expected the 3 written down" in output
    assert "01_long: got" not in output


def test_longest_chapters_come_first_and_cells_in_order(lost):
    started = re.findall(r"PASSED \S*?(\d\d_\w+)[.:]+ipynb::Cell (\d)", lost[1])
    assert started == [(name, n) for name in ("01_long", "00_short") for n in "01"]


def test_the_table_and_the_slow_cell_are_printed(lost):
    lines = [line.split() for line in lost[1].splitlines()]
    assert ["chapter", "seconds", "recorded", "claims", "recorded"] in lines
    (row,) = [line for line in lines if line[:1] == ["01_long"] and len(line) == 5]
    assert row[2:] == ["99", "2", "2"]
    assert re.search(r"00_short took \d+ s instead of 0 s. The cell \w+ \(", lost[1])


def test_a_false_claim_fails_the_run(folder):
    status, output = run_pytest(folder, folder / "02_false.ipynb", "--color=no")
    assert status == 1
    assert "Not true here: never so" in output
    assert "02_false: got" not in output  # it printed the two that hold


def report(chapter, cell, claims, num_cells, duration=1.0):
    note = [f"/somewhere/{chapter}.ipynb", cell, claims, num_cells]
    return SimpleNamespace(user_properties=[(NOTE, note)], duration=duration)


def finish(reports, monkeypatch, recorded):
    """Exit status that a passing session gets in the end."""
    monkeypatch.setattr(record, "read", lambda folder: recorded)
    chapters, session = Chapters(), SimpleNamespace(exitstatus=0)
    for each in reports:
        chapters.pytest_runtest_logreport(each)
    chapters.pytest_sessionfinish(session)
    return session.exitstatus


@pytest.mark.parametrize(
    "claims, status", [((1, 2), 0), ((1, 3), 0), ((1, 1), 1), ((0, 0), 1)]
)
def test_finish_compares_the_sum_over_cells(monkeypatch, claims, status):
    reports = [report("00_a", f"c{i}", n, 2) for i, n in enumerate(claims)]
    assert finish(reports, monkeypatch, {"00_a": Run(3), "01_b": Run(9)}) == status


def test_finish_does_not_judge_a_part_of_a_chapter(monkeypatch):
    reports = [report("00_a", "c0", 1, num_cells=2)]
    assert finish(reports, monkeypatch, {"00_a": Run(3)}) == 0


def test_finish_fails_for_a_chapter_that_was_never_recorded(monkeypatch):
    assert finish([report("00_a", "c0", 1, 1)], monkeypatch, {}) == 1


def test_finish_leaves_tests_of_another_kind_alone(monkeypatch):
    other = SimpleNamespace(user_properties=[("time", 3)], duration=1.0)
    assert finish([other], monkeypatch, {}) == 0
