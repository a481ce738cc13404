"""Sphinx's settings for the site; `docs/make_site.py` lays out its pages."""

import json
from pathlib import Path

from docutils import nodes
from sphinx import addnodes

project = "Transfer learning"
author = "The tl_helpers developers"
copyright = f"{author}, MIT licence"  # noqa: A001 (Sphinx's name)
html_title = "Transfer learning"

extensions = ["myst_nb"]
root_doc = "index"
exclude_patterns = ["files"]  # to be downloaded as they are
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["colon_fence", "attrs_inline"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # a notebook may begin a section where it likes

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["course.css"]
html_js_files = ["course.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_use_index = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#1f5f9f",
        "color-brand-content": "#1f5f9f",
        "color-brand-visited": "#1f5f9f",
    },
    "dark_css_variables": {
        "color-brand-primary": "#7ab8f5",
        "color-brand-content": "#7ab8f5",
        "color-brand-visited": "#7ab8f5",
    },
}

# what is looked into for places that a search may lead to, and for plots to leave out
WITHIN = (nodes.section, nodes.container, addnodes.glossary, nodes.definition_list)


def text_of_sections(document):
    """Return the text of a page as HTML of nothing but sections and their text.

    Args:
        document: docutils document.

    Returns:
        str: what Sphinx's search page needs to show a passage around a hit.
    """

    def html(node):
        if isinstance(node, nodes.Element) and node.get("mime_type") == "text/plain":
            return ""  # stands in for a plot
        if isinstance(node, WITHIN):
            inner = "".join(html(child) for child in node.children)
        else:
            inner = node.astext().replace("&", "&amp;").replace("<", "&lt;")
        ids = [] if isinstance(node, nodes.Text) else node["ids"]
        if isinstance(node, nodes.definition_list_item):
            ids = node[0]["ids"]  # a term of the glossary
        return f'<div id="{ids[0]}">{inner}</div>' if ids else f"{inner} "

    inner = "".join(html(child) for child in document.children)
    return f'<div role="main">{inner}</div>'


def write_texts(app, error):
    """Write the texts of all pages beside the search page."""
    if error is None and app.builder.format == "html":
        names = sorted(app.env.found_docs)
        texts = {n: text_of_sections(app.env.get_doctree(n)) for n in names}
        script = f"const PAGE_TEXTS = {json.dumps(texts, ensure_ascii=False)};\n"
        path = Path(app.outdir, "_static", "page_texts.js")
        path.write_text(script, encoding="utf-8")


def add_search_scripts(app, pagename, templatename, context, doctree):
    """Have the search page, and no other, load the texts."""
    if pagename == "search":
        app.add_js_file("page_texts.js")
        app.add_js_file("search_offline.js")


def setup(app):
    """Connect the two functions above to the build."""
    app.connect("html-page-context", add_search_scripts)
    app.connect("build-finished", write_texts)
