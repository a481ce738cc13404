"""Every chapter ends with a card, three questions and a way on, in its own numbers."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

CHAPTERS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
FOLDED = re.compile(
    r"^<details><summary>Answer</summary>\n\n(.+?)\n\n</details>$", re.M | re.S
)
# not a part of a name (block5, L2-SP, MobileNetV2), of a date or of another number
NUMBER = re.compile(r"(?<![\w.])(?<![A-Za-z]-)\d+(?:[,_]\d{3})*(?:\.\d+)?(?:e-?\d+)?")
SHARE = re.compile(r"\s*(?:%|percent\b|points?\b)")
# names that hold numbers, and the habit of giving 95% intervals
NAMES = re.compile(
    r"(?:notebook|chapter|exercise|section)s? \d+(?:\.\d)?(?:(?:,| and| to) \d\d)*"
    r"|(?<![.,])\b0\d\b|95% (?:confidence )?intervals?",
    re.IGNORECASE,
)


def cell_of(book, name):
    """The one cell with this id."""
    (cell,) = [cell for cell in book.cells if cell.get("id") == name]
    return cell


def numbers_in(text):
    """Numbers of a text as they are written, but for signs and marks of thousands."""
    return {re.sub("[,_]", "", match) for match in NUMBER.findall(text)}


def printed_by(book):
    """All that the cells of a notebook print."""
    texts = []
    for cell in book.cells:
        for output in cell.get("outputs", ()):
            texts += [output.get("text", ""), output.get("data", {}).get("text/plain")]
    return "\n".join("".join(text) for text in texts if text)


def unproven(answer, book):
    """Numbers of an answer that the chapter does not show.

    A share (percent, points) must have been printed, to the same digits; any other
    number may also stand in the code, as a knob does.
    """
    printed = numbers_in(printed_by(book))
    code = numbers_in("\n".join(c.source for c in book.cells if c.cell_type == "code"))
    answer = NAMES.sub(" ", answer)
    missing = []
    for match in NUMBER.finditer(answer):
        shown = printed if SHARE.match(answer, match.end()) else printed | code
        if numbers_in(match[0]) - shown:
            missing.append(match[0])
    return missing


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def book(request):
    return nbformat.read(request.param, as_version=4)


def test_a_chapter_asks_three_questions_with_folded_answers(book):
    text = cell_of(book, "quiz").source
    assert text.startswith("## Three questions\n")
    asked = [re.search(rf"^\*\*{number}\.\*\* .+\?$", text, re.M) for number in "123"]
    assert all(asked) and "**4.**" not in text
    answers = list(FOLDED.finditer(text))
    assert len(answers) == text.count("<details") == 3
    places = [
        place.start() for pair in zip(asked, answers, strict=True) for place in pair
    ]
    assert places == sorted(places)  # question, answer, question, answer, ...


def test_every_number_in_an_answer_stands_in_the_chapter(book):
    for answer in FOLDED.findall(cell_of(book, "quiz").source):
        assert unproven(answer, book) == [], answer


def test_a_chapter_ends_with_five_lines_to_take_away(book):
    card = cell_of(book, "card").source
    assert card.startswith("## In five lines\n")
    assert len(re.findall(r"^- ", card, re.M)) == 5
    assert unproven(card.partition("\n")[2], book) == []
    places = [book.cells.index(cell_of(book, name)) for name in ("card", "quiz")]
    sources = [i for i, c in enumerate(book.cells) if c.source.startswith("## Sources")]
    assert [*places, *sources] == sorted([*places, *sources]) and len(sources) == 1


@pytest.mark.parametrize(
    ("path", "then"), list(zip(CHAPTERS[:-1], CHAPTERS[1:], strict=True))
)
def test_a_chapter_names_the_next(path, then):
    last = nbformat.read(path, as_version=4).cells[-1].source.splitlines()[-1]
    assert last.startswith(f"Next: [{then.stem}]({then.name}) ") and last.endswith(".")


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_cells_that_only_check_are_folded(path):
    for cell in nbformat.read(path, as_version=4).cells:
        first, *_ = [*re.findall(r"^(?!# )\w.*", cell.source, re.M), ""]
        if first.startswith("check(") or "check_exercise(" in cell.source:
            assert cell.source.startswith("# @title "), cell.source
            assert "hide-input" in cell.metadata.tags, "run make badges"


@pytest.fixture
def small_book():
    printed = "from scratch  27.3 ± 1.2 %\n1,800 images, +3.7 points (-0.1 to +7.5)\n"
    printed += "H-score 9.00"
    cell = new_code_cell("STEPS = 300\nRATE = 1e-3\nblock5 = 64")
    cell.outputs = [new_output("stream", name="stdout", text=printed)]
    return new_notebook(cells=[cell])


@pytest.mark.parametrize(
    "answer",
    [
        "27.3%, give or take 1.2.",
        "By 3.7 points, 95% interval -0.1 to 7.5.",
        "1800 images and 300 steps at 1e-3.",
        "block5 of MobileNetV2, as in notebooks 08 and 13, with L2-SP: see 03.",
        "About a quarter; a hundred would do.",
        "9.00 for true labels",
    ],
)
def test_right_numbers_and_names_pass(small_book, answer):
    assert unproven(answer, small_book) == []


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        ("27.4%", ["27.4"]),
        ("27%", ["27"]),  # not rounded as the chapter rounds
        ("300 points", ["300"]),  # a knob proves no share
        ("3.7 points of 1,801 images", ["1,801"]),
        ("5 of 80", ["5", "80"]),  # block5 is no 5
        ("between -0.2 and +7.5", ["0.2"]),
    ],
)
def test_wrong_numbers_are_found(small_book, answer, missing):
    assert unproven(answer, small_book) == missing
