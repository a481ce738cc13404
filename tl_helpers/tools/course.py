"""The notebooks as a course: run and rendered, or run and kept with their outputs."""

import html
import os
import string
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tl_helpers import profiles
from tl_helpers.storage import write_text
from tl_helpers.tools import record
from tl_helpers.tools.notebooks import (
    code_cells,
    count_claims,
    find_notebooks,
    title,
    write_notebook,
)

CELL_TIMEOUT_S = {"quick": 300, "full": 4 * 3600}


@dataclass(frozen=True)
class Outcome:
    """One executed notebook.

    Attributes:
        name: file name without its ending.
        title: its first heading.
        run: record.Run, its claims and seconds.
        error: one paragraph with the cell and the error; "" where all went well.
        warnings: what its cells wrote to standard error; "" where nothing.
    """

    name: str
    title: str
    run: record.Run
    error: str = ""
    warnings: str = ""


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
    profile = profile or profiles.current().name
    environment = os.environ | {"TL_PROFILE": profile, "TL_STRICT": "1"}
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for path, book, bar in _with_bar(find_notebooks(folder, only)):
        with open(out / f"{path.stem}.log", "w") as log:
            timeout_s = CELL_TIMEOUT_S[profile]
            outcomes.append(_execute(path, book, environment, timeout_s, bar, log))
        write_notebook(out / path.name, book)
        write_text(out / f"{path.stem}.html", _render(book, path.stem))
    write_text(out / "index.html", _index(outcomes, profile))
    return outcomes


def record_course(folder="notebooks/solutions", only=None):
    """Execute every authored notebook, keep its outputs, write down what it came to.

    They run in the quick profile, without real data, and stop at a false claim. A
    notebook that fails stays as it was, and so does its record; the others go on.
    What goes to standard error is no part of a lesson: it is left out and told.

    Args:
        folder: str or Path of the authored notebooks.
        only: name of one notebook, without its ending, or None for all.

    Returns:
        list of Outcome, in reading order.

    Raises:
        FileNotFoundError: the folder holds no such notebook.
    """
    outcomes = []
    for path, book, bar in _with_bar(find_notebooks(folder, only)):
        metadata = dict(book.metadata)
        outcome = _execute(
            path, book, record.environment(), CELL_TIMEOUT_S["quick"], bar
        )
        outcomes.append(outcome)
        if not outcome.error:
            book.metadata = metadata  # the kernel wrote its own version into it
            _tidy_outputs(book)
            write_notebook(path, book)
            record.write(folder, {outcome.name: outcome.run})
    return outcomes


def summary(outcomes, recorded, folder, with_claims=True):
    """Return a table of durations, then what failed, warned or took too long.

    Args:
        outcomes: list of Outcome.
        recorded: {chapter: record.Run} to compare with.
        folder: str or Path of the notebooks that ran.
        with_claims: whether to show the claims written down; learners' notebooks have
            fewer, as their exercises are unsolved.

    Returns:
        str.
    """
    runs = {one.name: one.run for one in outcomes}
    lines = [record.table(runs, recorded, with_claims)]
    for one in outcomes:
        if one.error:
            lines.append(f"FAILED {one.name}: {one.error}")
        if one.warnings:
            lines.append(f"{one.name} wrote to standard error: {one.warnings}")
    passed = {one.name: one.run for one in outcomes if not one.error}
    return "\n".join(lines + record.slow_chapters(passed, recorded, folder))


def _with_bar(paths):
    """Yield (path, notebook without outputs, progress bar over all code cells)."""
    import nbformat
    from tqdm import tqdm

    books = {path: nbformat.read(path, as_version=4) for path in paths}
    num_cells = sum(len(code_cells(book)) for book in books.values())
    with tqdm(total=num_cells, unit="cell") as bar:
        for path, book in books.items():
            bar.set_description(path.stem)
            _forget_outputs(book)
            yield path, book, bar


def _forget_outputs(book):
    """Drop what an earlier run printed: it must not pass for this one's."""
    for cell in code_cells(book):
        cell.outputs, cell.execution_count = [], None
        cell.metadata.pop("execution", None)


def _tidy_outputs(book):
    """Drop standard error; join what was printed in pieces, as the clock would have it.

    Text before and after a picture stays apart.
    """
    for cell in code_cells(book):
        kept = []
        for output in cell.outputs:
            if output.get("name") == "stderr":
                continue
            if kept and output.get("name") == kept[-1].get("name") == "stdout":
                kept[-1].text += output.text
            else:
                kept.append(output)
        cell.outputs = kept


def _execute(path, book, environment, timeout_s, bar, log=subprocess.DEVNULL):
    """Execute a notebook in memory and say how it went.

    What the kernel's libraries write past Python, and its last words, go to the log.
    """
    from nbclient import NotebookClient

    started = []  # (index of a code cell, when it began)
    run = record.Run()

    def begin(cell_index, **_):
        started.append((cell_index, time.perf_counter()))

    def end(cell, **_):
        run.add(cell.get("id", ""), time.perf_counter() - started[-1][1])
        bar.update()

    client = NotebookClient(
        book,
        kernel_name="python3",
        timeout=timeout_s,
        record_timing=False,
        on_cell_execute=begin,
        on_cell_executed=end,
        resources={"metadata": {"path": str(path.parent)}},
    )
    start, error = time.perf_counter(), ""
    try:
        client.execute(env=environment, stderr=log)
    except Exception as caught:  # whatever it is, the other notebooks still run
        error = _explain(caught, book, [index for index, _ in started], timeout_s)
    run.seconds = time.perf_counter() - start
    run.claims = sum(count_claims(cell.outputs) for cell in code_cells(book))
    return Outcome(path.stem, title(book), run, error, _standard_error(book))


def _standard_error(book):
    """Return what the cells wrote to standard error, in order."""
    outputs = [output for cell in code_cells(book) for output in cell.outputs]
    return "".join(o.text for o in outputs if o.get("name") == "stderr").strip()


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
        num_checks=sum(outcome.run.claims for outcome in outcomes),
        minutes=f"{sum(outcome.run.seconds for outcome in outcomes) / 60:.1f}",
        verdict=f"{failed} failed" if failed else "all passed",
        rows="\n".join(_row(outcome) for outcome in outcomes),
    )


def _row(outcome):
    """Return the table row of one notebook, with its error below where it failed."""
    heading = html.escape(outcome.title or outcome.name)
    kind, verdict = ("bad", "✗ failed") if outcome.error else ("good", "✓ passed")
    row = (
        f'<tr><td><a href="{quote(outcome.name)}.html">{heading}</a></td>'
        f"<td>{outcome.run.seconds:.0f} s</td><td>{outcome.run.claims}</td>"
        f'<td class="{kind}">{verdict}</td></tr>'
    )
    if outcome.error:
        why = html.escape(outcome.error)
        row += f'\n<tr><td colspan="4" class="why">{why}</td></tr>'
    return row
