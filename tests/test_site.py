"""The site as a reader opens it from a USB stick: no server, no network."""

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from browser import needs_browser, page_fixture, wait_for  # noqa: F401 (by name)
from bs4 import BeautifulSoup

from tl_helpers.tools.glossary import glossary

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
IS_SEEN = """(() => {
  const {top, bottom} = document.querySelector(":target").getBoundingClientRect();
  return top >= 0 && bottom <= innerHeight;
})()"""
# what a page needs to show itself: tag and attribute
NEEDED = [("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src")]


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Folder of the site, built once, with the network cut."""
    out = tmp_path_factory.mktemp("site") / "site"
    build = [sys.executable, ROOT / "docs/make_site.py", out]
    done = subprocess.run(
        [ROOT / ".ci/without_network", *build], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return out


@cache
def soup(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@cache
def ids(path):
    return {found["id"] for found in soup(path).find_all(id=True)}


def pages(site):
    return sorted(site.rglob("*.html"))


def chapter_page(site, path):
    return site / "notebooks" / f"{path.stem}.html"


def printed(name):
    """A term as a page shows it: with printers' apostrophes."""
    return name.replace("'", "’")


def target(page, link):
    """File and anchor that a page's link leads to."""
    address, anchor = urldefrag(link)
    return (page.parent / unquote(address)).resolve() if address else page, anchor


def test_no_page_needs_the_network(site):
    for page in pages(site):
        for tag, attribute in NEEDED:
            for found in soup(page).find_all(tag, {attribute: True}):
                link = found[attribute]
                assert not urlsplit(link).netloc, f"{page.name} needs {link}"
                address = urlsplit(link).path
                assert target(page, address)[0].exists(), f"{page.name}: no {link}"
    for style in site.rglob("*.css"):
        found = re.findall(
            r"(?:@import|url\()\s*['\"]?(?:https?:)?//", style.read_text()
        )
        assert not found, style


def test_every_link_within_the_site_leads_somewhere(site):
    num_links = 0
    for page in pages(site):
        for found in soup(page).select("a[href]"):
            link = found["href"]
            if urlsplit(link).scheme:
                continue
            path, anchor = target(page, link)
            assert path.exists(), f"{page.name} leads to {link}"
            if anchor and path.suffix == ".html":
                assert unquote(anchor) in ids(path), f"{page.name}: {link}"
            num_links += 1
    assert num_links > 100 * len(CHAPTERS)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_offers_its_notebook_its_solutions_and_colab(site, chapter):
    page = chapter_page(site, chapter)
    learner, solved, colab = soup(page).select(".downloads a")
    for link, source in (
        (learner, chapter),
        (solved, chapter.parent / "solutions" / chapter.name),
    ):
        assert target(page, link["href"])[0].read_bytes() == source.read_bytes()
    assert target(page, solved["href"])[0].name == f"{chapter.stem}_solutions.ipynb"
    assert colab["href"].startswith("https://colab.research.google.com/github/")
    assert colab["href"].endswith(f"/notebooks/{chapter.name}")
    assert "colab-badge" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_ends_with_folded_answers(site, chapter):
    folded = soup(chapter_page(site, chapter)).select("article details:not(.hide)")
    assert [fold.has_attr("open") for fold in folded] == [False] * 3
    for fold in folded:
        summary, *answer = fold.find_all(True, recursive=False)
        assert summary.name == "summary" and summary.text.strip() == "Answer"
        assert "".join(part.text for part in answer).strip()


def test_landing_page_shows_a_card_for_each_chapter(site):
    page = site / "index.html"
    cards = soup(page).select(".card")
    links = [target(page, card.select("a")[1]["href"])[0] for card in cards]
    assert links == [chapter_page(site, chapter) for chapter in CHAPTERS]
    assert all(card.find("img")["alt"] and card.text.strip() for card in cards)


def test_glossary_leads_to_each_bold_term(site):
    page = site / "glossary.html"
    entries = glossary(ROOT / "notebooks")
    shown = soup(page).select("dl.glossary dt")
    assert [term.find(string=True).strip() for term in shown] == [
        printed(terms[0].name) for terms in entries
    ]
    for terms, term in zip(entries, shown, strict=True):
        links = term.find_next_sibling("dd").select("a")
        assert len(links) == len(terms)
        for link, expected in zip(links, terms, strict=True):
            path, anchor = target(page, link["href"])
            place = soup(path).find(id=anchor)
            assert path.stem == expected.chapter
            assert place.find("strong").text == printed(expected.name)


@needs_browser
def test_search_from_the_stick_finds_batchnorm_and_leads_to_its_chapter(site, page):
    page.open((site / "index.html").as_uri())
    page.photograph("site")
    page.value(
        "document.querySelector('input[name=q]').value = 'BatchNorm';"
        "document.querySelector('form[role=search]').submit()"
    )
    hits = wait_for(lambda: finished_search(page), 60)
    page.photograph("site_search")
    title, address, passage = hits[0]
    assert (title, "BatchNorm" in passage) == ("In the glossary", True)
    assert address.endswith("/glossary.html#term-BatchNorm")
    chapters = [hit for hit in hits if "/04_keep_what_was_learnt.html" in hit[1]]
    title, address, passage = chapters[0]
    assert title.startswith("04") and "BatchNorm" in passage
    page.value("window.before = true")
    click = f"[...document.links].find(a => a.href === {json.dumps(address)}).click()"
    page.value(click)
    wait_for(
        lambda: page.value("!window.before && document.readyState") == "complete", 60
    )
    assert page.value("document.querySelector('h1').innerText").startswith("04 · ")
    visible = """[...document.querySelectorAll("span.highlighted")].some(span => {
      const {top, bottom} = span.getBoundingClientRect();
      return top >= 0 && bottom <= innerHeight && span.innerText === "BatchNorm";
    })"""
    wait_for(lambda: page.value(visible), 10)
    page.photograph("site_chapter")


def finished_search(page):
    """(title, address, passage) of each hit, once they are all there."""
    return page.value("""(() => {
      const items = [...document.querySelectorAll("#search-results li")];
      const hits = items.map(item => [
        item.querySelector("a").innerText,
        item.querySelector("a").href,
        item.querySelector("p")?.innerText,
      ]);
      const done = document.querySelector(".search-summary")?.innerText;
      return done && hits.length && hits.every(hit => hit[2]) ? hits : null;
    })()""")


@needs_browser
def test_a_term_of_the_glossary_opens_where_it_is_explained(site, page):
    page.open((site / "glossary.html").as_uri())
    page.photograph("site_glossary")
    page.value("window.before = true")
    page.value("document.querySelector('#term-BatchNorm + dd a').click()")
    wait_for(
        lambda: page.value("!window.before && document.readyState") == "complete", 60
    )
    assert page.value("document.querySelector(':target').innerText") == "BatchNorm"
    wait_for(lambda: page.value(IS_SEEN), 10)  # it glides there


@needs_browser
def test_pages_ask_for_files_only(site, page):
    page.call("Network.enable")
    names = ("index", "search", "glossary", f"notebooks/{CHAPTERS[0].stem}")
    for name in names:
        page.open((site / f"{name}.html").as_uri())
    sent = [e for e in page.events if e["method"] == "Network.requestWillBeSent"]
    asked = [event["params"]["request"]["url"] for event in sent]
    assert len(asked) > 5 * len(names)
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
