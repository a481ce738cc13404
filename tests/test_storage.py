"""What is written is whole or not there, and results outlive a kill."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tl_helpers import storage
from tl_helpers.storage import (
    Kept,
    hash_arrays,
    read_json,
    remove_left_overs,
    whole_or_nothing,
    write_json,
)


def test_whole_or_nothing_leaves_nothing_after_a_stop(tmp_path):
    with pytest.raises(KeyboardInterrupt), whole_or_nothing(tmp_path / "set") as part:
        part.mkdir()
        (part / "half").write_text("x")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_whole_or_nothing_keeps_the_result_of_a_faster_process(tmp_path):
    with whole_or_nothing(tmp_path / "set") as part:
        part.mkdir()
        (part / "mine").write_text("x")
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "theirs").write_text("x")
    assert [p.name for p in tmp_path.rglob("*")] == ["set", "theirs"]


def die_while_writing(target):
    """Fork a child that is killed within `whole_or_nothing`."""
    child = os.fork()
    if child == 0:
        with whole_or_nothing(target) as part:
            part.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows waits a day instead")
def test_whole_or_nothing_clears_what_a_kill_left_of_any_file(tmp_path):
    die_while_writing(tmp_path / "a.npz")
    (left_over,) = tmp_path.iterdir()
    assert left_over.name.startswith(".")
    with whole_or_nothing(tmp_path / "other") as part:
        part.write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows waits a day instead")
def test_kept_removes_what_a_kill_left(tmp_path):
    Kept(tmp_path, IDENTITY)
    die_while_writing(tmp_path / "a.npz")
    Kept(tmp_path, IDENTITY)
    assert [path.name for path in tmp_path.iterdir()] == ["identity.json"]


def test_what_is_being_written_stays(tmp_path):
    with whole_or_nothing(tmp_path / "slow") as slow:
        slow.write_text("half")
        os.utime(slow.parent, (0, 0))  # for longer than anybody waits
        with whole_or_nothing(tmp_path / "fast") as fast:
            fast.write_text("x")
        remove_left_overs(tmp_path)
        slow.write_text("whole")
    assert (tmp_path / "slow").read_text() == "whole"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("age_s", [0, 2 * storage.STALE_S])
def test_without_locks_age_decides(tmp_path, monkeypatch, age_s):
    monkeypatch.setattr(storage, "fcntl", None)
    left_over = tmp_path / f"{storage._HIDDEN}0123abcd"
    left_over.mkdir()
    os.utime(left_over, (time.time() - age_s,) * 2)
    with whole_or_nothing(tmp_path / "set") as part:
        part.write_text("x")
    assert left_over.exists() == (age_s == 0)


def test_whole_or_nothing_bears_with_a_partial_folder_that_goes_while_it_looks(
    tmp_path, monkeypatch
):
    """Another process moves its finished file between the listing and the look."""
    monkeypatch.setattr(Path, "glob", lambda *_: [tmp_path / "gone"])
    with whole_or_nothing(tmp_path / "x") as part:
        part.write_text("whole")
    assert (tmp_path / "x").read_text() == "whole"


def test_whole_or_nothing_keeps_the_ending(tmp_path):
    with whole_or_nothing(tmp_path / "a.npz") as part:
        np.savez(part, x=np.arange(3))  # adds an ending where there is none
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_json_comes_back_and_half_a_file_counts_as_none(tmp_path):
    path = tmp_path / "a" / "b.json"
    assert read_json(path) is None
    write_json(path, {"é": [1, None]})
    assert read_json(path) == {"é": [1, None]}
    path.write_bytes(path.read_bytes()[:-4])
    assert read_json(path) is None


def test_hash_arrays_sees_values_shape_type_and_order():
    one, two = np.arange(4), np.arange(4.0)
    assert hash_arrays(one, two) == hash_arrays(one.copy(), two.copy())
    others = [(two, one), (one.reshape(2, 2), two), (one.astype("int32"), two), (one,)]
    hashes = {hash_arrays(*arrays) for arrays in [(one, two), *others]}
    assert len(hashes) == len(others) + 1
    assert hash_arrays(np.arange(6).reshape(2, 3).T) == hash_arrays(
        np.array([[0, 3], [1, 4], [2, 5]])
    )


IDENTITY = {"data": "abc", "seeds": (0, 1)}


def test_kept_gives_back_what_another_process_put(tmp_path):
    Kept(tmp_path, IDENTITY).put("a", {"score": 0.5})
    arrays = [np.eye(2, dtype="float32"), np.array([3, 4], "uint32")]
    Kept(tmp_path, IDENTITY).put(("b", 1), {"epoch": 3}, state=arrays, none=[])
    kept = Kept(tmp_path, IDENTITY)
    assert kept.get("a") == {"score": 0.5} and kept.get("c") is None
    found = kept.get(("b", 1))
    assert found["epoch"] == 3 and found["none"] == []
    for one, other in zip(found["state"], arrays, strict=True):
        assert one.dtype == other.dtype and np.array_equal(one, other)
    assert kept.all() == [{"score": 0.5}]


def test_kept_tells_keys_apart_that_read_alike(tmp_path):
    kept = Kept(tmp_path, IDENTITY)
    keys = ["0.1", 0.1, (0, 1), "x" * 200, "x" * 201, "a/b", "a b"]
    for i, key in enumerate(keys):
        kept.put(key, {"i": i})
    assert [kept.get(key)["i"] for key in keys] == list(range(len(keys)))
    assert all(path.parent == tmp_path for path in tmp_path.rglob("*.json"))


@pytest.mark.parametrize("ending", ["json", "npz"])
def test_kept_takes_half_a_file_for_none(tmp_path, ending):
    kept = Kept(tmp_path, IDENTITY)
    kept.put("a", {"x": 1}, **({"rows": [np.arange(9)]} if ending == "npz" else {}))
    (path,) = tmp_path.glob(f"a-*.{ending}")
    path.write_bytes(path.read_bytes()[:-5])
    assert kept.get("a") is None and kept.all() == []


@pytest.mark.parametrize(
    ("identity", "named"),
    [({"data": "xyz", "seeds": [0, 1]}, "data"), (IDENTITY | {"new": 1}, "new")],
)
def test_kept_refuses_the_folder_of_other_work_and_says_why(tmp_path, identity, named):
    Kept(tmp_path, IDENTITY)
    with pytest.raises(ValueError, match=f"holds work with another {named}, expected"):
        Kept(tmp_path, identity)


def test_kept_refuses_a_damaged_folder(tmp_path):
    Kept(tmp_path, IDENTITY)
    (tmp_path / "identity.json").write_text("{")
    with pytest.raises(ValueError, match="expected this one's or an empty folder"):
        Kept(tmp_path, IDENTITY)


@pytest.mark.parametrize("arrays", [{}, {"rows": [np.arange(9)]}])
def test_kept_goes_on_where_a_disk_is_full(tmp_path, monkeypatch, arrays):
    kept = Kept(tmp_path, IDENTITY)
    kept.put("a", {"x": 1}, **arrays)

    def full(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "replace", full)
        with pytest.warns(UserWarning, match="No space left on device; expected"):
            kept.put("a", {"x": 2}, **arrays)
    assert kept.get("a")["x"] == 1
    assert not list(tmp_path.glob(".*"))


def test_kept_refuses_results_that_nothing_describes(tmp_path):
    Kept(tmp_path, IDENTITY).put("a", {"x": 1})
    (tmp_path / "identity.json").unlink()
    with pytest.raises(ValueError, match="with another data, seeds, expected"):
        Kept(tmp_path, IDENTITY)


def test_kept_tells_nothing_from_none_and_knows_nan_again(tmp_path):
    Kept(tmp_path, {"rate": float("nan")})
    Kept(tmp_path, {"rate": float("nan")})
    with pytest.raises(ValueError, match="with another augment, expected"):
        Kept(tmp_path, {"rate": float("nan"), "augment": None})


def test_kept_without_a_folder_keeps_nothing():
    kept = Kept(None, IDENTITY)
    kept.put("a", {"x": 1})
    assert kept.get("a") is None
