import ast
import re

import pytest
from books import AUTHORED, LESSONS, NOTEBOOKS, ROOT, cells_of, read_book, write_book

from tl_helpers import __version__
from tl_helpers.tools import record, stamps
from tl_helpers.tools.notebooks import code_cells, count_claims


def readme():
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_lists_every_notebook_in_order_with_badge_and_picture():
    rows = [line for line in readme().splitlines() if line.startswith("| [")]
    links = [f"[{path.stem}](notebooks/{path.name})" for path in LESSONS]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == links
    for row, path in zip(rows, LESSONS, strict=True):
        assert row.endswith(f"| {stamps.badge(f'notebooks/{path.name}')} |")
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
        found.append(named_as_needed(write_book(tmp_path / "a.ipynb", title=text)))
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
    cells = [cell for cell in cells_of(path) if cell.get("id") != "quiz"]
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
        call = ast.parse(checker).body[-1].value  # the last line of its cell
        assert 20 < len(call.args[2].value) < 120, checker


@pytest.mark.parametrize("path", AUTHORED, ids=lambda p: p.stem)
def test_every_exercise_is_solved(path):
    code = code_cells(read_book(path))
    outputs = [output for cell in code for output in cell.outputs]
    printed = "".join(o.text for o in outputs if o.get("name") == "stdout")
    num_exercises = sum(cell.source.count("check_exercise(") for cell in code)
    assert printed.count("exercise solved") == num_exercises == 3


def test_every_chapter_has_its_claims_written_down():
    claims = {
        path.stem: sum(
            count_claims(cell.outputs) for cell in code_cells(read_book(path))
        )
        for path in AUTHORED
    }
    recorded = record.read(NOTEBOOKS / "solutions")
    assert {name: run.claims for name, run in recorded.items()} == claims
    assert min(claims.values()) > 3


@pytest.mark.parametrize("path", AUTHORED, ids=lambda p: p.stem)
def test_every_recorded_cell_exists(path):
    run = record.read(path.parent)[path.stem]
    assert run.cells.keys() <= {cell.id for cell in code_cells(read_book(path))}


@pytest.mark.parametrize("path", AUTHORED, ids=lambda p: p.stem)
def test_every_authored_notebook_was_run_from_top_to_bottom(path):
    code = code_cells(read_book(path))
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [o for o in outputs if o.get("name") == "stderr"], "tl-helpers record"


@pytest.mark.parametrize(
    "path", LESSONS + AUTHORED, ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_every_link_of_a_notebook_leads_to_a_file(path):
    text = "\n".join(c.source for c in cells_of(path) if c.cell_type == "markdown")
    places = re.findall(r"\]\(([^)#:]+\.\w+)(?:#[^)]*)?\)", text)
    gone = [place for place in places if not (path.parent / place).exists()]
    assert gone == []


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
    assert f"repository-code: {stamps.REPOSITORY_URL}" in lines
    assert f"version = {{{__version__}}}," in readme()
    assert f"url     = {{{stamps.REPOSITORY_URL}}}" in readme()


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
