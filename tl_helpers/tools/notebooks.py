"""Notebooks as files: found in reading order, their cells, claims and title."""

from pathlib import Path

from tl_helpers.checks import TICK
from tl_helpers.storage import write_text


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
            "course's notebooks; run this in a clone of the repository."
        )
    return paths


def write_notebook(path, book):
    """Write a notebook, wholly, and only where it is not the same already.

    Args:
        path: Path.
        book: nbformat notebook.

    Returns:
        bool: whether the file changed.
    """
    import nbformat

    text = nbformat.writes(book) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    write_text(path, text)
    return True


def code_cells(book):
    """Return the cells that run: code that is more than white space.

    Args:
        book: nbformat notebook.

    Returns:
        list of its cells.
    """
    return [c for c in book.cells if c.cell_type == "code" and c.source.strip()]


def count_claims(outputs):
    """Count the ticked claims that a cell printed.

    Args:
        outputs: list of a cell's outputs, as nbformat has them.

    Returns:
        int: lines of standard output that begin with the tick.
    """
    printed = [output["text"] for output in outputs if output.get("name") == "stdout"]
    lines = [line for text in printed for line in text.splitlines()]
    return sum(line.startswith(TICK) for line in lines)


def title(book):
    """Return the first heading, or "" where there is none."""
    for cell in book.cells:
        for line in cell.source.splitlines() if cell.cell_type == "markdown" else ():
            if line.startswith("# "):
                return line.removeprefix("# ").strip()
    return ""
