"""The benchmarks' plumbing: goals, table and file; nothing here measures time."""

import importlib
import json
import mmap
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from tl_helpers import evaluation, fewshot, profiles

SCRIPTS = profiles.data_dir().parent / "benchmarks"
if not SCRIPTS.exists():
    pytest.skip("needs a clone: benchmarks/", allow_module_level=True)
sys.path[:0] = [str(SCRIPTS / "ratios"), str(SCRIPTS / "studies")]
rows = importlib.import_module("rows")
run = importlib.import_module("run")
runs = importlib.import_module("runs")
adapting = importlib.import_module("adapting")
episodes = importlib.import_module("episodes")


@pytest.mark.parametrize(
    "ratio, goal, direction, verdict",
    [
        (4.0, 4, "at least", "yes"),
        (3.9, 4, "at least", "NO"),
        (1.0, 1, "at most", "yes"),
        (1.1, 1, "at most", "NO"),
        (7.0, None, "at least", "-"),
    ],
)
def test_row_is_met_on_the_right_side_of_its_goal(ratio, goal, direction, verdict):
    assert rows.Row("name", ratio, goal, direction).verdict == verdict


@pytest.mark.parametrize(
    "rounds, verdict",
    [
        ([0.8, 0.9, 0.95], "yes"),
        ([1.2, 1.3, 1.4], "NO"),
        ([0.9, 0.95, 1.1], "unsure"),
        ([0.9] * 10 + [9.0], "yes"),  # one disturbed round of eleven
        ([0.9] * 6 + [1.1] * 5, "unsure"),
    ],
)
def test_row_with_rounds_on_both_sides_of_its_goal_is_unsure(rounds, verdict):
    spent = [rows.Spent(x, 0.0, 0) for x in rounds]
    once = [rows.Spent(1.0, 0.0, 0)] * len(rounds)
    assert rows.compare("name", spent, once, 1, "at most").verdict == verdict


def test_between_holds_the_median_19_times_in_20():
    draws = np.random.default_rng(0).normal(size=(2000, 11))
    low, high = np.transpose([rows.between(draw) for draw in draws])
    share = np.mean((low < 0) & (0 < high))
    assert 0.95 < share < 0.999


def test_interleave_runs_every_task_in_turn():
    calls = []
    tasks = {name: lambda name=name: calls.append(name) for name in "ab"}
    spent = rows.interleave(tasks, 3)
    assert "".join(calls) == "abababab"  # one untimed round, then three
    assert {name: len(values) for name, values in spent.items()} == {"a": 3, "b": 3}


def test_a_whole_run_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    calls = []

    def measured(name):
        def measure():
            calls.append(name)
            if calls == ["first", "second"]:
                raise KeyboardInterrupt
            return [rows.Row(name, 1.0, None, "at least")]

        return measure

    monkeypatch.setattr(run, "ROOT", tmp_path)
    names = ("first", "second")
    monkeypatch.setattr(run, "BENCHMARKS", {name: measured(name) for name in names})
    with pytest.raises(KeyboardInterrupt):
        run.main([])
    assert not (tmp_path / "build/bench.json").exists()
    assert run.main([]) == 0 and calls == ["first", "second", "second"]
    written = json.loads((tmp_path / "build/bench.json").read_text())
    assert [row["name"] for row in written] == ["first", "second"]
    assert run.main([]) == 0 and len(calls) == 5  # a new run measures anew


def test_changed_code_is_measured_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "ROOT", tmp_path)
    (tmp_path / "tl_helpers").mkdir()
    (tmp_path / "tl_helpers/one.py").write_text("a = 1")
    before = run.state_of_code()
    (tmp_path / "tl_helpers/one.txt").write_text("no code")
    assert run.state_of_code() == before
    (tmp_path / "tl_helpers/one.py").write_text("a = 2")
    assert run.state_of_code() != before


def compared(slow, fast):
    sides = ([rows.Spent(x, x / 4, 100) for x in seconds] for seconds in (slow, fast))
    return rows.compare("name", *sides, 1)


def test_compare_ignores_one_slow_round():
    assert compared([6, 6, 100], [2, 2, 50]).ratio == 3


def test_compare_ignores_a_machine_that_changes_its_pace():
    assert compared([1, 2, 2, 2, 1], [1, 2, 1, 2, 2]).ratio == 1


def test_measure_counts_page_faults_of_fresh_memory():
    """Mapped afresh: memory from malloc may be there from an earlier test."""

    def write_to_fresh_memory():
        with mmap.mmap(-1, 5000 * mmap.PAGESIZE) as memory:
            memory.write(bytes(len(memory)))

    spent = rows.measure(write_to_fresh_memory)
    assert spent.page_faults > 0 and 0 <= spent.system_s
    assert spent.seconds > 0


def test_ratios_show_the_kernels_share_of_both_sides(tmp_path):
    row = compared([6, 6, 6], [2, 2, 2])
    line = rows.format_table([row]).splitlines()[1]
    assert line.split()[-6:] == ["25%", "/", "25%", "100", "/", "100"]
    rows.write_json([row], tmp_path / "bench.json", "a machine")
    (entry,) = json.loads((tmp_path / "bench.json").read_text())
    assert entry["page faults"] == [100, 100] and entry["rounds"] == [3, 3, 3]


def test_both_sides_of_a_ratio_have_the_same_allocator():
    """The benchmark starts itself anew, since glibc reads its settings at the start."""
    code = "import os, run; run.keep_memory(); print(os.environ['MALLOC_TOP_PAD_'])"
    path = os.pathsep.join(map(str, sys.path))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path}
    done = subprocess.check_output([sys.executable, "-c", code], env=environment)
    assert int(done) == 64 * 2**20


def test_format_table_shouts_where_a_goal_is_missed():
    good, bad = rows.Row("good", 2, 1), rows.Row("bad", 2, 1, "at most")
    _, first, second = rows.format_table([good, bad]).splitlines()
    assert first.split() == ["good", "2.000", "at", "least", "1", "yes"]
    assert second.split() == ["bad", "2.000", "at", "most", "1", "NO"]


@pytest.fixture
def fake(monkeypatch, tmp_path):
    found = {"first": [rows.Row("one", 2.0, 1)], "second": [rows.Row("two", 0.5, 1)]}
    fakes = {name: lambda name=name: found[name] for name in found}
    monkeypatch.setattr(run, "BENCHMARKS", fakes)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "use_all_cores", lambda: None)
    return tmp_path / "build/bench.json"


def test_main_writes_every_row_and_fails_where_one_does(fake):
    assert run.main([]) == 1
    one, two = json.loads(fake.read_text())
    assert {"name", "ratio", "goal", "direction", "met", "machine", "raw"} < set(one)
    assert (one["name"], one["met"], two["met"]) == ("one", "yes", "NO")


def test_main_with_only_one_benchmark_writes_no_file(fake, capsys):
    assert run.main(["--only", "first"]) == 0
    assert "one" in capsys.readouterr().out
    assert not fake.exists()


def test_measure_import_finds_no_framework():
    assert run.measure_import()[1].ratio == 0


@pytest.fixture
def study(monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "BUILD", tmp_path)
    return runs.study("trial", epochs=3)


def test_run_once_runs_once_and_remembers(study):
    calls = []

    def compute(seed):
        calls.append(seed)
        return {"accuracy": 0.5}

    first = runs.run_once(study, "a name, with signs", 3, compute)
    assert first == runs.run_once(study, "a name, with signs", 3, compute)
    assert calls == [3] and first["accuracy"] == 0.5 and first["seed"] == 3
    assert runs.study("trial", epochs=3).all() == [first]


def test_run_once_leaves_nothing_of_a_run_that_broke(study):
    with pytest.raises(ZeroDivisionError):
        runs.run_once(study, "broken", 0, lambda seed: 1 / seed)
    assert study.all() == []


def test_a_study_with_other_knobs_is_another(study):
    with pytest.raises(ValueError, match="another epochs"):
        runs.study("trial", epochs=4)


def test_points_leave_the_unit_to_the_column():
    gain = evaluation.compare_paired([0.5, 0.7, 0.6], [0.4, 0.6, 0.5])
    assert runs.points(gain) == "+10.0 (+10.0 to +10.0)"


def test_the_floor_computes_the_loss_of_dann():
    images, labels = adapting._batch()
    keras.utils.set_random_seed(0)
    model = adapting._dann()
    floor = adapting._floor(model)
    weights = model.get_weights()
    for layer in model.encoder.layers:  # dropout would draw anew
        layer.rate = 0.0
    inputs = {"source": images[0], "target": images[1]}
    by_hand = float(floor(inputs, labels))
    model.set_weights(weights)
    logged = model.train_on_batch(inputs, labels, return_dict=True)
    assert logged["loss"] == pytest.approx(by_hand, rel=1e-5)


def test_the_loops_over_episodes_answer_as_all_at_once():
    support, query = (part[:5] for part in episodes._episodes())
    answers = fewshot.ridge(support, query)
    for loop in (episodes._fit, episodes._solve):
        one_by_one = [loop(*one) for one in zip(support, query, strict=True)]
        assert np.array_equal(answers, one_by_one)
