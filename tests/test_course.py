import nbformat
import pytest
from books import CHECKED, printed, read_book, write_book

from tl_helpers.storage import read_json
from tl_helpers.tools import course, notebooks, record


def leave_an_old_claim(path):
    """Put a tick of an earlier run behind the cell that will fail."""
    book = read_book(path)
    book.cells[-1].outputs = [printed("✓ of yesterday\n")]
    nbformat.write(book, path)


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """Outcomes and pages of a course whose second notebook of three fails."""
    root = tmp_path_factory.mktemp("course")
    write_book(root / "notebooks/00_good.ipynb", CHECKED, title="# Good & <early>")
    broken = ["x = 1", "", 'print("so far")\nraise ValueError("bad\\nnumber <3>")', "y"]
    path = write_book(root / "notebooks/01_broken.ipynb", *broken)
    leave_an_old_claim(path)
    knob = 'import os\nassert os.environ["TL_PROFILE"] == "full"'
    strict = 'assert os.environ["TL_STRICT"] == "1"'
    write_book(root / "notebooks/02_last.ipynb", knob, strict, CHECKED)
    before = {p.name: p.read_bytes() for p in (root / "notebooks").iterdir()}
    outcomes = course.run_course(root / "notebooks", root / "out", profile="full")
    after = {p.name: p.read_bytes() for p in (root / "notebooks").iterdir()}
    return outcomes, root / "out", before == after


def test_run_course_counts_the_claims_of_every_notebook(two_runs):
    outcomes, _, _ = two_runs
    assert [(o.name, o.run.claims) for o in outcomes] == [
        ("00_good", 2),
        ("01_broken", 0),
        ("02_last", 2),
    ]


def test_run_course_times_every_notebook_and_cell(two_runs):
    good, _, last = two_runs[0]
    assert len(good.run.cells) == 1 and len(last.run.cells) == 3
    assert 0 < sum(good.run.cells.values()) < good.run.seconds


def test_run_course_explains_a_failure_in_one_paragraph_and_goes_on(two_runs):
    good, broken, last = two_runs[0]
    assert good.error == last.error == ""
    assert broken.error == (
        'code cell 2 (print("so far")) failed: ValueError: bad number <3>'
    )


def test_run_course_leaves_the_notebooks_alone(two_runs):
    assert two_runs[2]


def test_run_course_writes_an_index_and_a_page_for_each(two_runs):
    _, out, _ = two_runs
    index = (out / "index.html").read_text()
    assert "Good &amp; &lt;early&gt;" in index and "$" not in index
    assert "bad number &lt;3&gt;" in index
    assert "Profile full &middot; notebooks: 3 &middot; checked claims: 4" in index
    assert "1 failed" in index
    for name in ("00_good", "01_broken", "02_last"):
        assert f'href="{name}.html"' in index
    assert "✓ two" in (out / "00_good.html").read_text()
    assert "so far" in (out / "01_broken.html").read_text()


def test_run_course_leaves_nothing_half_written(two_runs):
    suffixes = {path.suffix for path in two_runs[1].iterdir()}
    assert suffixes == {".html", ".ipynb", ".log"}


def test_run_course_reports_a_kernel_that_dies_and_keeps_its_last_words(tmp_path):
    code = "import os\nos.write(2, b'out of memory')\nos._exit(1)"
    write_book(tmp_path / "00_gone.ipynb", code)
    (outcome,) = course.run_course(tmp_path, tmp_path / "out", profile="quick")
    assert outcome.error.startswith("code cell 1 (import os) failed: DeadKernelError")
    assert "out of memory" in (tmp_path / "out/00_gone.log").read_text()


def test_run_course_stops_a_cell_that_hangs(tmp_path, monkeypatch):
    monkeypatch.setitem(course.CELL_TIMEOUT_S, "quick", 1)
    write_book(tmp_path / "00_slow.ipynb", "import time\ntime.sleep(60)")
    (outcome,) = course.run_course(tmp_path, tmp_path / "out", profile="quick")
    assert "it ran for more than 1 s" in outcome.error


def test_find_notebooks_takes_all_in_order_or_the_named_one(tmp_path):
    first, second = (write_book(tmp_path / f"{n}.ipynb") for n in ("00_a", "01_b"))
    assert notebooks.find_notebooks(tmp_path) == [first, second]
    assert notebooks.find_notebooks(tmp_path, only="01_b") == [second]


def test_find_notebooks_says_what_is_missing(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="run this in a clone of the repository"
    ):
        notebooks.find_notebooks(tmp_path)


def test_count_claims_ignores_unsolved_exercises_and_ticks_within_a_line():
    text = "✓ a claim\nNot answered yet. Hint: ✓\n  ✓ indented\n"
    warned = printed("✓ not printed\n", name="stderr")
    assert notebooks.count_claims([printed(text), warned, printed("✓ more\n")]) == 2


IN_PIECES = """\
import os, sys, time
print("environment", sorted(name for name in os.environ if name[:3] == "TL_"))
sys.stdout.flush()
time.sleep(0.3)
print("and on")
print("careful", file=sys.stderr)"""
FALSE = 'from tl_helpers.checks import check\ncheck(False, "never so")'


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Folder and outcomes of two authored notebooks, the second with a false claim."""
    folder = tmp_path_factory.mktemp("solutions")
    write_book(folder / "00_good.ipynb", CHECKED, "", IN_PIECES)
    write_book(folder / "01_false.ipynb", "print(1)", FALSE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TL_PROFILE", "full")  # the user's: not for a record
        patch.setenv("TL_DATA_DIR", "somewhere")
        patch.setenv("TL_CACHE_DIR", str(folder / "cache"))
        before = (folder / "01_false.ipynb").read_bytes()
        outcomes = course.record_course(folder)
    assert (folder / "01_false.ipynb").read_bytes() == before
    return folder, outcomes


def test_record_course_keeps_the_outputs_in_one_piece(recorded):
    code = notebooks.code_cells(read_book(recorded[0] / "00_good.ipynb"))
    assert [cell.execution_count for cell in code] == [1, 2]
    assert code[0].outputs == [printed("✓ one\n✓ two\n")]
    (output,) = code[1].outputs
    assert output.text == "environment ['TL_CACHE_DIR', 'TL_STRICT']\nand on\n"


def test_record_course_leaves_the_machine_out_of_the_notebook(recorded):
    book = read_book(recorded[0] / "00_good.ipynb")
    assert book.metadata == {}
    assert all(cell.metadata == {} for cell in book.cells)


def test_record_course_tells_what_went_to_standard_error(recorded):
    assert [outcome.warnings for outcome in recorded[1]] == ["careful", ""]


def test_record_course_writes_down_claims_and_seconds_of_what_passed(recorded):
    folder, (good, false) = recorded
    assert "Not true here: never so" in false.error
    seconds = round(good.run.seconds)
    assert read_json(folder / "recorded.json") == {
        "00_good": {"claims": 2, "seconds": seconds, "cells": {}}
    }


def test_summary_shows_durations_failures_and_warnings():
    good = course.Outcome("00_a", "A", record.Run(3, 9.6), warnings="careful")
    bad = course.Outcome("01_b", "B", record.Run(0, 1.0), error="cell 2 failed")
    text = course.summary([good, bad], {"00_a": record.Run(4, 8)}, "folder")
    assert text.splitlines() == [
        "chapter   seconds  recorded  claims  recorded",
        "00_a           10         8       3         4",
        "01_b            1         -       0         -",
        "2 in all       11                 3",
        "00_a wrote to standard error: careful",
        "FAILED 01_b: cell 2 failed",
    ]
    assert "recorded  claims\n" in course.summary([good], {}, "folder", False)
