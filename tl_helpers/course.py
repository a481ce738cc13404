"""The notebooks as a course: run and render them, stamp badges, take pictures."""

import base64
import html
import os
import string
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tl_helpers import profiles
from tl_helpers.checks import TICK
from tl_helpers.downloads import whole_or_nothing

# The repository's public address: badges and set-up cells are stamped from this line.
REPOSITORY_URL = "https://github.com/tl-helpers/transfer-learning-course"

SET_UP_CELL = f"""\
# On Colab: install first, import after. Elsewhere this cell does nothing.
import sys

if "google.colab" in sys.modules:
    %pip install -q git+{REPOSITORY_URL}
    # An import below fails as stale? Runtime > Restart session, then run all again."""

BADGE_START = "[![Open in Colab]"
PICTURE_TAG = "picture"  # of the cell whose plot stands for its notebook in the README
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
    num_cells = sum(len(_code_cells(book)) for book in books.values())
    with tqdm(total=num_cells, unit="cell") as bar:
        for path, book in books.items():
            bar.set_description(path.stem)
            _forget_outputs(book)
            with open(Path(out) / f"{path.stem}.log", "w") as log:
                outcomes.append(_run_notebook(path, book, profile, bar, log))
            _write(Path(out) / f"{path.stem}.ipynb", nbformat.writes(book))
            _write(Path(out) / f"{path.stem}.html", _render(book, path.stem))
    _write(Path(out) / "index.html", _index(outcomes, profile))
    return outcomes


def find_notebooks(folder="notebooks", only=None):
    """Return the paths of a folder's notebooks, in reading order.

    Args:
        folder: str or Path.
        only: name of one notebook, without its ending, or None for all.

    Returns:
        list of Path.

    Raises:
        FileNotFoundError: there is none.
    """
    paths = sorted(Path(folder).glob(f"{only or '*'}.ipynb"))
    if not paths:
        raise FileNotFoundError(
            f"Got no {only or '*'}.ipynb in {Path(folder).resolve()}, expected the "
            f"course's notebooks; run this in a clone of {REPOSITORY_URL}."
        )
    return paths


def count_checks(book):
    """Count the ticked claims that a notebook's cells printed.

    Args:
        book: nbformat notebook, executed.

    Returns:
        int: lines of standard output that begin with the tick.
    """
    lines = [
        line
        for cell in _code_cells(book)
        for output in cell.outputs
        if output.get("name") == "stdout"
        for line in output.text.splitlines()
    ]
    return sum(line.startswith(TICK) for line in lines)


def stamp_badges(folder="notebooks"):
    """Write the Colab badge and the set-up cell into every notebook, solutions too.

    Args:
        folder: str or Path that holds the notebooks, named as in the repository.

    Returns:
        list of Path that changed; an empty one where all was up to date.

    Raises:
        FileNotFoundError: the folder holds no notebook.
        ValueError: a notebook does not begin with a heading.
    """
    import nbformat

    root = Path(folder).resolve().parent
    paths = find_notebooks(folder) + sorted(Path(folder).glob("solutions/*.ipynb"))
    changed = []
    for path in paths:
        book = nbformat.read(path, as_version=4)
        before = nbformat.writes(book)
        _stamp(book, path, path.resolve().relative_to(root).as_posix())
        if nbformat.writes(book) != before:
            _write(path, nbformat.writes(book) + "\n")
            changed.append(path)
    return changed


def badge(place):
    """Return the markdown of the badge that opens a notebook on Colab.

    Args:
        place: str, the notebook's path in the repository, with forward slashes.

    Returns:
        str, one line of markdown.
    """
    colab = "https://colab.research.google.com"
    address = REPOSITORY_URL.removeprefix("https://")
    owner_and_name = address.split("/", 1)[1]
    image = f"{colab}/assets/colab-badge.svg"
    return f"{BADGE_START}({image})]({colab}/github/{owner_and_name}/blob/main/{place})"


def write_pictures(folder="notebooks", out="docs/pictures"):
    """Write one picture of every notebook, for the README.

    Args:
        folder: str or Path that holds the notebooks, executed.
        out: str or Path of the pictures, made where missing.

    Returns:
        list of Path that changed; an empty one where all was up to date.

    Raises:
        FileNotFoundError: the folder holds no notebook.
        ValueError: a notebook has not exactly one picture; then none is written.
    """
    pictures = {path.stem: picture_of(path) for path in find_notebooks(folder)}
    Path(out).mkdir(parents=True, exist_ok=True)
    changed = []
    for name, picture in pictures.items():
        path = Path(out) / f"{name}.png"
        if not path.exists() or path.read_bytes() != picture:
            with whole_or_nothing(path) as part:
                part.write_bytes(picture)
            changed.append(path)
    return changed


def picture_of(path):
    """Return the plot of the one cell that carries the tag "picture".

    Args:
        path: str or Path of a notebook, executed.

    Returns:
        bytes of a PNG file, as the notebook holds them.

    Raises:
        ValueError: there is not exactly one such cell with exactly one plot.
    """
    import nbformat

    cells = _code_cells(nbformat.read(path, as_version=4))
    tagged = [cell for cell in cells if PICTURE_TAG in cell.metadata.get("tags", ())]
    outputs = [output.get("data", {}) for cell in tagged for output in cell.outputs]
    plots = [data["image/png"] for data in outputs if "image/png" in data]
    if len(tagged) != 1 or len(plots) != 1:
        raise ValueError(
            f"Got {len(plots)} plots of {len(tagged)} code cells tagged "
            f"{PICTURE_TAG!r} in {path}, expected one of each; tag the cell that "
            "draws the best plot, run the notebook and save it."
        )
    return base64.b64decode(plots[0])


def _stamp(book, path, place):
    """Put the badge below the title and the set-up cell before all other code."""
    import nbformat

    first = book.cells[0] if book.cells else None
    if first is None or not first.source.startswith("# "):
        raise ValueError(
            f"Got {path} without a title, expected a first cell that begins with "
            "'# '; give the notebook one."
        )
    title, *rest = first.source.splitlines()
    rest = [line for line in rest if not line.startswith(BADGE_START)]
    text = "\n".join(rest).strip("\n")
    first.source = "\n\n".join(part for part in (title, badge(place), text) if part)
    code = next((i for i, c in enumerate(book.cells) if c.cell_type == "code"), None)
    comment = SET_UP_CELL.splitlines()[0]
    if code is not None and book.cells[code].source.startswith(comment):
        book.cells[code].source = SET_UP_CELL
    else:
        where = len(book.cells) if code is None else code
        book.cells.insert(where, nbformat.v4.new_code_cell(SET_UP_CELL, id="set-up"))


def _forget_outputs(book):
    """Drop what an earlier run printed: it must not pass for this one's."""
    for cell in _code_cells(book):
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
    return Outcome(path.stem, _title(book), duration_s, count_checks(book), error)


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


def _code_cells(book):
    """Return the cells that run: code that is more than white space."""
    return [c for c in book.cells if c.cell_type == "code" and c.source.strip()]


def _title(book):
    """Return the first heading, or "" where there is none."""
    for cell in book.cells:
        for line in cell.source.splitlines() if cell.cell_type == "markdown" else ():
            if line.startswith("# "):
                return line.removeprefix("# ").strip()
    return ""


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
    title = html.escape(outcome.title or outcome.name)
    status = (
        '<td class="bad">✗ failed</td>'
        if outcome.error
        else ('<td class="good">✓ passed</td>')
    )
    row = (
        f'<tr><td><a href="{quote(outcome.name)}.html">{title}</a></td>'
        f"<td>{outcome.duration_s:.0f} s</td><td>{outcome.num_checks}</td>{status}</tr>"
    )
    if outcome.error:
        row += (
            f'\n<tr><td colspan="4" class="why">{html.escape(outcome.error)}</td></tr>'
        )
    return row


def _write(path, text):
    with whole_or_nothing(path) as part:
        part.write_text(text, encoding="utf-8")
