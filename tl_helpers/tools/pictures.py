"""The picture of every notebook, for the README."""

import base64
from pathlib import Path

from tl_helpers.storage import whole_or_nothing
from tl_helpers.tools.notebooks import code_cells, find_notebooks

PICTURE_TAG = "picture"  # of the cell whose plot stands for its notebook in the README


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

    cells = code_cells(nbformat.read(path, as_version=4))
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
