"""Calls with one wrong argument at a time, and how they end.

A table says how a small valid call of every public function looks. What kind of
argument each one is (a share, a count, labels, ...) says which values are wrong there.
"""

import contextlib
import importlib
import inspect
import math
import re
import signal
import traceback
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

PACKAGE = Path(__file__).parent.parent / "tl_helpers"
LIMIT_S = 20  # for one call, which takes far less
ERRORS = (ValueError, TypeError, KeyError, FileNotFoundError)


class Argument(NamedTuple):
    """A valid value, and {kind: function that makes a wrong one}."""

    value: object
    wrong: dict


class Case(NamedTuple):
    """How a call looks.

    Attributes:
        call: callable.
        arguments: function that makes {name: Argument, or a value to leave alone}.
        fine: {argument: names of kinds, which are valid there after all}.
    """

    call: object
    arguments: object
    fine: dict = {}


def public(*rooms):
    """Return {"room.name": callable} of what these rooms offer."""
    found = {}
    for room in rooms:
        module = importlib.import_module(f"tl_helpers.{room}")
        own = [name for name, value in vars(module).items() if _is_own(value, module)]
        for name in getattr(module, "__all__", own):
            is_error = isinstance(value := getattr(module, name), type) and issubclass(
                value, Exception
            )
            if callable(value) and not is_error and not name.startswith("_"):
                found[f"{room}.{name}"] = value
    return found


def _is_own(value, module):
    return getattr(value, "__module__", None) == module.__name__


def parameters(call):
    """Names of the parameters, without the collecting ones."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    signature = inspect.signature(call)
    return [name for name, x in signature.parameters.items() if x.kind not in kinds]


def combinations(case):
    """Every (argument, kind) of a case."""
    return [
        (name, kind)
        for name, argument in case.arguments().items()
        if isinstance(argument, Argument)
        for kind in argument.wrong
    ]


def valid_arguments(case):
    """Return {name: value} of the valid call."""
    return {
        name: given.value if isinstance(given, Argument) else given
        for name, given in case.arguments().items()
    }


def outcome(case, argument, kind):
    """Return "sentence", "silent", "NaN" or "foreign", and what was said."""
    given = valid_arguments(case)
    try:
        with _time_limit(), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            given[argument] = case.arguments()[argument].wrong[kind]()
            answer = case.call(**given)
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1].filename
        is_ours = isinstance(error, ERRORS) and Path(frame).is_relative_to(PACKAGE)
        said = f"{type(error).__name__}: {error}"
        if is_ours and re.search(r"^[^\n]*(expected|Got)[^\n]*$", str(error)):
            return "sentence", said
        return "foreign", said.split("\n")[0]
    if "nan" in kind and has_nan(answer):
        return "NaN", repr(answer)[:60]
    return "silent", " ".join(repr(answer)[:60].split())


@contextlib.contextmanager
def _time_limit():
    def stop(*_):
        raise TimeoutError(f"took more than {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def has_nan(answer):
    """Whether there is a NaN anywhere."""
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, list | tuple):
        return any(map(has_nan, answer))
    try:
        return bool(np.isnan(np.asarray(answer, float)).any())
    except (TypeError, ValueError):
        return False


def faults(case, wanted=lambda *combination: True):
    """List what does not end in a sentence of ours, nor is said to be valid."""
    found = []
    for argument, kind in combinations(case):
        if not wanted(argument, kind):
            continue
        what, said = outcome(case, argument, kind)
        if kind in case.fine.get(argument, "").split():
            if what in ("sentence", "foreign"):
                found.append(f"{argument}={kind} is said to be valid, but: {said}")
        elif what != "sentence":
            found.append(f"{argument}={kind}: {what}: {said}")
    return found


# Kinds of arguments. Each function takes a valid value.


class Stranger:
    """An object that nothing knows."""


def _fixed(**values):
    return {kind: lambda value=value: value for kind, value in values.items()}


def _strange():
    return _fixed(none=None, word="word", thing=Stranger()) | {
        "generator": lambda: (x for x in [1, 2]),
    }


def _number():
    return _fixed(
        none=None,
        word="0.5",
        list=[0.5, 0.5],
        nan=math.nan,
        infinite=math.inf,
        negative=-1,
        flag=True,
    )


def share(value):
    """Argue with a number in [0, 1]."""
    return Argument(value, _number() | _fixed(percent=81.3))


def weight(value):
    """Argue with a number >= 0."""
    return Argument(value, _number())


def positive(value):
    """Argue with a number > 0."""
    return Argument(value, _number() | _fixed(zero=0))


def count(value, least=1):
    """Argue with a whole number from `least` on."""
    return Argument(
        value, _number() | _fixed(below=least - 1, part=value + 0.5, huge=1e300)
    )


def flag(value):
    """Argue with True or False."""
    return Argument(value, _fixed(none=None, word="no", number=2, nan=math.nan))


def choice(value):
    """Argue with one of several names."""
    return Argument(value, _fixed(none=None, number=3, unknown="no such", list=[value]))


def array(value, **others):
    """Argue with numbers of a certain rank."""
    value = np.asarray(value)
    floats = value.astype(float)
    nan, infinite = floats.copy(), floats.copy()
    nan.flat[:1], infinite.flat[-1:] = np.nan, np.inf
    wrong = _fixed(
        number=3.0,
        words=value.astype(str),
        nan=nan,
        infinite=infinite,
        deeper=value[None],
        empty=value[:0],
        row=value[:1],
        short=value[:-1],
        ragged=[[1.0], [1.0, 2.0]],
    )
    if value.ndim > 1:
        wrong |= _fixed(flat=value.ravel())
    return Argument(value, _strange() | wrong | others)


def labels(value):
    """Argue with class numbers (n,)."""
    value = np.asarray(value)
    return Argument(
        value,
        _strange()
        | _fixed(
            number=3,
            words=value.astype(str),
            nan=np.where(value == 0, np.nan, value),
            half=value + 0.5,
            negative=value - 5,
            column=value[:, None],
            one_hot=np.eye(int(value.max()) + 1)[value],
            short=value[:-1],
            empty=value[:0],
        ),
    )


def numbers(value):
    """Argue with a sequence of numbers."""
    wrong = dict(array(np.array(value, float)).wrong)
    return Argument(list(value), wrong)


def mapping(value, **others):
    """Argue with a dict."""
    wrong = _strange() | _fixed(number=3, list=list(value), empty={})
    return Argument(value, wrong | _fixed(**others))


def thing(value, **others):
    """Argue with an object of a certain class."""
    wrong = _strange() | _fixed(number=3, array=np.ones((4, 4)), empty=[])
    return Argument(value, wrong | others)


def path(value):
    """Argue with the name of a file or folder."""
    return Argument(value, _fixed(none=None, number=3.5, list=[str(value)]))


def function(value):
    """Argue with a callable."""
    return Argument(value, _fixed(none=None, word="mean", number=3))


class rows(NamedTuple):  # noqa: N801, stands for Features without importing Keras
    """Values with their labels."""

    values: np.ndarray
    labels: np.ndarray

    def __getitem__(self, chosen):
        """Return some of the rows."""
        if isinstance(chosen, int):
            return tuple.__getitem__(self, chosen)
        return rows(self.values[chosen], self.labels[chosen])


def labelled(value):
    """Argue with an ImageSet or Features."""
    wrong = {"empty": lambda: value[:0], "row": lambda: value[:1]}
    wrong["one_class"] = lambda: value[np.flatnonzero(value.labels == value.labels[0])]
    if hasattr(value, "values"):
        kind = type(value)
        nan = np.where(value.values > 0, np.nan, value.values)
        wrong["nan"] = lambda: kind(nan, value.labels)
        wrong["short"] = lambda: kind(value.values, value.labels[:-1])
        wrong["half"] = lambda: kind(value.values, value.labels + 0.5)
        wrong["flat"] = lambda: kind(value.values.ravel(), value.labels)
    return thing(value, **wrong)
