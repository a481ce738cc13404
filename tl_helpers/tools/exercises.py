"""One authored notebook a chapter -> the learners' notebook, without the solutions.

The authored one, in `notebooks/solutions`, is the whole chapter with every exercise
solved. What stands between the markers in a code cell is the solution, and so is every
cell with the tag "solution". The learners' notebook has neither; in its place stand the
dots that the author left, and below them a checker that waits for an answer.
"""

import ast
import copy
from pathlib import Path

from tl_helpers.storage import write_text
from tl_helpers.tools.notebooks import find_notebooks
from tl_helpers.tools.stamps import stamp

BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"
SOLUTION_TAG = "solution"
CHECKER = "check_exercise"


def write_learners(authored="notebooks/solutions", out="notebooks"):
    """Write the learners' notebook of every chapter.

    Args:
        authored: str or Path of the authored notebooks, executed.
        out: str or Path of the learners' notebooks.

    Returns:
        list of Path that changed; an empty one where all was up to date.

    Raises:
        FileNotFoundError: there is no authored notebook.
        ValueError: markers without their partner, or a checker without a plain hint.
    """
    import nbformat

    changed = []
    for path in find_notebooks(authored):
        target = Path(out) / path.name
        book = learners_book(nbformat.read(path, as_version=4), path.name)
        text = nbformat.writes(book) + "\n"
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            write_text(target, text)
            changed.append(target)
    return changed


def learners_book(book, name):
    """Return a chapter without its solutions.

    Args:
        book: nbformat notebook, authored and executed; it stays as it is.
        name: its file name.

    Returns:
        nbformat notebook: cells of the same ids and outputs, but for the exercises.
    """
    book = copy.deepcopy(book)
    book.cells = [cell for cell in book.cells if not _is_solution(cell)]
    count = 0
    for cell in book.cells:
        if cell.cell_type == "markdown":  # one folder up
            cell.source = cell.source.replace("](../../", "](../")
            continue
        count += bool(cell.source.strip())
        _take_solution_out(cell, name)
        cell.execution_count = count if cell.execution_count else None
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = cell.execution_count
    stamp(book, f"notebooks/{name}")
    return book


def without_solution(source, name):
    """Drop the lines between the markers, and the markers.

    Args:
        source: str, code of a cell.
        name: file name of the notebook, for the sentence of an error.

    Returns:
        str.

    Raises:
        ValueError: a marker without its partner.
    """
    kept, is_inside = [], False
    for line in source.splitlines():
        if line.strip() in (BEGIN, END):
            if (line.strip() == BEGIN) == is_inside:
                raise ValueError(
                    f"Got {line.strip()!r} in {name} without its partner, expected "
                    f"{BEGIN!r} and {END!r} in turn; look at the cell {source[:40]!r}."
                )
            is_inside = not is_inside
        elif not is_inside:
            kept.append(line)
    if is_inside:
        raise ValueError(
            f"Got {BEGIN!r} in {name} without {END!r} behind it; add it to the cell "
            f"{source[:40]!r}."
        )
    return "\n".join(kept).strip("\n")


def _is_solution(cell):
    return SOLUTION_TAG in cell.metadata.get("tags", ())


def _take_solution_out(cell, name):
    """Leave the dots of an exercise, and of its checker's output the hint."""
    source = without_solution(cell.source, name)
    if source != cell.source:
        cell.source, cell.outputs = source, []
    hint = _hint(source, name)
    if hint is not None:
        import nbformat

        text = f"Not answered yet. Hint: {hint}\n"
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]


def _hint(source, name):
    """Return the hint of the checker in a cell, or None where there is no checker."""
    if CHECKER not in source:
        return None
    calls = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == CHECKER
    ]
    if not calls:
        return None
    hints = [call.args[2] for call in calls if len(call.args) == 3]
    if len(calls) != 1 or not hints or not isinstance(hints[0], ast.Constant):
        raise ValueError(
            f"Got {len(calls)} calls of {CHECKER} in a cell of {name}, expected one "
            "with a plain string as its third argument; write the hint out."
        )
    return hints[0].value
