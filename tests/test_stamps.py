import sys

import pytest
from books import NOTEBOOKS, cells_of, write_book

from tl_helpers.tools import stamps


def test_stamp_badges_adds_badge_and_set_up_cell(tmp_path):
    title = "# Title\n\nYou will do this."
    path = write_book(tmp_path / "notebooks/00_a.ipynb", "import keras", title=title)
    assert stamps.stamp_badges(path.parent) == [path]
    first, set_up, rest = cells_of(path)
    heading, badge, text = first.source.split("\n\n")
    assert (heading, text) == ("# Title", "You will do this.")
    assert badge.endswith("/transfer-learning-course/blob/main/notebooks/00_a.ipynb)")
    assert (set_up.source, rest.source) == (stamps.SET_UP_CELL, "import keras")


def test_stamp_badges_gives_authored_notebooks_the_badge_of_their_place(tmp_path):
    path = write_book(tmp_path / "notebooks/00_a.ipynb", "1")
    authored = write_book(tmp_path / "notebooks/solutions/00_a.ipynb", "1")
    assert stamps.stamp_badges(path.parent) == [authored, path]
    assert "blob/main/notebooks/solutions/00_a.ipynb" in cells_of(authored)[0].source
    assert "blob/main/notebooks/00_a.ipynb" in cells_of(path)[0].source


def test_stamp_badges_changes_nothing_the_second_time(tmp_path):
    path = write_book(tmp_path / "notebooks/00_a.ipynb", "1")
    stamps.stamp_badges(path.parent)
    before = path.read_bytes()
    assert stamps.stamp_badges(path.parent) == []
    assert path.read_bytes() == before


def test_stamp_badges_replaces_an_old_address(tmp_path, monkeypatch):
    path = write_book(tmp_path / "notebooks/00_a.ipynb", "1")
    stamps.stamp_badges(path.parent)
    moved = stamps.SET_UP_CELL.replace("tl-helpers/transfer", "school/transfer")
    monkeypatch.setattr(stamps, "REPOSITORY_URL", "https://github.com/school/course")
    monkeypatch.setattr(stamps, "SET_UP_CELL", moved)
    stamps.stamp_badges(path.parent)
    first, set_up, _ = cells_of(path)
    assert first.source.count("colab-badge.svg") == 1
    assert "github/school/course/blob" in first.source
    assert set_up.source == moved


def test_stamp_folds_the_cells_with_a_title_and_no_other(tmp_path):
    checks = "# @title Checked: one\ncheck(True, 'one')"
    path = write_book(tmp_path / "notebooks/00_a.ipynb", checks, "1")
    stamps.stamp_badges(path.parent)
    *_, folded, plain = cells_of(path)
    assert folded.metadata.jupyter.source_hidden and folded.metadata.cellView == "form"
    assert folded.metadata.tags == ["hide-input"]
    assert plain.metadata == {}
    folded.source, folded.metadata.tags = "1", ["picture", "hide-input"]
    stamps.fold(folded)
    assert folded.metadata == {"tags": ["picture"]}


def test_stamp_badges_wants_a_title(tmp_path):
    path = write_book(tmp_path / "notebooks/00_a.ipynb", "1", title="no heading")
    with pytest.raises(ValueError, match="without a title"):
        stamps.stamp_badges(path.parent)


def test_set_up_cell_installs_on_colab_only(monkeypatch):
    code = stamps.SET_UP_CELL.replace("%pip", "raise InterruptedError #")
    exec(code, {})  # here it does nothing
    monkeypatch.setitem(sys.modules, "google.colab", None)
    with pytest.raises(InterruptedError):
        exec(code, {})
    assert f"%pip install -q git+{stamps.REPOSITORY_URL}" in stamps.SET_UP_CELL


@pytest.mark.parametrize(
    "path",
    sorted(NOTEBOOKS.rglob("*.ipynb")),
    ids=lambda p: f"{p.parent.name}/{p.stem}",
)
def test_every_notebook_begins_with_badge_and_set_up_cell(path):
    cells = cells_of(path)
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    place = path.relative_to(NOTEBOOKS.parent).as_posix()
    assert stamps.badge(place) in cells[0].source.splitlines()
    assert code[0] == stamps.SET_UP_CELL, "run make badges"
