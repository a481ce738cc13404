"""What every chapter came to when it was last recorded: its claims and its seconds.

The numbers lie beside the authored notebooks. A later run is compared with them: one
with fewer claims has lost some on the way, and one twice as slow says which cell it is.
"""

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tl_helpers.storage import read_json, write_json

FILE = "recorded.json"
SLOW_CELL_S = 2  # of a faster cell only the chapter's sum tells
STEADY = 0.8, 1.25  # times the seconds written down: noise, not worth a diff
TWICE = 2.0
# What a user may have set, and what the committed outputs were made without.
FORGOTTEN = """
    TL_PROFILE TL_DATASET TL_BACKBONE TL_DATA_DIR TL_DETERMINISTIC KERAS_HOME
""".split()


@dataclass
class Run:
    """One run of a chapter.

    Attributes:
        claims: number of ticked claims that its cells printed.
        seconds: wall-clock seconds, its kernel's start included.
        cells: {id of a cell: its seconds}.
    """

    claims: int = 0
    seconds: float = 0.0
    cells: dict = field(default_factory=dict)

    def add(self, cell, seconds, claims=0):
        """Count one cell, named by its id, that took some seconds."""
        self.claims += claims
        self.seconds += seconds
        self.cells[cell] = self.cells.get(cell, 0.0) + seconds


def environment():
    """Return the environment of a run that is compared: quick, strict, no real data.

    Returns:
        dict of str.
    """
    kept = {name: text for name, text in os.environ.items() if name not in FORGOTTEN}
    return kept | {"TL_STRICT": "1"}


def read(folder):
    """Read what was recorded of a folder's notebooks.

    Args:
        folder: str or Path of the authored notebooks.

    Returns:
        {chapter: Run}; empty where nothing was recorded.
    """
    content = read_json(Path(folder) / FILE) or {}
    return {chapter: Run(**entry) for chapter, entry in content.items()}


def write(folder, runs):
    """Write runs into the record; chapters that did not run stay as they are.

    Seconds within a fifth of those written down stay too: a diff shows changes, not
    the noise of a machine. Chapters whose notebook is gone are dropped.

    Args:
        folder: str or Path of the authored notebooks.
        runs: {chapter: Run}.
    """
    before = read(folder)
    merged = before | {
        chapter: _rounded(run, before.get(chapter)) for chapter, run in runs.items()
    }
    present = {path.stem for path in Path(folder).glob("*.ipynb")}
    content = {name: asdict(merged[name]) for name in sorted(merged.keys() & present)}
    write_json(Path(folder) / FILE, content)


def _rounded(run, before):
    """Return a run in whole seconds, with its slow cells only."""
    low, high = STEADY
    is_steady = before and low <= run.seconds / max(before.seconds, 1) <= high
    if is_steady and before.cells.keys() <= run.cells.keys():
        return Run(run.claims, before.seconds, before.cells)
    slow = {cell: round(s) for cell, s in run.cells.items() if s >= SLOW_CELL_S}
    return Run(run.claims, round(run.seconds), slow)


def lost_claims(runs, recorded):
    """Say which chapters ran fewer claims than were written down.

    Args:
        runs: {chapter: Run}; chapters that did not run are not missed.
        recorded: {chapter: Run}.

    Returns:
        list of str, a sentence for each such chapter.
    """
    sentences = []
    for chapter, run in runs.items():
        if chapter not in recorded:
            sentences.append(
                f"{chapter}: got {run.claims} claims and none written down, expected "
                f"their number in {FILE}; run tl-helpers record --only {chapter}."
            )
        elif run.claims < recorded[chapter].claims:
            sentences.append(
                f"{chapter}: got {run.claims} claims, expected the "
                f"{recorded[chapter].claims} written down in {FILE}; find the cell "
                f"that no longer checks, or run tl-helpers record --only {chapter}."
            )
    return sentences


def slow_chapters(runs, recorded, folder):
    """Say which chapters took twice the seconds written down, and in which cell.

    Args:
        runs: {chapter: Run}.
        recorded: {chapter: Run}.
        folder: str or Path of the notebooks that ran.

    Returns:
        list of str, a sentence for each such chapter.
    """
    sentences = []
    for chapter, run in runs.items():
        before = recorded.get(chapter)
        if before is None or run.seconds < TWICE * before.seconds or not run.cells:
            continue
        lost = {cell: s - before.cells.get(cell, 0) for cell, s in run.cells.items()}
        cell = max(lost, key=lost.get)
        was = before.cells.get(cell, f"less than {SLOW_CELL_S}")
        sentences.append(
            f"{chapter} took {run.seconds:.0f} s instead of {before.seconds:.0f} s. "
            f"The cell {cell} ({_first_line(Path(folder), chapter, cell)}) lost most: "
            f"{run.cells[cell]:.0f} s instead of {was} s."
        )
    return sentences


def _first_line(folder, chapter, cell):
    """Return how a cell begins; its id alone does not tell a reader much."""
    import nbformat

    book = nbformat.read(folder / f"{chapter}.ipynb", as_version=4)
    (source,) = (one.source for one in book.cells if one.get("id") == cell)
    return source.strip().partition("\n")[0]


def table(runs, recorded, with_claims=True):
    """Return the table of durations, one line a chapter.

    Args:
        runs: {chapter: Run}.
        recorded: {chapter: Run}; a dash stands for what it lacks.
        with_claims: whether to show the claims written down, beside those that ran.

    Returns:
        str.
    """
    lines = [["chapter", "seconds", "recorded", "claims"] + ["recorded"] * with_claims]
    for chapter, run in sorted(runs.items()):
        was = recorded.get(chapter)
        line = [chapter, f"{run.seconds:.0f}", f"{was.seconds:.0f}" if was else "-"]
        line += [f"{run.claims}"] + [f"{was.claims}" if was else "-"] * with_claims
        lines.append(line)
    seconds = sum(run.seconds for run in runs.values())
    claims = sum(run.claims for run in runs.values())
    lines.append([f"{len(runs)} in all", f"{seconds:.0f}", "", f"{claims}"])
    lines[-1] += [""] * with_claims
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(line, widths):
    """Return one line of the table: the name to the left, numbers to the right."""
    first, *rest = zip(line, widths, strict=True)
    cells = [first[0].ljust(first[1])] + [text.rjust(width) for text, width in rest]
    return "  ".join(cells).rstrip()
