"""Checked claims: every sentence of a notebook's prose has its cell."""

import contextlib
import sys

import numpy as np

from tl_helpers import profiles

TICK = "✓"
CROSS = "✗"
YELLOW, PLAIN = "\x1b[33m", "\x1b[0m"  # as notebooks and terminals colour text


def check(condition, claim):
    """Print a ticked claim, or say that it does not hold.

    A claim may fall because a learner turned a knob; then the notebook says so and goes
    on. With `TL_STRICT` set, as in the course's own runs, it stops.

    Args:
        condition: bool or numpy bool.
        claim: str, the sentence that the prose makes, with its margin.

    Raises:
        AssertionError: the condition is false and `TL_STRICT` is set.
        TypeError: the condition is no boolean, which would pass by accident.
    """
    if not isinstance(condition, bool | np.bool_):
        raise TypeError(
            f"Got a condition of type {type(condition).__name__} for {claim!r}, "
            "expected True or False; compare it, or use .all()."
        )
    if condition:
        _print(f"{TICK} {claim}")
    elif profiles.is_strict():
        raise AssertionError(f"Not true here: {claim}")
    else:
        _print(f"{YELLOW}{CROSS} no longer true here: {claim}{PLAIN}")


def check_exercise(answer, is_right, hint, slips=None):
    """Say whether an exercise is solved; never stops the notebook.

    Where a number would be right but for a common slip (percent for a share, the other
    sign, a part of a whole), the sentence names the slip instead of the hint.

    Args:
        answer: the learner's value; `...` where nothing was filled in yet.
        is_right: callable, answer -> bool.
        hint: str, what to look at.
        slips: {what went wrong and what to do: callable, answer -> bool}, for the
            wrong answers that the exercise invites; None for none.

    """
    if answer is ...:
        _print(f"Not answered yet. Hint: {hint}")
        return
    try:
        is_solved = bool(is_right(answer))
    except Exception as error:  # an answer of another kind, which nobody can foresee
        kind = type(answer).__name__
        _print(f"Got an answer of type {kind} that cannot be checked ({error}). {hint}")
        return
    if is_solved:
        check(True, "exercise solved")
        return
    for slip, is_slip in {**(slips or {}), **_number_slips(is_right)}.items():
        with contextlib.suppress(Exception):  # a test of another kind of answer
            if is_slip(answer):
                _print(f"Not right yet. {slip}")
                return
    _print(f"Not right yet. Hint: {hint}")


def _number_slips(is_right):
    """Return {sentence: test} of the slips that any number may have."""
    return {
        "This looks like percent; the question asks for a share from 0 to 1.": (
            lambda answer: is_right(answer / 100)
        ),
        "This looks like a share; the question asks for percent, or points.": (
            lambda answer: is_right(100 * answer)
        ),
        "The size is right; look at the sign.": lambda answer: is_right(-answer),
        "It has to be a whole number.": (
            lambda answer: answer % 1 and is_right(round(answer))
        ),
    }


def _print(line):
    """Print a line, in letters that the console has.

    One in cp1252, as on Windows, has no tick, and would raise over a true claim.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        line.encode(encoding)
    except UnicodeEncodeError:
        line = line.replace(TICK, "ok:").replace(CROSS, "NOT:")
        line = line.encode(encoding, "replace").decode(encoding)
    print(line)
