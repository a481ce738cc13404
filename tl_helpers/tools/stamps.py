"""What every notebook has: the Colab badge, the set-up cell, folded checks.

A cell whose first line is `# @title ...` is folded: Colab reads that line, JupyterLab
and the site read the metadata that is written here. Its output stays in sight.
"""

from pathlib import Path

from tl_helpers.tools.notebooks import find_notebooks, write_notebook

# The repository's public address: badges and set-up cells are stamped from this line.
REPOSITORY_URL = "https://github.com/tl-helpers/transfer-learning-course"
SET_UP_CELL = f"""\
# On Colab: install first, import after. Elsewhere this cell does nothing.
import sys

if "google.colab" in sys.modules:
    %pip install -q git+{REPOSITORY_URL}
    # An import below fails as stale? Runtime > Restart session, then run all again."""
BADGE_START = "[![Open in Colab]"
TITLE = "# @title "
FOLD_ON_SITE = "hide-input"  # a tag of MyST-NB


def stamp_badges(folder="notebooks"):
    """Write the Colab badge and the set-up cell into every notebook, fold its checks.

    The authored ones first, each with the badge of its own place, then the learners'.

    Args:
        folder: str or Path of the learners' notebooks, named as in the repository; the
            authored ones lie in its `solutions`.

    Returns:
        list of Path that changed; an empty one where all was up to date.

    Raises:
        FileNotFoundError: the folder holds no notebook.
        ValueError: a notebook does not begin with a heading.
    """
    import nbformat

    root = Path(folder).resolve().parent
    paths = sorted(Path(folder).glob("solutions/*.ipynb")) + find_notebooks(folder)
    changed = []
    for path in paths:
        book = nbformat.read(path, as_version=4)
        stamp(book, path.resolve().relative_to(root).as_posix())
        if write_notebook(path, book):
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


def stamp(book, place):
    """Put the badge below the title, the set-up cell before all other code, and fold.

    Args:
        book: nbformat notebook, changed in place.
        place: str, its path in the repository, with forward slashes.

    Raises:
        ValueError: it does not begin with a heading.
    """
    import nbformat

    first = book.cells[0] if book.cells else None
    if first is None or not first.source.startswith("# "):
        raise ValueError(
            f"Got {place} without a title, expected a first cell that begins with "
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
    for cell in book.cells:
        fold(cell)


def fold(cell):
    """Hide the source of a cell that begins with a title for it, and of no other.

    Args:
        cell: nbformat cell, changed in place.
    """
    is_folded = cell.cell_type == "code" and cell.source.startswith(TITLE)
    tags = [tag for tag in cell.metadata.get("tags", ()) if tag != FOLD_ON_SITE]
    for key in ("tags", "jupyter", "cellView"):
        cell.metadata.pop(key, None)
    if is_folded:
        tags.append(FOLD_ON_SITE)
        cell.metadata["jupyter"] = {"source_hidden": True}
        cell.metadata["cellView"] = "form"
    if tags:
        cell.metadata["tags"] = tags
