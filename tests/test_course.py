from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tl_helpers import course

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
CHECKED = 'from tl_helpers.checks import check\ncheck(True, "one")\ncheck(True, "two")'


def write_notebook(path, *sources, title="# A title"):
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [new_markdown_cell(title), *map(new_code_cell, sources)]
    nbformat.write(new_notebook(cells=cells), path)
    return path


def cells_of(path):
    return nbformat.read(path, as_version=4).cells


def leave_an_old_claim(path):
    """Put a tick of an earlier run behind the cell that will fail."""
    book = nbformat.read(path, as_version=4)
    old = nbformat.v4.new_output("stream", name="stdout", text="✓ of yesterday\n")
    book.cells[-1].outputs = [old]
    nbformat.write(book, path)


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """Outcomes and pages of a course whose second notebook of three fails."""
    root = tmp_path_factory.mktemp("course")
    write_notebook(root / "notebooks/00_good.ipynb", CHECKED, title="# Good & <early>")
    broken = ["x = 1", "", 'print("so far")\nraise ValueError("bad\\nnumber <3>")', "y"]
    path = write_notebook(root / "notebooks/01_broken.ipynb", *broken)
    leave_an_old_claim(path)
    knob = 'import os\nassert os.environ["TL_PROFILE"] == "full"'
    write_notebook(root / "notebooks/02_last.ipynb", knob, CHECKED)
    before = {p.name: p.read_bytes() for p in (root / "notebooks").iterdir()}
    outcomes = course.run_course(root / "notebooks", root / "out", profile="full")
    after = {p.name: p.read_bytes() for p in (root / "notebooks").iterdir()}
    return outcomes, root / "out", before == after


def test_run_course_counts_the_checked_claims_of_every_notebook(two_runs):
    outcomes, _, _ = two_runs
    assert [(o.name, o.num_checks) for o in outcomes] == [
        ("00_good", 2),
        ("01_broken", 0),
        ("02_last", 2),
    ]
    assert all(outcome.duration_s > 0 for outcome in outcomes)


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
    write_notebook(tmp_path / "00_gone.ipynb", code)
    (outcome,) = course.run_course(tmp_path, tmp_path / "out", profile="quick")
    assert outcome.error.startswith("code cell 1 (import os) failed: DeadKernelError")
    assert "out of memory" in (tmp_path / "out/00_gone.log").read_text()


def test_run_course_stops_a_cell_that_hangs(tmp_path, monkeypatch):
    monkeypatch.setitem(course.CELL_TIMEOUT_S, "quick", 1)
    write_notebook(tmp_path / "00_slow.ipynb", "import time\ntime.sleep(60)")
    (outcome,) = course.run_course(tmp_path, tmp_path / "out", profile="quick")
    assert "it ran for more than 1 s" in outcome.error


def test_run_course_runs_only_the_named_notebook(tmp_path):
    write_notebook(tmp_path / "00_first.ipynb", "1")
    write_notebook(tmp_path / "01_second.ipynb", "1")
    outcomes = course.run_course(tmp_path, tmp_path / "out", only="01_second")
    assert [outcome.name for outcome in outcomes] == ["01_second"]


def test_find_notebooks_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="run this in a clone of https://"):
        course.find_notebooks(tmp_path)


def test_count_checks_ignores_unsolved_exercises_and_ticks_within_a_line():
    text = "✓ a claim\nNot answered yet. Hint: ✓\n  ✓ indented\n"
    cell = new_code_cell("x")
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
    assert course.count_checks(new_notebook(cells=[cell])) == 1


def test_stamp_badges_adds_badge_and_set_up_cell(tmp_path):
    folder = tmp_path / "notebooks"
    title = "# Title\n\nYou will do this."
    path = write_notebook(folder / "00_a.ipynb", "import keras", title=title)
    nested = write_notebook(folder / "solutions/00_a.ipynb", "1")
    assert course.stamp_badges(folder) == [path, nested]
    first, set_up, rest = cells_of(path)
    heading, badge, text = first.source.split("\n\n")
    assert (heading, text) == ("# Title", "You will do this.")
    assert badge.endswith("/transfer-learning-course/blob/main/notebooks/00_a.ipynb)")
    assert (set_up.source, rest.source) == (course.SET_UP_CELL, "import keras")
    assert "blob/main/notebooks/solutions/00_a.ipynb" in cells_of(nested)[0].source


def test_stamp_badges_changes_nothing_the_second_time(tmp_path):
    path = write_notebook(tmp_path / "notebooks/00_a.ipynb", "1")
    course.stamp_badges(path.parent)
    before = path.read_bytes()
    assert course.stamp_badges(path.parent) == []
    assert path.read_bytes() == before


def test_stamp_badges_replaces_an_old_address(tmp_path, monkeypatch):
    path = write_notebook(tmp_path / "notebooks/00_a.ipynb", "1")
    course.stamp_badges(path.parent)
    moved = course.SET_UP_CELL.replace("tl-helpers/transfer", "school/transfer")
    monkeypatch.setattr(course, "REPOSITORY_URL", "https://github.com/school/course")
    monkeypatch.setattr(course, "SET_UP_CELL", moved)
    course.stamp_badges(path.parent)
    first, set_up, _ = cells_of(path)
    assert first.source.count("colab-badge.svg") == 1
    assert "github/school/course/blob" in first.source
    assert set_up.source == moved


def test_stamp_badges_wants_a_title(tmp_path):
    path = write_notebook(tmp_path / "notebooks/00_a.ipynb", "1", title="no heading")
    with pytest.raises(ValueError, match="without a title"):
        course.stamp_badges(path.parent)


def test_set_up_cell_does_nothing_outside_colab(tmp_path):
    write_notebook(tmp_path / "00_a.ipynb", course.SET_UP_CELL)
    (outcome,) = course.run_course(tmp_path, tmp_path / "out", profile="quick")
    assert outcome.error == ""
    assert cells_of(tmp_path / "out/00_a.ipynb")[1].outputs == []


@pytest.mark.parametrize(
    "path", sorted(NOTEBOOKS.rglob("*.ipynb")), ids=lambda p: p.stem
)
def test_every_notebook_begins_with_badge_and_set_up_cell(path):
    cells = cells_of(path)
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    place = path.relative_to(NOTEBOOKS.parent).as_posix()
    assert course.badge(place) in cells[0].source.splitlines()
    assert code[0] == course.SET_UP_CELL, "run make badges"
