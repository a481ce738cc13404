import pytest
from books import write_book

from tl_helpers.tools import record
from tl_helpers.tools.record import Run


@pytest.fixture
def folder(tmp_path):
    for name in ("00_a", "01_b"):
        write_book(tmp_path / f"{name}.ipynb", "x = 1\ny = 2")
    return tmp_path


def test_run_adds_the_phases_of_a_cell():
    run = Run()
    run.add("first", 0.5)
    run.add("first", 2.0, claims=3)
    run.add("second", 1.0, claims=1)
    assert run == Run(4, 3.5, {"first": 2.5, "second": 1.0})


def test_write_rounds_and_keeps_the_slow_cells_only(folder):
    record.write(folder, {"00_a": Run(3, 12.4, {"c1": 1.9, "c2": 2.0, "c3": 7.6})})
    assert record.read(folder) == {"00_a": Run(3, 12, {"c2": 2, "c3": 8})}


def test_write_leaves_chapters_that_did_not_run(folder):
    record.write(folder, {"01_b": Run(1, 9)})
    record.write(folder, {"00_a": Run(2, 5)})
    assert list(record.read(folder)) == ["00_a", "01_b"]


def test_write_drops_chapters_that_are_gone(folder):
    record.write(folder, {"00_a": Run(2, 5), "01_b": Run(1, 9)})
    (folder / "01_b.ipynb").unlink()
    record.write(folder, {})
    assert record.read(folder).keys() == {"00_a"}


@pytest.mark.parametrize("seconds, kept", [(8.1, 10), (12.4, 10), (7.0, 7), (13, 13)])
def test_write_changes_seconds_beyond_a_fifth_and_claims_at_once(folder, seconds, kept):
    record.write(folder, {"00_a": Run(3, 10, {"c1": 4})})
    record.write(folder, {"00_a": Run(2, seconds, {"c1": 5})})
    now = record.read(folder)["00_a"]
    assert (now.claims, now.seconds) == (2, kept)
    assert now.cells == {"c1": 4 if kept == 10 else 5}


def test_write_forgets_cells_that_are_gone(folder):
    record.write(folder, {"00_a": Run(3, 10, {"old": 4})})
    record.write(folder, {"00_a": Run(3, 11, {"new": 5})})
    assert record.read(folder)["00_a"].cells == {"new": 5}


def test_read_finds_nothing_where_nothing_was_recorded(tmp_path):
    assert record.read(tmp_path) == {}


def test_lost_claims_names_chapter_and_numbers():
    runs = {"00_a": Run(2), "01_b": Run(3), "02_c": Run(5)}
    written = {"00_a": Run(3), "01_b": Run(3), "02_c": Run(4), "03_d": Run(9)}
    (sentence,) = record.lost_claims(runs, written)
    assert sentence.startswith("00_a: got 2 claims, expected the 3 written down")


def test_lost_claims_wants_every_chapter_written_down():
    (sentence,) = record.lost_claims({"00_a": Run(2)}, {})
    assert "00_a: got 2 claims and none written down" in sentence
    assert sentence.endswith("run tl-helpers record --only 00_a.")


def test_slow_chapters_names_the_cell_that_lost_most(folder):
    book = write_book(folder / "00_a.ipynb", "\nimport keras\n1", "fit()\nscore()", "2")
    ids = [cell.id for cell in record_cells(book)]
    before = Run(0, 20, {ids[0]: 18})
    slow = Run(0, 40.0, dict(zip(ids, (20.0, 15.4, 1.0), strict=True)))
    (sentence,) = record.slow_chapters({"00_a": slow}, {"00_a": before}, folder)
    assert sentence == (
        f"00_a took 40 s instead of 20 s. The cell {ids[1]} (fit()) lost most: "
        "15 s instead of less than 2 s."
    )


def record_cells(path):
    from books import cells_of

    return [cell for cell in cells_of(path) if cell.cell_type == "code"]


def test_slow_chapters_is_silent_below_twice_the_time(folder):
    run, before = Run(0, 39.9, {"c": 39.9}), Run(0, 20)
    assert record.slow_chapters({"00_a": run}, {"00_a": before}, folder) == []
    assert record.slow_chapters({"00_a": run}, {}, folder) == []


def test_table_lines_up_durations_and_claims():
    runs = {"01_b": Run(12, 30.6), "00_start": Run(3, 9.4)}
    assert record.table(runs, {"01_b": Run(13, 15)}).splitlines() == [
        "chapter   seconds  recorded  claims  recorded",
        "00_start        9         -       3         -",
        "01_b           31        15      12        13",
        "2 in all       40                15",
    ]


def test_environment_forgets_what_the_user_set(monkeypatch):
    monkeypatch.setenv("TL_PROFILE", "full")
    monkeypatch.setenv("TL_OFFLINE", "1")
    found = record.environment()
    assert "TL_PROFILE" not in found
    assert (found["TL_OFFLINE"], found["TL_STRICT"]) == ("1", "1")
