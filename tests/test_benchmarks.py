"""The benchmarks' plumbing: goals, table and file; nothing here measures time."""

import importlib
import json
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
    "ratio, goal, direction, met",
    [
        (4.0, 4, "at least", True),
        (3.9, 4, "at least", False),
        (1.0, 1, "at most", True),
        (1.1, 1, "at most", False),
        (7.0, None, "at least", None),
    ],
)
def test_row_is_met_on_the_right_side_of_its_goal(ratio, goal, direction, met):
    assert rows.Row("name", ratio, goal, direction).met is met


def test_interleave_runs_every_task_in_turn():
    calls = []
    tasks = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = rows.interleave(tasks, 3)
    assert "".join(calls) == "abababab"  # one untimed round, then three
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}


def test_median_ratio_ignores_one_slow_round():
    assert rows.median_ratio([6, 6, 100], [2, 2, 50]) == 3


def test_median_ratio_ignores_a_machine_that_changes_its_pace():
    assert rows.median_ratio([1, 2, 2, 2, 1], [1, 2, 1, 2, 2]) == 1


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
    assert set(one) == {"name", "ratio", "goal", "direction", "met", "machine", "raw"}
    assert (one["name"], one["met"], two["met"]) == ("one", True, False)


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
