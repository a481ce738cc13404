"""Checked claims: every sentence of a notebook's prose has its cell."""

import numpy as np

TICK = "✓"


def check(condition, claim):
    """Print a ticked claim, or stop the notebook where it is false.

    Args:
        condition: bool or numpy bool.
        claim: str, the sentence that the prose makes, with its margin.

    Raises:
        AssertionError: the condition is false.
        TypeError: the condition is no boolean, which would pass by accident.
    """
    if not isinstance(condition, bool | np.bool_):
        raise TypeError(
            f"Got a condition of type {type(condition).__name__} for {claim!r}, "
            "expected True or False; compare it, or use .all()."
        )
    if not condition:
        raise AssertionError(f"Not true here: {claim}")
    print(TICK, claim)


def check_exercise(answer, is_right, hint):
    """Say whether an exercise is solved; never stops the notebook.

    Args:
        answer: the learner's value; `...` where nothing was filled in yet.
        is_right: callable, answer -> bool.
        hint: str, what to look at.

    """
    if answer is ...:
        print(f"Not answered yet. Hint: {hint}")
        return
    try:
        check(is_right(answer), "exercise solved")
    except AssertionError:
        print(f"Not right yet. Hint: {hint}")
    except Exception as error:  # an answer of another kind, which nobody can foresee
        kind = type(answer).__name__
        print(f"Got an answer of type {kind} that cannot be checked ({error}). {hint}")
