"""Checked claims: every sentence of a notebook's prose has its cell."""

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


def check_exercise(answer, is_right, hint):
    """Say whether an exercise is solved; never stops the notebook.

    Args:
        answer: the learner's value; `...` where nothing was filled in yet.
        is_right: callable, answer -> bool.
        hint: str, what to look at.

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
    else:
        _print(f"Not right yet. Hint: {hint}")


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
