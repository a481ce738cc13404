"""Made-up notebooks for the tests of the tools."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
AUTHORED = sorted((NOTEBOOKS / "solutions").glob("*.ipynb"))
CHECKED = 'from tl_helpers.checks import check\ncheck(True, "one")\ncheck(True, "two")'


def book_of(*cells, title="# A title"):
    """A notebook: strings are code, cells are themselves."""
    made = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    return new_notebook(cells=[new_markdown_cell(title), *made])


def write_book(path, *cells, title="# A title"):
    """The path, with such a notebook in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(book_of(*cells, title=title), path)
    return path


def read_book(path):
    return nbformat.read(path, as_version=4)


def cells_of(path):
    return read_book(path).cells


def printed(text, name="stdout"):
    return new_output("stream", name=name, text=text)
