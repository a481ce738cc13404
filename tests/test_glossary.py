import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tl_helpers.tools.glossary import (
    LONGEST_LINE,
    explanation,
    glossary,
    is_term,
    terms_of,
)


def write_chapter(path, *texts):
    cells = [
        new_markdown_cell(text) for text in ("# Title\n\n**You will** see.", *texts)
    ]
    nbformat.write(new_notebook(cells=[*cells, new_code_cell("2 ** 3 ** 4")]), path)
    return path


def line_of(text, term):
    first = text.index(f"**{term}**")
    return explanation(text, (first, first + len(term) + 4))


@pytest.mark.parametrize(
    "bold", ["head", "k nearest neighbours", "L2-SP", "Kendall's tau"]
)
def test_is_term_takes_a_few_words(bold):
    assert is_term(bold)


@pytest.mark.parametrize(
    "bold",
    [
        "Predict:",
        "Predict: which one wins?",
        "1.",
        "before",
        "its own",
        "target's",
        "try the cheap things first",
    ],
)
def test_is_term_leaves_out_lead_ins_statements_and_stressed_words(bold):
    assert not is_term(bold)


def test_explanation_is_the_sentence_in_one_line():
    text = (
        "## Parts\nFirst this. The **backbone** turns images\ninto [rows](a.md). End."
    )
    assert line_of(text, "backbone") == ("The backbone turns images into rows.", True)


def test_explanation_brings_the_sentence_that_it_points_back_to():
    text = "Two differ. Count the shuffles. This share is the **p-value**. And so on."
    assert line_of(text, "p-value") == (
        "Count the shuffles. This share is the p-value.",
        True,
    )


def test_explanation_of_a_list_item_does_not_repeat_the_term():
    text = (
        "Three losses:\n- **CORAL**: of `cov`;\n- **MMD**: of *means* (of kernels);\n"
    )
    assert line_of(text, "MMD") == ("Of *means* (of kernels).", True)


def test_explanation_keeps_whole_clauses_where_the_sentence_is_too_long():
    long = "we go on " * 40
    text = f"We try two: a **probe** is fitted on rows; and then {long}."
    assert line_of(text, "probe")[0] == "We try two: a probe is fitted on rows."


def test_explanation_cuts_a_clause_without_an_end_after_a_word():
    line, _ = line_of(f"A **head** is {'very ' * 100}small, `a`.", "head")
    assert line.endswith("very …") and len(line) <= LONGEST_LINE + 2


def test_terms_of_skips_opening_exercises_and_code(tmp_path):
    texts = (
        "## Parts\nThe **head** names; the **head** again.\n```\n**kwargs**\n```",
        "No heading here, yet a **loss** is explained.",
        "## Exercises\n**1.** Build a **tower**.",
        "## Three questions\n**1.** What is a **wall**?",
    )
    head, loss = terms_of(write_chapter(tmp_path / "04_parts.ipynb", *texts))
    assert (head.name, head.section, head.cell, head.anchor) == (
        "head",
        "Parts",
        1,
        "term-04-head",
    )
    assert texts[0][slice(*head.span)] == "**head**"
    assert (loss.section, loss.chapter) == ("Parts", "04_parts")


def test_glossary_has_one_entry_a_term_and_puts_the_definition_first(tmp_path):
    write_chapter(tmp_path / "00_a.ipynb", "## A\nWe need **Logits** here.")
    write_chapter(
        tmp_path / "01_b.ipynb", "## B\nA **logit** is a score. **Bias** too."
    )
    bias, logit = glossary(tmp_path)
    assert [term.name for term in bias] == ["Bias"]
    assert [(term.name, term.chapter) for term in logit] == [
        ("logit", "01_b"),
        ("Logits", "00_a"),
    ]
    assert logit[0].line == "A logit is a score."
