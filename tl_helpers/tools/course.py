"""The notebooks as a course: run and rendered, one page each and an index."""

import html
import os
import string
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tl_helpers import profiles
from tl_helpers.checks import TICK
from tl_helpers.storage import write_text
from tl_helpers.tools.notebooks import code_cells, find_notebooks, title

CELL_TIMEOUT_S = {"quick": 300, "full": 4 * 3600}


@dataclass(frozen=True)
class Outcome:
    """One executed notebook.

    Attributes:
        name: file name without its ending.
        title: its first heading.
        duration_s: wall-clock seconds.
        num_checks: ticked claims in its outputs.
        error: one paragraph with the cell and the error; "" where all went well.
    """

    name: str
    title: str
    duration_s: float
    num_checks: int
    error: str = ""


def run_course(folder="notebooks", out="build/course", profile=None, only=None):
    """Execute every notebook of a folder and write one page for each and an index.

    The notebooks themselves stay as they are; a failing one does not stop the rest.

    Args:
        folder: str or Path that holds the notebooks.
        out: str or Path of the pages, made where missing.
        profile: "quick", "full" or None for `profiles.current()`.
        only: name of one notebook, without its ending, or None for all.

    Returns:
        list of Outcome, in reading order.

    Raises:
        FileNotFoundError: the folder holds no such notebook.
    """
    import nbformat
    from tqdm import tqdm

    profile = profile or profiles.current().name
    books = {
        path: nbformat.read(path, as_version=4) for path in find_notebooks(folder, only)
    }
    Path(out).mkdir(parents=True, exist_ok=True)
    outcomes = []
    num_cells = sum(len(code_cells(book)) for book in books.values())
    with tqdm(total=num_cells, unit="cell") as bar:
        for path, book in books.items():
            bar.set_description(path.stem)
            _forget_outputs(book)
            with open(Path(out) / f"{path.stem}.log", "w") as log:
                outcomes.append(_run_notebook(path, book, profile, bar, log))
            write_text(Path(out) / f"{path.stem}.ipynb", nbformat.writes(book))
            write_text(Path(out) / f"{path.stem}.html", _render(book, path.stem))
    write_text(Path(out) / "index.html", _index(outcomes, profile))
    return outcomes


def count_checks(book):
    """Count the ticked claims that a notebook's cells printed.

    Args:
        book: nbformat notebook, executed.

    Returns:
        int: lines of standard output that begin with the tick.
    """
    lines = [
        line
        for cell in code_cells(book)
        for output in cell.outputs
        if output.get("name") == "stdout"
        for line in output.text.splitlines()
    ]
    return sum(line.startswith(TICK) for line in lines)


def _forget_outputs(book):
    """Drop what an earlier run printed: it must not pass for this one's."""
    for cell in code_cells(book):
        cell.outputs, cell.execution_count = [], None


def _run_notebook(path, book, profile, bar, log):
    """Execute a notebook in memory and say how it went.

    What the kernel's libraries write past Python, and its last words, go to the log.
    """
    from nbclient import NotebookClient

    started = []  # indices of the code cells begun so far
    client = NotebookClient(
        book,
        kernel_name="python3",
        timeout=CELL_TIMEOUT_S[profile],
        on_cell_execute=lambda cell_index, **_: started.append(cell_index),
        on_cell_executed=lambda **_: bar.update(),
        resources={"metadata": {"path": str(path.parent)}},
    )
    start = time.perf_counter()
    try:
        client.execute(env=os.environ | {"TL_PROFILE": profile}, stderr=log)
        error = ""
    except Exception as caught:  # whatever it is, the other notebooks still run
        error = _explain(caught, book, started, CELL_TIMEOUT_S[profile])
    duration_s = time.perf_counter() - start
    return Outcome(path.stem, title(book), duration_s, count_checks(book), error)


def _explain(error, book, started, timeout_s):
    """Return one paragraph: which cell failed, how it begins, and why."""
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    if isinstance(error, CellExecutionError):
        reason = f"{error.ename}: {error.evalue}"
    elif isinstance(error, CellTimeoutError):
        reason = f"it ran for more than {timeout_s} s"
    else:
        reason = f"{type(error).__name__}: {error}"
    if started:
        cell = book.cells[started[-1]]
        first_line = cell.source.strip().splitlines()[0]
        reason = f"code cell {len(started)} ({first_line}) failed: {reason}"
    return " ".join(reason.split())


def _render(book, name):
    """Return a notebook with its outputs as one HTML page."""
    from nbconvert import HTMLExporter

    return HTMLExporter().from_notebook_node(book, {"metadata": {"name": name}})[0]


def _index(outcomes, profile):
    """Return the HTML page that lists the outcomes."""
    page = Path(__file__).with_name("course_index.html").read_text(encoding="utf-8")
    failed = sum(bool(outcome.error) for outcome in outcomes)
    return string.Template(page).substitute(
        profile=profile,
        num_notebooks=len(outcomes),
        num_checks=sum(outcome.num_checks for outcome in outcomes),
        minutes=f"{sum(outcome.duration_s for outcome in outcomes) / 60:.1f}",
        verdict=f"{failed} failed" if failed else "all passed",
        rows="\n".join(_row(outcome) for outcome in outcomes),
    )


def _row(outcome):
    """Return the table row of one notebook, with its error below where it failed."""
    heading = html.escape(outcome.title or outcome.name)
    status = (
        '<td class="bad">✗ failed</td>'
        if outcome.error
        else ('<td class="good">✓ passed</td>')
    )
    row = (
        f'<tr><td><a href="{quote(outcome.name)}.html">{heading}</a></td>'
        f"<td>{outcome.duration_s:.0f} s</td><td>{outcome.num_checks}</td>{status}</tr>"
    )
    if outcome.error:
        row += (
            f'\n<tr><td colspan="4" class="why">{html.escape(outcome.error)}</td></tr>'
        )
    return row
