import base64
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tl_helpers import __main__, __version__
from tl_helpers.tools import course

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
PICTURES = ROOT / "docs/pictures"
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


def write_plots(path, *cells):
    """A notebook with one code cell for each (tags, contents of its plots)."""
    book = new_notebook(cells=[new_markdown_cell("# A title")])
    for tags, plots in cells:
        cell = new_code_cell("plot()", metadata={"tags": tags})
        encoded = [base64.b64encode(plot).decode() for plot in plots]
        cell.outputs = [
            new_output("display_data", {"image/png": plot}) for plot in encoded
        ]
        book.cells.append(cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(book, path)
    return path


def test_write_pictures_takes_the_plot_of_the_tagged_cell(tmp_path):
    cells = ([], [b"first"]), (["other", "picture"], [b"second"]), ([], [b"third"])
    write_plots(tmp_path / "notebooks/00_a.ipynb", *cells)
    out = tmp_path / "docs/pictures"
    assert course.write_pictures(tmp_path / "notebooks", out) == [out / "00_a.png"]
    assert (out / "00_a.png").read_bytes() == b"second"


def test_write_pictures_changes_only_what_is_stale(tmp_path):
    for name in ("00_a", "01_b"):
        write_plots(tmp_path / f"{name}.ipynb", (["picture"], [b"old"]))
    course.write_pictures(tmp_path, tmp_path)
    write_plots(tmp_path / "01_b.ipynb", (["picture"], [b"new"]))
    assert course.write_pictures(tmp_path, tmp_path) == [tmp_path / "01_b.png"]
    assert (tmp_path / "00_a.png").read_bytes() == b"old"
    assert (tmp_path / "01_b.png").read_bytes() == b"new"


@pytest.mark.parametrize(
    "cells, got",
    [
        ([([], [b"x"])], "0 plots of 0 code cells"),
        ([(["picture"], [])], "0 plots of 1 code cells"),
        ([(["picture"], [b"x", b"y"])], "2 plots of 1 code cells"),
        ([(["picture"], [b"x"]), (["picture"], [])], "1 plots of 2 code cells"),
    ],
)
def test_write_pictures_wants_one_plot_of_one_cell(tmp_path, cells, got):
    write_plots(tmp_path / "00_a.ipynb", (["picture"], [b"good"]))
    write_plots(tmp_path / "01_b.ipynb", *cells)
    with pytest.raises(ValueError, match=f"{got} .*01_b.ipynb, expected"):
        course.write_pictures(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pictures_command_names_what_it_wrote(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_plots(tmp_path / "notebooks/00_a.ipynb", (["picture"], [b"plot"]))
    assert __main__.main(["pictures"]) == 0
    path = Path("docs/pictures/00_a.png")
    assert capsys.readouterr().out == f"wrote {path}\n"
    assert path.read_bytes() == b"plot"


def test_pictures_are_those_of_the_notebooks():
    committed = {path.stem: path.read_bytes() for path in PICTURES.iterdir()}
    assert committed.keys() == {path.stem for path in LESSONS}
    stale = [p.stem for p in LESSONS if committed[p.stem] != course.picture_of(p)]
    assert stale == [], "run tl-helpers pictures"
    assert sum(map(len, committed.values())) < 800_000
    assert all(data.startswith(b"\x89PNG") for data in committed.values())


def readme():
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_lists_every_notebook_in_order_with_badge_and_picture():
    rows = [line for line in readme().splitlines() if line.startswith("| [")]
    links = [f"[{path.stem}](notebooks/{path.name})" for path in LESSONS]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == links
    for row, path in zip(rows, LESSONS, strict=True):
        assert row.endswith(f"| {course.badge(f'notebooks/{path.name}')} |")
    shown = re.findall(r'src="docs/pictures/(.+?)\.png"', readme())
    assert shown == [path.stem for path in LESSONS]


def all_before(needs):
    """{chapter: all chapters before it} from {chapter: those named as needed}."""
    before = {}
    for chapter in sorted(needs):  # each needs only earlier ones
        named = needs[chapter]
        before[chapter] = named.union(*(before[name] for name in named))
    return before


def named_as_needed(path):
    """Numbers of the notebooks that a "You need" line names: "00 to 02", "02, 06"."""
    line = re.search(r"\*\*You need\*\* (.+)", cells_of(path)[0].source)[1]
    names = re.match(r"notebooks? ([\d ,]|and|to)+", line)
    spans = re.findall(r"(\d\d)(?: to (\d\d))?", names[0] if names else "")
    numbers = [range(int(a), int(b or a) + 1) for a, b in spans]
    return {f"{number:02d}" for span in numbers for number in span}


def test_named_as_needed_reads_every_form(tmp_path):
    found = []
    for line in ("some Python, 60 s", "notebook 02, a minute", "notebooks 00 to 02, 4"):
        text = f"# Title\n\n**You need** {line}"
        found.append(named_as_needed(write_notebook(tmp_path / "a.ipynb", title=text)))
    assert found == [set(), {"02"}, {"00", "01", "02"}]


def test_readme_maps_what_the_notebooks_say_they_need():
    drawn = {path.stem[:2]: set() for path in LESSONS}
    for first, then in re.findall(r'n(\d\d)(?:\["[^"]+"\])? --> n(\d\d)', readme()):
        drawn[then].add(first)
    told = {path.stem[:2]: named_as_needed(path) for path in LESSONS}
    assert all_before(drawn) == all_before(told)
    labels = dict(re.findall(r'n(\d\d)\["(.+?)"\]', readme()))
    assert labels == {p.stem[:2]: p.stem.replace("_", " ") for p in LESSONS}


def exercises_of(path):
    """[(text of the exercise, source of its checker)] of a notebook."""
    cells = cells_of(path)
    numbers = [i for i, cell in enumerate(cells) if "**1.** " in cell.source]
    assert numbers, f"{path.name} has no exercise"
    found = []
    for cell in cells[numbers[0] :]:
        if text := re.search(r"\*\*\d\.\*\* .+", cell.source):
            found.append([text[0], ""])
        elif "check_exercise(" in cell.source:
            found[-1][1] += cell.source
    return found


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_every_exercise_tells_its_time_and_has_a_checker_with_a_hint(path):
    exercises = exercises_of(path)
    assert len(exercises) == 3
    cost = r"second|minute|hour|moment|no time|no training|no computing|by hand|pencil"
    for text, checker in exercises:
        assert re.search(cost, text, re.IGNORECASE), text
        hint = re.search(r'"([^"]+)",?\s*\)$', checker)
        assert hint and 20 < len(hint[1]) < 120, checker


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_every_notebook_has_its_solutions(path):
    book = nbformat.read(path.parent / "solutions" / path.name, as_version=4)
    code = "\n".join(cell.source for cell in book.cells if cell.cell_type == "code")
    solved = [
        output.text.count("exercise solved")
        for cell in book.cells
        for output in cell.get("outputs", [])
        if output.get("name") == "stdout"
    ]
    assert 2 <= sum(solved) == code.count("check_exercise(")


def test_teaching_lists_every_exercise():
    text = (ROOT / "docs/teaching.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\d\d)\.(\d) \|", text, re.MULTILINE)
    counted = [
        (path.stem[:2], str(number + 1))
        for path in LESSONS
        for number in range(len(exercises_of(path)))
    ]
    assert listed == counted


def test_citations_name_the_version_and_the_repository():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    lines = citation.splitlines()
    assert f"version: {__version__}" in lines
    assert f"repository-code: {course.REPOSITORY_URL}" in lines
    assert f"version = {{{__version__}}}," in readme()
    assert f"url     = {{{course.REPOSITORY_URL}}}" in readme()


def test_teaching_points_to_headings_that_exist():
    text = (ROOT / "docs/teaching.md").read_text(encoding="utf-8")
    places = re.findall(r"(\d\d), ((?:\*[^*]+\*(?:; )?)+)", text)
    assert len(places) > 20
    for number, names in places:
        (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
        sources = "\n".join(cell.source for cell in cells_of(path))
        headings = "\n".join(re.findall(r"^##+ .+", sources, re.MULTILINE))
        for name in re.findall(r"\*([^*]+)\*", names):
            assert name in headings, f"{path.name} has no heading {name!r}"
