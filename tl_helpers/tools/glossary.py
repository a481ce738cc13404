"""The glossary: every term that a chapter sets in bold where it explains it."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from tl_helpers.tools.notebooks import find_notebooks

LONGEST_TERM = 4  # words; longer ones are statements
LONGEST_LINE = 220  # characters of an explanation
BOLD = re.compile(r"\*\*(?!\s)([^*\n]+?)(?<!\s)\*\*")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} +(.*)$", re.MULTILINE)
PARAGRAPH = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )")
SENTENCE_END = re.compile(r"(?<=[.!?])[)*\"]*\s+(?=[(\"`*]*[A-Z0-9])")
CLAUSE = re.compile(r"(?<=[;:.!?]) (?=[\w`\x02])")
TERM_MARK = "\x02"  # stands before the term while its sentence is cut
LIST_MARK = re.compile(r"^(?:[-*]|\d+\.) +")
# a sentence that begins so needs the one before it
POINTS_BACK = re.compile(r"(This|That|These|Those|It|Its|They|Their|Both|Such)\b")
NOT_EXPLAINED_HERE = {"Exercises", "Sources", "Three questions"}  # sections
# bold to be heard, not to be looked up
STRESSED = frozenset(
    "a after all alone also always and any are as at away back be before beforehand "
    "both but by did do does each every few first for from has have he how if in is it "
    "its last many more most much need never new no none not of on once one only or "
    "other our own same seen she so some than that the them then there these they this "
    "those to together too twice two up us was we were what when which who why will "
    "with without you your".split()
)


@dataclass(frozen=True)
class Term:
    """A bold term of a chapter.

    Attributes:
        name: str, as it stands in the text.
        line: str, markdown: the sentence that explains it, cut to one line.
        is_definition: bool, whether the sentence has the form of one.
        chapter: str, name of the notebook, without its ending.
        section: str, markdown: the heading above it.
        cell: int, which cell of the notebook, from 0.
        span: (int, int), where the term with its asterisks begins and ends there.
    """

    name: str
    line: str
    is_definition: bool
    chapter: str
    section: str
    cell: int
    span: tuple

    @property
    def key(self):
        """The name without capitals and without a plural's s: one entry for both."""
        words = self.name.casefold()
        is_plural = words.endswith("s") and not words.endswith(("ss", "us", "is"))
        return words[:-1] if is_plural and len(words) > 3 else words

    @property
    def anchor(self):
        """Name of the place in the chapter: letters, digits and hyphens."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.key).strip("-")
        return f"term-{self.chapter[:2]}-{slug}"


def glossary(folder="notebooks"):
    """Collect the terms of all chapters.

    Args:
        folder: str or Path that holds the notebooks.

    Returns:
        list of lists of Term, alphabetical: one list an entry, at most one Term of each
        chapter; first the one that defines it best, then the others in reading order.

    Raises:
        FileNotFoundError: the folder holds no notebook.
    """
    entries = {}
    for path in find_notebooks(folder):
        for term in terms_of(path):
            entries.setdefault(term.key, []).append(term)
    best_first = {"key": lambda term: not term.is_definition}
    return [sorted(terms, **best_first) for _, terms in sorted(entries.items())]


def terms_of(path):
    """Find the terms of one chapter, the first time that each is bold.

    Bold text is a term unless it is a lead-in (**Predict:**), a statement of more
    than four words, a stressed everyday word, or stands in the opening cell, which
    says what the reader will do, or among exercises, sources and questions.

    Args:
        path: str or Path of a notebook.

    Returns:
        list of Term, in reading order.
    """
    path = Path(path)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    found, section = {}, ""
    for number, cell in enumerate(cells):
        if cell["cell_type"] != "markdown":
            continue
        text = "".join(cell["source"])
        headings = [(m.start(), m[1].strip()) for m in HEADING.finditer(text)]
        fences = [m.span() for m in FENCE.finditer(text)]
        for match in BOLD.finditer(text):
            above = [title for start, title in headings if start < match.start()]
            here = above[-1] if above else section
            is_code = any(start < match.start() < end for start, end in fences)
            if number == 0 or is_code or here in NOT_EXPLAINED_HERE:
                continue
            if is_term(match[1]):
                line, is_definition = explanation(text, match.span())
                where = (path.stem, here, number, match.span())
                term = Term(match[1], line, is_definition, *where)
                found.setdefault(term.key, term)
        section = headings[-1][1] if headings else section
    return list(found.values())


def is_term(bold):
    """Say whether bold text is a term: a few words, no lead-in, no stressed word.

    Args:
        bold: str, without its asterisks.

    Returns:
        bool.
    """
    words = re.findall(r"[^\W\d_][\w'-]*", bold.casefold().replace("’", "'"))
    return (
        0 < len(words) <= LONGEST_TERM
        and bold[-1] not in ".:?!,;"
        and not words[-1].endswith("'s")
        and not all(word in STRESSED for word in words)
    )


def explanation(text, span):
    """Return the sentence around a term, in one line.

    Where it points back ("This share is the **p-value**"), the sentence before it
    comes along. What is too long is cut between clauses; a clause that is too long
    by itself is cut after a word.

    Args:
        text: str, markdown of the cell.
        span: (int, int), where the term with its asterisks begins and ends in it.

    Returns:
        (str, bool): markdown without bold, about 220 characters at most; and whether
        it says "A term is ...", "... is called term" or the like.
    """
    begin, end = _part(PARAGRAPH, text, 0, len(text), span[0])
    begin = max([begin, *(m.end() + 1 for m in HEADING.finditer(text, 0, span[0]))])
    first, last = _part(SENTENCE_END, text, begin, end, span[0])
    if first > begin and POINTS_BACK.match(text, first):
        first, _ = _part(SENTENCE_END, text, begin, end, first - 2)
    name = _plain(text[slice(*span)])
    line = f"{_plain(text[first : span[0]])}{TERM_MARK}{_plain(text[span[0] : last])}"
    line = _fit(LIST_MARK.sub("", " ".join(line.split())))
    before, after = line.split(TERM_MARK)
    after = after.removeprefix(name)
    if not before and after.startswith(": "):
        return _finish(after[2:]), True  # a list's item; the entry has the name already
    starts = re.fullmatch(r"|(.*[.:;] )?(An?|The|To) ", before) and re.match(
        r"( \([^)]*\))?,? (are|[a-z]+s) ", after
    )
    is_named = re.search(r"\b(called|is|are)( an?| the)? $", before)
    return _finish(before + name + after), bool(starts or is_named)


def _part(separator, text, begin, end, where):
    """Return begin and end of the part that holds a place, between separators."""
    for match in separator.finditer(text, begin, end):
        if match.start() > where:
            return begin, match.start()
        begin = match.end()
    return begin, end


def _plain(markdown):
    """Strip bold and the addresses of links."""
    return re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", markdown.replace("**", ""))


def _fit(line):
    """Cut a line to the longest run of whole clauses around the term that fits."""
    if len(line) <= LONGEST_LINE:
        return line
    where = line.index(TERM_MARK)
    cuts = [0, *(m.end() for m in CLAUSE.finditer(line)), len(line)]
    runs = [
        (last - first, -first, line[first:last])
        for first in cuts
        for last in cuts
        if first <= where < last <= first + LONGEST_LINE
    ]
    if runs:
        return max(runs)[2]
    first = max(cut for cut in cuts if cut <= where)
    first = first if where - first < LONGEST_LINE / 2 else where
    return line[first : first + LONGEST_LINE].rsplit(" ", 1)[0].rstrip(" ,;:(-") + " …"


def _finish(line):
    """Make a sentence of a cut line: closed marks, a capital, a full stop."""
    for mark in "`", "*":
        if line.count(mark) % 2:
            line = line.replace(mark, "")
    line = line.strip(" ;:,")
    if line.count("(") > line.count(")"):
        line = line[1:] if line[0] == "(" else f"{line})"
    line = line[0].upper() + line[1:]
    return line if re.search(r"[.!?…][)\"]*$", line) else f"{line}."
