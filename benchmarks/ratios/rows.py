"""Rows of the benchmark table: a ratio, its goal, and the seconds behind it."""

import json
import os
import platform
import statistics
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from tl_helpers.storage import whole_or_nothing


@dataclass(frozen=True)
class Row:
    """One claim and what was measured.

    Attributes:
        name: what is divided by what.
        ratio: float, dimensionless.
        goal: float, or None for a row that only informs.
        direction: "at least" or "at most".
        raw: {quantity with its unit: number or list of numbers, one a round}.
    """

    name: str
    ratio: float
    goal: float | None
    direction: str = "at least"
    raw: dict = field(default_factory=dict)

    @property
    def met(self):
        """Whether the ratio is on the right side of the goal; None without one."""
        if self.goal is None:
            return None
        if self.direction == "at least":
            return bool(self.ratio >= self.goal)
        return bool(self.ratio <= self.goal)


def interleave(tasks, num_rounds):
    """Time every task once a round, so that all see the same busy moments.

    Args:
        tasks: {name: callable without arguments}; each is first run once untimed.
        num_rounds: int >= 1.

    Returns:
        {name: list of seconds, one a round}.
    """
    for task in tasks.values():
        task()
    seconds = {name: [] for name in tasks}
    for _ in range(num_rounds):
        for name, task in tasks.items():
            seconds[name].append(time_s(task))
    return seconds


def time_s(task):
    """Return the wall-clock seconds that one call takes."""
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def median_ratio(slow_s, fast_s):
    """Return how many times faster the second is, the median over the rounds.

    A machine that changes its pace between rounds changes both sides of most of them.
    """
    pairs = zip(slow_s, fast_s, strict=True)
    return statistics.median(slow / fast for slow, fast in pairs)


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
    lines = [f"{'benchmark':{width}}  {'ratio':>8}  {'goal':>16}  met"]
    for row in rows:
        goal = "" if row.goal is None else f"{row.direction} {row.goal:g}"
        met = {True: "yes", False: "NO", None: "-"}[row.met]
        lines.append(f"{row.name:{width}}  {row.ratio:8.3f}  {goal:>16}  {met}")
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
            "met": row.met,
            "machine": machine,
            "raw": row.raw,
        }
        for row in rows
    ]
    with whole_or_nothing(path) as part:
        part.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
