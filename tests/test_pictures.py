import base64
from pathlib import Path

import pytest
from books import LESSONS, ROOT, write_book
from nbformat.v4 import new_code_cell, new_output

from tl_helpers import __main__
from tl_helpers.tools import pictures


def plotting(tags, *plots):
    """A code cell with some tags and plots of some contents."""
    cell = new_code_cell("plot()", metadata={"tags": tags})
    encoded = [base64.b64encode(plot).decode() for plot in plots]
    cell.outputs = [new_output("display_data", {"image/png": plot}) for plot in encoded]
    return cell


def test_write_pictures_takes_the_plot_of_the_tagged_cell(tmp_path):
    cells = plotting([], b"1st"), plotting(["other", "picture"], b"2nd"), plotting([])
    write_book(tmp_path / "notebooks/00_a.ipynb", *cells)
    out = tmp_path / "docs/pictures"
    assert pictures.write_pictures(tmp_path / "notebooks", out) == [out / "00_a.png"]
    assert (out / "00_a.png").read_bytes() == b"2nd"


def test_write_pictures_changes_only_what_is_stale(tmp_path):
    for name in ("00_a", "01_b"):
        write_book(tmp_path / f"{name}.ipynb", plotting(["picture"], b"old"))
    pictures.write_pictures(tmp_path, tmp_path)
    write_book(tmp_path / "01_b.ipynb", plotting(["picture"], b"new"))
    assert pictures.write_pictures(tmp_path, tmp_path) == [tmp_path / "01_b.png"]
    assert (tmp_path / "00_a.png").read_bytes() == b"old"
    assert (tmp_path / "01_b.png").read_bytes() == b"new"


@pytest.mark.parametrize(
    "cells, got",
    [
        ([plotting([], b"x")], "0 plots of 0 code cells"),
        ([plotting(["picture"])], "0 plots of 1 code cells"),
        ([plotting(["picture"], b"x", b"y")], "2 plots of 1 code cells"),
        (
            [plotting(["picture"], b"x"), plotting(["picture"])],
            "1 plots of 2 code cells",
        ),
    ],
)
def test_write_pictures_wants_one_plot_of_one_cell(tmp_path, cells, got):
    write_book(tmp_path / "00_a.ipynb", plotting(["picture"], b"good"))
    write_book(tmp_path / "01_b.ipynb", *cells)
    with pytest.raises(ValueError, match=f"{got} .*01_b.ipynb, expected"):
        pictures.write_pictures(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pictures_command_names_what_it_wrote(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_book(tmp_path / "notebooks/00_a.ipynb", plotting(["picture"], b"plot"))
    assert __main__.main(["pictures"]) == 0
    path = Path("docs/pictures/00_a.png")
    assert capsys.readouterr().out == f"wrote {path}\n"
    assert path.read_bytes() == b"plot"


def test_pictures_are_those_of_the_notebooks():
    files = (ROOT / "docs/pictures").iterdir()
    committed = {path.stem: path.read_bytes() for path in files}
    assert committed.keys() == {path.stem for path in LESSONS}
    stale = [p.stem for p in LESSONS if committed[p.stem] != pictures.picture_of(p)]
    assert stale == [], "run tl-helpers pictures"
    assert sum(map(len, committed.values())) < 66_000 * len(LESSONS)
    assert all(data.startswith(b"\x89PNG") for data in committed.values())
