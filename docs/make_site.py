"""The course as a site that also works from a USB stick: `make site`.

Lays the pages out as Sphinx wants them, and has Sphinx write the site. Chapters come
from the committed notebooks; nothing is executed and nothing is fetched.

Usage: python docs/make_site.py [OUT]
"""

import json
import re
import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import build_main

from tl_helpers.tools import glossary
from tl_helpers.tools.notebooks import find_notebooks
from tl_helpers.tools.stamps import BADGE_START, SET_UP_CELL

ROOT = Path(__file__).resolve().parent.parent
BADGE = re.compile(rf"^{re.escape(BADGE_START)}.*\]\((\S+)\)$", re.MULTILINE)
# a learner looks for nothing there
NOT_SEARCHED = "---\nnosearch: true\n---"
# what the landing page shows in its own way
NOT_FROM_README = ("colab-badge", "```mermaid", "<table>")
SOLUTION = re.compile(r"\[([^\]]+)\]\(solutions/(\w+)\.ipynb\)")
ROW = re.compile(r"^\| \[(\w+)\]\(notebooks/\w+\.ipynb\) \| ([^|]+) \|", re.MULTILINE)
ARROW = re.compile(r"\bn(\d\d)(?:\[.*?\])? --> n(\d\d)\b")


def main(out="build/site"):
    """Build the site anew; where that fails, the old one stays.

    Args:
        out: str or Path of its folder; relative ones count from the repository's root.

    Returns:
        int, Sphinx's exit status: 0, or another where anything gave a warning.
    """
    out = ROOT / out
    work = out.with_name(f"{out.name}-work")
    shutil.rmtree(work, ignore_errors=True)
    lay_out(ROOT, work / "pages")
    flags = ["-q", "-W", "--keep-going", "-b", "html", "-c", str(ROOT / "docs")]
    folders = [work / "trees", work / "pages", work / "site"]
    status = build_main([*flags, "-d", *map(str, folders)])
    if status == 0:
        shutil.rmtree(out, ignore_errors=True)
        (work / "site").rename(out)
        shutil.rmtree(work)
    return status


def lay_out(root, source):
    """Write every page, and every file that can be downloaded, into one folder.

    Args:
        root: Path of the repository.
        source: Path of the folder, made here.

    Raises:
        FileNotFoundError: there are no notebooks.
        ValueError: a notebook has no badge, or the README no line about it.
    """
    chapters = find_notebooks(root / "notebooks")
    readme = (root / "README.md").read_text(encoding="utf-8")
    write(source / "readme.md", without_drawings(readme))
    lay_out_documents(root, source)
    landing = (root / "docs/index.md").read_text(encoding="utf-8")
    contents = "\n".join(f"{short(path)} <notebooks/{path.stem}>" for path in chapters)
    landing = landing.replace("<!-- chapters -->", cards(chapters, readme))
    write(source / "index.md", landing.replace("<!-- contents -->", contents))
    entries = glossary.glossary(root / "notebooks")
    write(source / "glossary.md", glossary_page(entries))
    for path in chapters:
        terms = [t for terms in entries for t in terms if t.chapter == path.stem]
        page = chapter_page(json.loads(path.read_text(encoding="utf-8")), path, terms)
        write(source / "notebooks" / path.name, json.dumps(page))
        copy(path, source / "files" / path.name)
        solved = path.parent / "solutions" / path.name
        copy(solved, source / "files" / f"{path.stem}_solutions.ipynb")


def lay_out_documents(root, source):
    """Copy what is a page as it stands, and the pictures and files of such pages."""
    for folder in ("docs", "data"):
        for path in (root / folder).rglob("*"):
            if path.suffix in (".md", ".png") and path != root / "docs/index.md":
                copy(path, source / path.relative_to(root))
    for name in ("CITATION.cff", "LICENSE"):
        copy(root / name, source / name)
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        text = (root / name).read_text(encoding="utf-8")
        write(source / name, f"{NOT_SEARCHED}\n{text}")


def copy(path, target):
    """Copy a file, and make the folder where it goes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def write(path, text):
    """Write a text file, and make the folder where it goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def short(path):
    """Name of a chapter for narrow places: `06_measure_shift` is "06 Measure shift"."""
    number, name = path.stem.split("_", 1)
    return f"{number} {name.replace('_', ' ').capitalize()}"


def without_drawings(readme):
    """Leave out what the landing page shows in its own way, the title too."""
    first, *sections = re.split(r"^(?=## )", readme, flags=re.MULTILINE)
    kept = [s for s in sections if not any(mark in s for mark in NOT_FROM_README)]
    return "".join(["# Set-up and commands", *first.partition("\n")[1:], *kept])


def cards(chapters, readme):
    """A card for each chapter: its picture, its title, what one learns, what it needs.

    Args:
        chapters: list of Path of the notebooks.
        readme: str, which says in a table what each teaches, and in a drawing which
            chapter comes before which.

    Returns:
        str, markdown.

    Raises:
        ValueError: the table has no row for a chapter.
    """
    lessons = dict(ROW.findall(readme))
    arrows = ARROW.findall(readme)
    shown = []
    for path in chapters:
        if path.stem not in lessons:
            raise ValueError(
                f"Got no row for {path.stem} in README.md's table of chapters, "
                "expected what the reader learns there; write it."
            )
        link = f"notebooks/{path.name}"
        lesson = lessons[path.stem].strip()
        before = [first for first, then in arrows if then == path.stem[:2]]
        lines = [
            "::::{container} card",
            f"[![{short(path)}](docs/pictures/{path.stem}.png)]({link})",
            "",
            f"[{short(path)}]({link})",
            "",
            f"{lesson[0].upper()}{lesson[1:]}.",
            "",
            f"After {', '.join(before)}." if before else "Begin here.",
            "::::",
        ]
        shown.append("\n".join(lines))
    return ":::::{container} cards\n" + "\n".join(shown) + "\n:::::"


def chapter_page(book, path, terms):
    """Make a page of a notebook: downloads for the badge, a place for each term.

    Args:
        book: dict, the notebook as JSON; changed in place.
        path: Path of the notebook.
        terms: list of the glossary's Term that this chapter explains.

    Returns:
        dict, `book`.

    Raises:
        ValueError: the notebook has no Colab badge.
    """
    cells = book["cells"]
    for term in sorted(terms, key=lambda t: t.span, reverse=True):
        text = "".join(cells[term.cell]["source"])
        first, last = term.span
        place = f"[{text[first:last]}]{{#{term.anchor}}}"
        cells[term.cell]["source"] = text[:first] + place + text[last:]
    opening = "".join(cells[0]["source"])
    badge = BADGE.search(opening)
    if badge is None:
        raise ValueError(
            f"Got no Colab badge in {path}, expected one below the title; run "
            "'tl-helpers badges'."
        )
    downloads = (
        ":::{container} downloads\n"
        f"{{download}}`Notebook <../files/{path.name}>`\n"
        f"{{download}}`With solutions <../files/{path.stem}_solutions.ipynb>`\n"
        f"[Open in Colab]({badge[1]})\n:::"
    )
    opening = opening.replace("# ", f"# {path.stem[:2]} · ", 1)
    cells[0]["source"] = opening.replace(badge[0], downloads)
    for cell in cells:
        if cell["cell_type"] == "markdown":
            text = "".join(cell["source"])
            solved = r"{download}`\1 <../files/\2_solutions.ipynb>`"
            cell["source"] = SOLUTION.sub(solved, text)
    is_set_up = SET_UP_CELL.splitlines()[0]
    book["cells"] = [c for c in cells if not "".join(c["source"]).startswith(is_set_up)]
    return book


def glossary_page(entries):
    """Write the glossary: a term, its sentence, where it is explained.

    Args:
        entries: list of lists of the glossary's Term.

    Returns:
        str, markdown.
    """
    lines = [
        "---\nhide-toc: true\n---\n# Glossary\n",
        "Each term with the sentence that introduces it. The link leads to that place "
        "in its chapter; numbers after it are other chapters that come back to it.\n",
    ]
    letter = ""
    for best, *others in entries:
        initial = best.key[0].upper() if best.key[0].isalpha() else "0 to 9"
        if initial != letter:
            lines += ["```", ""] if letter else []
            letter = initial
            lines += [f"## {letter}", "", "```{glossary}"]
        where = f"[{best.chapter[:2]} {_plain(best.section)}](#{best.anchor})"
        also = " ".join(f"[{term.chapter[:2]}](#{term.anchor})" for term in others)
        line = f"  {best.line} {where}{{.where}}"
        lines += [best.name, f"{line} {also}".rstrip(), ""]
    return "\n".join([*lines, "```", ""])


def _plain(markdown):
    """Strip the marks that a link's text cannot hold."""
    return re.sub(r"[\[\]`*]", "", markdown)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
