import nbformat
import pytest
from books import AUTHORED, NOTEBOOKS, book_of, cells_of, printed, read_book, write_book
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from tl_helpers import __main__
from tl_helpers.tools import exercises, stamps
from tl_helpers.tools.exercises import learners_book

EXERCISE = """\
answer = ...
# BEGIN SOLUTION
worked_out = 40 + 2
answer = worked_out
# END SOLUTION"""
CHECKER = 'check_exercise(answer, lambda given: given == 42, "six by seven")'


def ran(source, number, *outputs, tags=(), **metadata):
    """A code cell that was run."""
    if tags:
        metadata["tags"] = list(tags)
    return new_code_cell(
        source, execution_count=number, outputs=list(outputs), metadata=metadata
    )


def chapter():
    """An authored chapter: set-up, a plot, an exercise, what it teaches, an end."""
    plot = new_output("display_data", {"image/png": "cGxvdA=="})
    told = new_markdown_cell("So it is 42.", metadata={"tags": ["solution"]})
    value = new_output("execute_result", {"text/plain": "42"}, execution_count=5)
    return book_of(
        ran(stamps.SET_UP_CELL, 1),
        ran("plot()", 2, plot, tags=["picture"]),
        new_markdown_cell("**1.** What is it? See [results](../../docs/results.md)."),
        ran(EXERCISE, 3, printed("42\n")),
        ran(CHECKER, 4, printed("✓ exercise solved\n")),
        told,
        ran("worked_out", 5, value, tags=["solution"]),
        new_code_cell(""),
        ran("6 * 7", 6, new_output("execute_result", {"text/plain": "42"})),
        title="# A chapter\n\nYou will count.",
    )


@pytest.fixture
def learners():
    return learners_book(chapter(), "00_a.ipynb")


def code_of(book):
    return [cell for cell in book.cells if cell.cell_type == "code"]


def test_learners_get_the_dots_and_no_solution(learners):
    assert [cell.source for cell in code_of(learners)] == [
        stamps.SET_UP_CELL,
        "plot()",
        "answer = ...",
        CHECKER,
        "",
        "6 * 7",
    ]
    assert "So it is 42." not in "".join(cell.source for cell in learners.cells)


def test_the_checker_waits_with_its_hint(learners):
    _, _, exercise, checker, _, _ = code_of(learners)
    assert exercise.outputs == []
    assert checker.outputs == [printed("Not answered yet. Hint: six by seven\n")]


def test_the_checkers_own_words_are_those_of_the_output(learners, capsys):
    from tl_helpers.checks import check_exercise

    exec(CHECKER, {"check_exercise": check_exercise, "answer": ...})
    assert code_of(learners)[3].outputs == [printed(capsys.readouterr().out)]


def test_execution_counts_stay_consecutive(learners):
    code = code_of(learners)
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4, None, 5]
    assert code[-1].outputs[0].execution_count == 5


def test_cells_that_did_not_run_get_neither_number_nor_hint():
    book = book_of(new_code_cell("1"), new_code_cell(CHECKER))
    code = code_of(learners_book(book, "00_a.ipynb"))
    assert all(cell.execution_count is None and not cell.outputs for cell in code)


def test_ids_tags_and_outputs_of_the_chapter_are_kept(learners):
    authored = chapter()
    kept = {cell.id: cell for cell in learners_book(authored, "00_a.ipynb").cells}
    left_out = [cell.id for cell in authored.cells if cell.id not in kept]
    assert left_out == [authored.cells[6].id, authored.cells[7].id]
    assert kept[authored.cells[2].id] == authored.cells[2]
    assert nbformat.validate(learners) is None


def test_the_badge_is_that_of_the_learners_place():
    book = chapter()
    stamps.stamp(book, "notebooks/solutions/00_a.ipynb")
    first = learners_book(book, "00_a.ipynb").cells[0].source
    assert first == f"# A chapter\n\n{stamps.badge('notebooks/00_a.ipynb')}\n\n" + (
        "You will count."
    )


def test_links_lose_one_step_up():
    text = (
        "[a](../../docs/a.md) [b](../solutions/b.ipynb) [c](c.ipynb) "
        '<img src="../../docs/d.png"> [e](https://e.org/../x) ../../f'
    )
    book = learners_book(book_of(new_markdown_cell(text)), "00_a.ipynb")
    assert book.cells[1].source == (
        "[a](../docs/a.md) [b](solutions/b.ipynb) [c](c.ipynb) "
        '<img src="../docs/d.png"> [e](https://e.org/../x) ../../f'
    )


def test_the_authored_notebook_stays_as_it_is():
    book = chapter()
    before = nbformat.writes(book)
    learners_book(book, "00_a.ipynb")
    assert nbformat.writes(book) == before


@pytest.mark.parametrize(
    "source, left",
    [
        ("a\n\n\n# BEGIN SOLUTION\nb\n# END SOLUTION\n\n\nc", "a\n\n\nc"),
        ("a\n# BEGIN SOLUTION\n\n# END SOLUTION\nc", "a\nc"),
        ("a\n  # BEGIN SOLUTION\n  b\n  # END SOLUTION", "a"),
        ("# BEGIN SOLUTION\nb\n# END SOLUTION\na\n\n\nc", "a\n\n\nc"),
        (
            "a\n# BEGIN SOLUTION\nb\n# END SOLUTION\n"
            "c\n# BEGIN SOLUTION\nd\n# END SOLUTION",
            "a\nc",
        ),
        ("a\n\n\n\nb  # BEGIN SOLUTION\n", "a\n\n\n\nb  # BEGIN SOLUTION\n"),
    ],
)
def test_without_solution_leaves_one_gap(source, left):
    assert exercises.without_solution(source, "00_a.ipynb") == left


@pytest.mark.parametrize(
    "source, got",
    [
        ("a\n# BEGIN SOLUTION\nb", "# BEGIN SOLUTION' in 00_a.ipynb without '# END"),
        ("a\n# END SOLUTION", "# END SOLUTION' in 00_a.ipynb without its partner"),
        ("# BEGIN SOLUTION\n# BEGIN SOLUTION\n# END SOLUTION", "without its partner"),
    ],
)
def test_a_marker_wants_its_partner(source, got):
    with pytest.raises(ValueError, match=got):
        learners_book(book_of(source), "00_a.ipynb")


@pytest.mark.parametrize(
    "call",
    [
        'check_exercise(answer, is_right, f"{hint}")',
        "check_exercise(answer, is_right, 3)",
        "check_exercise(answer, is_right)",
        'check_exercise(a, b, "c")\ncheck_exercise(a, b, "d")',
    ],
)
def test_a_checker_wants_one_plain_hint(call):
    with pytest.raises(ValueError, match="expected one with a plain string"):
        learners_book(book_of(call), "00_a.ipynb")


def test_an_import_of_the_checker_is_no_exercise():
    source = "from tl_helpers.checks import check_exercise"
    said = printed("what it says\n")
    book = learners_book(book_of(ran(source, 1, said)), "00_a.ipynb")
    assert book.cells[2].outputs == [said]


def test_what_is_left_has_to_be_python():
    source = "def f():\n    # BEGIN SOLUTION\n    return 1\n    # END SOLUTION"
    with pytest.raises(ValueError, match="is no Python .* leave the dots"):
        learners_book(book_of(source), "00_a.ipynb")


def solving(*lines):
    return "\n".join(["answer = ...", exercises.BEGIN, *lines, exercises.END])


@pytest.mark.parametrize(
    "cells",
    [
        [solving("new = 1"), "print(new)"],
        [solving("import json"), "json.dumps(1)"],
        [solving("answer = 1"), "print(answer)"],
        [solving("answer = 1"), f"{CHECKER[:-1]} + answer)"],
        ["old = 1", solving("old = 2"), "print(old)"],
        ["old = 1", solving("old = 2"), "def f(x):\n    return old + x", "f(1)"],
        ["def f():\n    return new", solving("new = 2"), "f()"],
        ["def f():\n    return new", "def g():\n    f()", solving("new = 2"), "g()"],
        ["old = 1", solving("old = 2"), "old = old + 1"],
        [solving("new = 1"), "[new for _ in range(3)]"],
        [solving("new = 1") + "\nprint(new)"],
        [ran("new = 1", 1, tags=["solution"]), "print(new)"],
        [solving("for row in [1]:", "    pass"), "print(row)"],
    ],
)
def test_learners_cells_may_not_read_what_a_solution_set(cells):
    with pytest.raises(ValueError, match="a solution has set it") as caught:
        learners_book(book_of(*cells), "00_a.ipynb")
    assert "in 00_a.ipynb" in str(caught.value)


@pytest.mark.parametrize(
    "cells",
    [
        [solving("answer = 1"), CHECKER],
        [solving("new = 1", "answer = new"), "new = 2", "print(new)"],
        ["old = 1", "print(old)", solving("old = 2")],
        [solving("new = 1"), "def f(new):\n    return new", "f(2)"],
        [solving("row = 1"), "[row for row in range(3)]"],
        [solving("row = 1"), "for row in range(3):\n    print(row)"],
        [solving("def f():", "    local = 1"), "local = 2\nprint(local)"],
        [ran("new = 1", 1, tags=["solution"]), solving("answer = new"), CHECKER],
        ["%matplotlib inline\nimport keras", "!ls"],
    ],
)
def test_learners_cells_may_read_what_they_set_themselves(cells):
    learners_book(book_of(*cells), "00_a.ipynb")


@pytest.fixture
def folders(tmp_path):
    authored = tmp_path / "notebooks/solutions"
    for name in ("00_a", "01_b"):
        write_book(authored / f"{name}.ipynb", *chapter().cells[1:])
    return authored, authored.parent


def test_write_learners_writes_every_chapter_and_nothing_the_second_time(folders):
    written = [folders[1] / name for name in ("00_a.ipynb", "01_b.ipynb")]
    assert exercises.write_learners(*folders) == written
    before = [path.read_bytes() for path in written]
    assert exercises.write_learners(*folders) == []
    assert [path.read_bytes() for path in written] == before


def test_write_learners_writes_what_changed(folders):
    exercises.write_learners(*folders)
    write_book(folders[0] / "01_b.ipynb", "1")
    assert exercises.write_learners(*folders) == [folders[1] / "01_b.ipynb"]
    assert cells_of(folders[1] / "01_b.ipynb")[2].source == "1"


def test_write_learners_writes_the_named_one_only(folders):
    write_book(folders[0] / "00_a.ipynb", exercises.BEGIN)  # not ready yet
    assert exercises.write_learners(*folders, only="01_b") == [
        folders[1] / "01_b.ipynb"
    ]


def test_write_learners_writes_nothing_where_one_is_wrong(folders):
    write_book(folders[0] / "01_b.ipynb", exercises.BEGIN)
    with pytest.raises(ValueError, match="01_b.ipynb"):
        exercises.write_learners(*folders)
    assert list(folders[1].glob("*.ipynb")) == []


def test_exercises_command_names_what_it_wrote(folders, monkeypatch, capsys):
    monkeypatch.chdir(folders[1].parent)
    assert __main__.main(["exercises", "--only", "01_b"]) == 0
    assert capsys.readouterr().out == "wrote notebooks/01_b.ipynb\n"


@pytest.mark.parametrize("path", AUTHORED, ids=lambda p: p.stem)
def test_learners_notebooks_are_those_of_the_authored(path):
    book = learners_book(read_book(path), path.name)
    text = nbformat.writes(book) + "\n"
    assert (NOTEBOOKS / path.name).read_text(encoding="utf-8") == text, (
        "run make exercises"
    )


def test_every_chapter_has_an_authored_and_a_learners_notebook():
    names = [path.name for path in AUTHORED]
    assert names == sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
    assert len(names) >= 12
