"""One authored notebook a chapter -> the learners' notebook, without the solutions.

The authored one, in `notebooks/solutions`, is the whole chapter with every exercise
solved. What stands between the markers in a code cell is the solution, and so is every
cell with the tag "solution". The learners' notebook has neither; in its place stand the
dots that the author left, and below them a checker that waits for an answer.
"""

import ast
import copy
import re
import symtable
from pathlib import Path

from tl_helpers.tools.notebooks import find_notebooks, write_notebook
from tl_helpers.tools.stamps import stamp

BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"
SOLUTION_TAG = "solution"
CHECKER = "check_exercise"
LINK_UP = re.compile(r"""(\]\(|src="|href=")\.\./""")


def write_learners(authored="notebooks/solutions", out="notebooks", only=None):
    """Write the learners' notebook of every chapter, or of none where one is wrong.

    Args:
        authored: str or Path of the authored notebooks, executed.
        out: str or Path of the learners' notebooks.
        only: name of one notebook, without its ending, or None for all.

    Returns:
        list of Path that changed; an empty one where all was up to date.

    Raises:
        FileNotFoundError: there is no authored notebook.
        ValueError: markers without their partner, a checker without a plain hint, or
            a cell that needs what only a solution defines.
    """
    import nbformat

    books = {
        Path(out) / path.name: learners_book(
            nbformat.read(path, as_version=4), path.name
        )
        for path in find_notebooks(authored, only)
    }
    return [path for path, book in books.items() if write_notebook(path, book)]


def learners_book(book, name):
    """Return a chapter without its solutions.

    Args:
        book: nbformat notebook, authored and executed; it stays as it is.
        name: its file name.

    Returns:
        nbformat notebook: cells of the same ids and outputs, but for the exercises.

    Raises:
        ValueError: as in `write_learners`.
    """
    refuse_borrowed_names(book, name)
    book = copy.deepcopy(book)
    book.cells = [cell for cell in book.cells if not _is_solution(cell)]
    for cell in book.cells:
        if cell.cell_type == "markdown":
            cell.source = LINK_UP.sub(r"\1", cell.source)  # one folder up
        elif cell.cell_type == "code":
            _take_solution_out(cell, name)
    stamp(book, f"notebooks/{name}")
    _number_from_one(book)
    return book


def without_solution(source, name):
    """Drop the lines between the markers, and the markers.

    Args:
        source: str, code of a cell.
        name: file name of the notebook, for the sentence of an error.

    Returns:
        str; as it was where there is no marker.

    Raises:
        ValueError: a marker without its partner.
    """
    kept, is_inside, is_after = [], False, False
    for line in source.splitlines():
        if line.strip() in (BEGIN, END):
            if (line.strip() == BEGIN) == is_inside:
                raise ValueError(
                    f"Got {line.strip()!r} in {name} without its partner, expected "
                    f"{BEGIN!r} and {END!r} in turn; look at the cell {source[:40]!r}."
                )
            is_inside, is_after = not is_inside, True
        elif is_inside or (is_after and not line.strip() and not "".join(kept[-1:])):
            continue  # one gap is enough where the solution stood
        else:
            kept.append(line)
            is_after = False
    if is_inside:
        raise ValueError(
            f"Got {BEGIN!r} in {name} without {END!r} behind it; add it to the cell "
            f"{source[:40]!r}."
        )
    is_same = len(kept) == len(source.splitlines())
    return source if is_same else "\n".join(kept).strip("\n")


def refuse_borrowed_names(book, name):
    """See that the learners' cells read nothing that a solution set last.

    A learner has no solution: there the name is missing, still the dots, or another
    value than in the author's run. Only the checker of an exercise takes its answer.

    Args:
        book: nbformat notebook, authored.
        name: its file name.

    Raises:
        ValueError: a cell reads such a name, itself or in a function that it calls.
    """
    borrowed, needs = set(), {}  # names; {function: names that it reads}
    for cell in book.cells:
        if cell.cell_type != "code":
            continue
        solved = _lines_of_solution(cell)
        for statement in _parse(cell.source, name).body:
            reads, sets = _names(statement)
            if statement.lineno in solved:
                borrowed |= sets
                continue
            if isinstance(statement, ast.FunctionDef):
                needs[statement.name] = reads
            elif lost := _with_needs(reads, needs) & borrowed:
                raise ValueError(
                    f"Got {min(lost)!r} in {name}, in the cell {cell.source[:40]!r}; "
                    "a solution has set it, expected a name that the learners' cells "
                    "set. Move it out of the markers, or rename it in the solution."
                )
            borrowed -= sets


def _lines_of_solution(cell):
    """Return the numbers, from 1, of the lines that learners do not get."""
    lines = cell.source.splitlines()
    if _is_solution(cell):
        return set(range(1, len(lines) + 1))
    found, is_inside = set(), False
    for number, line in enumerate(lines, start=1):
        if line.strip() in (BEGIN, END):
            is_inside = line.strip() == BEGIN
        elif is_inside:
            found.add(number)
    return found


def _names(statement):
    """Return the notebook's names that a statement reads, and those that it sets.

    The answer that a checker takes does not count as read.
    """
    for node in ast.walk(statement):
        if _is_checker(node) and node.args:
            node.args[0] = ast.Constant(None)
    top = symtable.symtable(ast.unparse(statement), "cell", "exec")
    sets = {
        symbol.get_name()
        for symbol in top.get_symbols()
        if symbol.is_assigned() or symbol.is_imported()
    }
    reads, tables = set(), [top]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        reads |= {
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_referenced() and (table is top or symbol.is_global())
        }
    is_block = hasattr(statement, "body")  # there a loop's name is set, then read
    return reads - sets if is_block else reads, sets


def _with_needs(names, needs):
    """Return names, and what the functions among them read in their turn."""
    found, waiting = set(), set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= needs.get(name, set()) - found
    return found


def _is_solution(cell):
    return SOLUTION_TAG in cell.metadata.get("tags", ())


def _number_from_one(book):
    """Number the executed cells in order, as a run from top to bottom does."""
    count = 0
    for cell in book.cells:
        if cell.cell_type != "code":
            continue
        count += bool(cell.source.strip())
        cell.execution_count = count if cell.execution_count else None
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = cell.execution_count


def _take_solution_out(cell, name):
    """Leave the dots of an exercise, and of its checker's output the hint."""
    source = without_solution(cell.source, name)
    if source != cell.source:
        cell.source, cell.outputs = source, []
    hint = _hint(source, name)
    if hint is not None and cell.execution_count:
        import nbformat

        text = f"Not answered yet. Hint: {hint}\n"
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]


def _hint(source, name):
    """Return the hint of the checker in a cell, or None where there is no checker."""
    calls = [node for node in ast.walk(_parse(source, name)) if _is_checker(node)]
    if not calls:
        return None
    hints = [
        call.args[2].value
        for call in calls
        if len(call.args) == 3 and isinstance(call.args[2], ast.Constant)
    ]
    if len(calls) != 1 or not hints or not isinstance(hints[0], str):
        raise ValueError(
            f"Got {len(calls)} calls of {CHECKER} in a cell of {name}, expected one "
            "with a plain string as its third argument; write the hint out."
        )
    return hints[0]


def _is_checker(node):
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == CHECKER


def _parse(source, name):
    """Return the syntax tree of a cell; IPython's own commands count as nothing."""
    python = re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.MULTILINE)
    try:
        return ast.parse(python)
    except SyntaxError as error:
        raise ValueError(
            f"Got a cell of {name} that is no Python ({error.msg}): {source[:40]!r}, "
            "expected code that runs with its solution and without; leave the dots."
        ) from error
