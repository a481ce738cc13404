"""Notebooks as files: found in reading order, their code cells, their title."""

from pathlib import Path


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
            f"course's notebooks; run this in a clone of the repository."
        )
    return paths


def code_cells(book):
    """Return the cells that run: code that is more than white space.

    Args:
        book: nbformat notebook.

    Returns:
        list of its cells.
    """
    return [c for c in book.cells if c.cell_type == "code" and c.source.strip()]


def title(book):
    """Return the first heading, or "" where there is none."""
    for cell in book.cells:
        for line in cell.source.splitlines() if cell.cell_type == "markdown" else ():
            if line.startswith("# "):
                return line.removeprefix("# ").strip()
    return ""
