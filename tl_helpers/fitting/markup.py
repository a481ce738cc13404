"""Pieces of a page: sections, paragraphs, lists of files, pictures with a caption."""

from html import escape

from tl_helpers.fitting import drawing

MAX_NAMED = 40  # files in a list


def section(title, content):
    """Return a section with its heading; the content is HTML."""
    return f"<section><h2>{escape(title)}</h2>\n{content}</section>"


def paragraph(text, kind=""):
    """Return text as a paragraph of a CSS class; nothing for no text."""
    return f"<p{_kind(kind)}>{escape(text)}</p>\n" if text else ""


def _kind(kind):
    return f' class="{kind}"' if kind else ""


def listed(title, names):
    """Return names as a list that unfolds, the first ones where there are many."""
    shown = "".join(f"<li>{escape(name)}</li>" for name in names[:MAX_NAMED])
    if len(names) > MAX_NAMED:
        shown += f"<li>and {len(names) - MAX_NAMED} more</li>"
    return (
        f"<details><summary>{escape(title)} ({len(names)})</summary>"
        f"<ul>{shown}</ul></details>\n"
    )


def figure(images, row, caption):
    """Return a row of an ImageSet as a picture; the caption is HTML."""
    pixels = images.resized(drawing.PICTURE_PX).pixels([row])[0]
    return (
        f'<figure><img alt="" src="{drawing.picture(pixels)}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )
