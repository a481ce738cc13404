"""Rows of the benchmark table: a ratio, its goal, and the seconds behind it."""

import json
import os
import platform
import resource
import statistics
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from scipy.stats import binom

from tl_helpers.storage import whole_or_nothing

UNSURE = 0.05  # chance, at most, that the median lies outside what `between` says


class Spent(NamedTuple):
    """What one call took, of this process and of those that it waited for.

    Attributes:
        seconds: of the clock on the wall, s.
        system_s: of the processors inside the kernel, s.
        page_faults: how often memory was handed out anew.
    """

    seconds: float
    system_s: float
    page_faults: int


@dataclass(frozen=True)
class Row:
    """One claim and what was measured.

    Attributes:
        name: what is divided by what.
        ratio: float, dimensionless.
        goal: float, or None for a row that only informs.
        direction: "at least" or "at most".
        raw: {quantity with its unit: number or list of numbers or Spent, one a round}.
        rounds: the ratio of every round; () for what has none.
        kernel: what both sides took beside time, medians of the rounds: {"system time /
            time": (numerator's, denominator's), "page faults": likewise}; or {}.
    """

    name: str
    ratio: float
    goal: float | None
    direction: str = "at least"
    raw: dict = field(default_factory=dict)
    rounds: tuple = ()
    kernel: dict = field(default_factory=dict)

    @property
    def verdict(self):
        """Say "yes", "NO", "unsure" or, without a goal, "-"."""
        if self.goal is None:
            return "-"
        if len({self._meets(end) for end in between(self.rounds or [self.ratio])}) > 1:
            return "unsure"
        return "yes" if self._meets(self.ratio) else "NO"

    def _meets(self, ratio):
        if self.direction == "at least":
            return bool(ratio >= self.goal)
        return bool(ratio <= self.goal)


def between(rounds):
    """Return two rounds between which their true median lies, 19 times in 20.

    It is below the k-th smallest of n only where fewer than k of them fell below it,
    and each does so with chance one half. Up to five rounds span no such interval:
    then the smallest and the largest.

    Args:
        rounds: n >= 1 numbers.

    Returns:
        (float, float).
    """
    outside = max(int(binom.ppf(UNSURE / 2, len(rounds), 0.5)) - 1, 0)
    ordered = sorted(rounds)
    return ordered[outside], ordered[-1 - outside]


def compare(name, numerator, denominator, goal, direction="at least", raw=None):
    """Make the row of a ratio of times: the median over the rounds.

    A machine that changes its pace between rounds changes both sides of most of them.

    Args:
        name: what is divided by what.
        numerator: list of Spent, one a round.
        denominator: likewise, of the same rounds.
        goal: as in Row.
        direction: as in Row.
        raw: as in Row.

    Returns:
        Row.
    """
    pairs = list(zip(numerator, denominator, strict=True))
    rounds = tuple(one.seconds / other.seconds for one, other in pairs)
    sides = numerator, denominator
    share = "system time / time"
    kernel = {
        share: tuple(_median(x.system_s / x.seconds for x in side) for side in sides),
        "page faults": tuple(_median(x.page_faults for x in side) for side in sides),
    }
    return Row(name, _median(rounds), goal, direction, raw or {}, rounds, kernel)


def median_s(spent):
    """Return the median of the seconds of a list of Spent."""
    return _median(one.seconds for one in spent)


def _median(values):
    return float(statistics.median(values))


def interleave(tasks, num_rounds):
    """Measure every task once a round, so that all see the same busy moments.

    Args:
        tasks: {name: callable without arguments}; each is first run once unmeasured.
        num_rounds: int >= 1.

    Returns:
        {name: list of Spent, one a round}.
    """
    for task in tasks.values():
        task()
    spent = {name: [] for name in tasks}
    for _ in range(num_rounds):
        for name, task in tasks.items():
            spent[name].append(measure(task))
    return spent


def measure(task):
    """Return what one call takes.

    Args:
        task: callable without arguments.

    Returns:
        Spent.
    """
    start_s, before = time.perf_counter(), _kernel()
    task()
    end_s, after = time.perf_counter(), _kernel()
    return Spent(end_s - start_s, after[0] - before[0], after[1] - before[1])


def _kernel():
    """System time (s) and page faults so far, with those of ended children."""
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    used = [resource.getrusage(one) for one in who]
    return sum(x.ru_stime for x in used), sum(x.ru_minflt + x.ru_majflt for x in used)


def describe_machine():
    """Return one line: system, processor, cores and versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    processor = models[0] if models else platform.processor() or platform.machine()
    return (
        f"{platform.system()}, {processor}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, tensorflow {version('tensorflow')}, "
        f"keras {version('keras')}"
    )


def format_table(rows):
    """Lay rows out as text.

    Args:
        rows: list of Row.

    Returns:
        str with one line a row below a heading.
    """
    width = max(len(row.name) for row in rows)
    titles = f"{'goal':>16}  {'met':6}  {'system time':>12}  page faults"
    lines = [f"{'benchmark':{width}}  {'ratio':>8}  {titles}"]
    for row in rows:
        goal = "" if row.goal is None else f"{row.direction} {row.goal:g}"
        shares, faults = row.kernel.values() or ((), ())
        system = " / ".join(f"{share:.0%}" for share in shares)
        counts = " / ".join(f"{count:,.0f}" for count in faults)
        line = f"{row.name:{width}}  {row.ratio:8.3f}  {goal:>16}  {row.verdict:6}"
        lines.append(f"{line}  {system:>12}  {counts}".rstrip())
    return "\n".join(lines)


def write_json(rows, path, machine):
    """Write rows as a JSON list of objects.

    Args:
        rows: list of Row.
        path: Path of the file, replaced as a whole.
        machine: str, as from `describe_machine`.
    """
    entries = [
        {
            "name": row.name,
            "ratio": row.ratio,
            "goal": row.goal,
            "direction": row.direction,
            "met": row.verdict,
            "rounds": row.rounds,
            **row.kernel,
            "machine": machine,
            "raw": {name: _plain(values) for name, values in row.raw.items()},
        }
        for row in rows
    ]
    with whole_or_nothing(path) as part:
        part.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def _plain(values):
    """Return what JSON takes: lists of Spent as {quantity: numbers}."""
    if isinstance(values, list) and values and isinstance(values[0], Spent):
        return dict(zip(Spent._fields, zip(*values, strict=True), strict=True))
    return values
