import io
import sys

import numpy as np
import pytest

from tl_helpers.checks import TICK, check, check_exercise


@pytest.mark.parametrize("condition", [True, np.bool_(True), np.float32(2) > 1])
def test_check_prints_a_true_claim_with_a_tick(condition, capsys):
    check(condition, "two is more than one")
    assert capsys.readouterr().out == "✓ two is more than one\n"


@pytest.mark.parametrize("condition", [False, np.bool_(False)])
def test_check_says_that_a_claim_fell_and_goes_on(condition, capsys):
    check(condition, "one is more than two")
    printed = capsys.readouterr().out
    assert "✗ no longer true here: one is more than two" in printed
    assert TICK not in printed


@pytest.mark.parametrize("condition", [False, np.bool_(False)])
def test_check_stops_a_strict_run(condition, capsys, monkeypatch):
    monkeypatch.setenv("TL_STRICT", "1")
    with pytest.raises(AssertionError, match="one is more than two"):
        check(condition, "one is more than two")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "condition", ["False", 1, None, np.array(True), np.array([True]), (1 < 2, "x")]
)
def test_check_refuses_what_is_no_boolean(condition):
    with pytest.raises(TypeError, match="expected True or False"):
        check(condition, "a claim")


def test_check_exercise_waits_for_an_answer(capsys):
    check_exercise(..., lambda answer: answer == 4, "count them")
    assert capsys.readouterr().out == "Not answered yet. Hint: count them\n"


def test_check_exercise_gives_the_hint_for_a_wrong_answer(capsys):
    check_exercise(5, lambda answer: answer == 4, "count them")
    assert capsys.readouterr().out == "Not right yet. Hint: count them\n"


def test_check_exercise_ticks_a_right_answer(capsys):
    check_exercise(4, lambda answer: answer == 4, "count them")
    assert capsys.readouterr().out == "✓ exercise solved\n"


def test_check_exercise_accepts_an_array_as_answer(capsys):
    check_exercise(np.zeros(3), lambda answer: (answer == 0).all(), "zeros")
    assert capsys.readouterr().out.startswith("✓")


@pytest.mark.parametrize("answer", ["0.7", None, [0.1, 0.2, 0.3]])
def test_check_exercise_survives_answers_of_another_kind(answer, capsys):
    check_exercise(answer, lambda value: abs(value - 0.7) < 0.1, "one number")
    printed = capsys.readouterr().out
    assert f"an answer of type {type(answer).__name__}" in printed
    assert printed.endswith("one number\n")
    assert TICK not in printed


@pytest.mark.parametrize(
    ("answer", "is_right", "told"),
    [
        (62.0, lambda x: abs(x - 0.62) < 0.005, "This looks like percent"),
        (0.62, lambda x: abs(x - 62) < 0.5, "This looks like a share"),
        (-3.1, lambda x: abs(x - 3.1) < 0.05, "look at the sign"),
        (3.8, lambda x: x == 4, "a whole number"),
        (7, lambda x: abs(x - 0.62) < 0.005, "Hint: divide"),
        ("seven", lambda x: x == "eight", "Hint: divide"),
        (0, lambda x: abs(x - 0.62) < 0.005, "Hint: divide"),
        (None, lambda x: x == 4, "Hint: divide"),
    ],
)
def test_check_exercise_names_the_slip_of_a_number(answer, is_right, told, capsys):
    check_exercise(answer, is_right, "divide")
    assert told in capsys.readouterr().out


def test_check_exercise_names_the_slips_of_the_exercise_first(capsys):
    slips = {"You counted the biases, too.": lambda answer: answer == 1930}
    check_exercise(1930, lambda answer: answer == 1920, "count", slips=slips)
    assert capsys.readouterr().out == "Not right yet. You counted the biases, too.\n"
    check_exercise(1920, lambda answer: answer == 1920, "count", slips=slips)
    assert capsys.readouterr().out.startswith("✓")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437", "latin-1"])
def test_check_prints_on_consoles_without_a_tick(encoding, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding))
    check(True, "a ≥ b")
    check(False, "b ≥ a")
    check_exercise(4, lambda answer: answer == 4, "count them")
    check_exercise(5, lambda answer: answer == 4, "4 ≤ x ≤ 4")
    sys.stdout.seek(0)
    solved, fallen, *rest = sys.stdout.read().splitlines()
    assert solved[:5] == "ok: a" and solved[-1] == "b"
    assert "NOT: no longer true here: b" in fallen
    assert rest[0] == "ok: exercise solved"
    assert rest[1].startswith("Not right yet. Hint: 4 ")
