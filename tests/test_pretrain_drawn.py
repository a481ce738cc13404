"""The pretrained small backbones: what their card says, and that a training resumes."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from tl_helpers import backbones, pretraining, profiles
from tl_helpers.backbones.loading import DRAWN, write_half_precision

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def script():
    path = ROOT / "benchmarks" / "pretrain_drawn.py"
    spec = importlib.util.spec_from_file_location("pretrain_drawn", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", DRAWN)
def test_load_gives_trained_weights_that_differ_from_the_start(name):
    backbone, start = backbones.load(name), pretraining.small_backbone(0)
    assert not backbone.network.trainable and backbone.blocks == start.blocks
    assert backbone.fingerprint != start.fingerprint
    assert (profiles.data_dir() / f"{name}.npz").stat().st_size < 600_000


def test_both_come_from_one_recipe_and_the_card_quotes_it():
    card = (profiles.data_dir() / "drawn.md").read_text()
    told = [json.loads((profiles.data_dir() / f"{x}.json").read_text()) for x in DRAWN]
    for name in ("num_steps", "batch_size", "learning_rate", "weight_decay", "size_px"):
        assert told[0][name] == told[1][name]
    assert f"{told[0]['parameters']:,} parameters" in card
    assert f"{told[0]['num_steps']} steps of {told[0]['batch_size']} pictures" in card
    assert f"trained at {told[0]['size_px']} px" in card
    last = told[0]["curve"][-1]
    assert last["step"] == told[0]["num_steps"]
    assert f"spread {last['spread']:.2f}, {last['effective_rank']:.0f} of 112" in card


def test_the_card_quotes_the_study():
    card = (profiles.data_dir() / "drawn.md").read_text()
    study = json.loads((profiles.data_dir() / "verifying.json").read_text())
    for source, rows in study["results"].items():
        auc, false, true = (
            np.mean([row[name] for row in rows])
            for name in ("auc", "false_accept", "true_accept")
        )
        assert f"| {source} | {auc:.3f} | {false:.2%} | {true:.1%} |" in card


def test_write_half_precision_is_read_by_load(tmp_path, monkeypatch):
    own = pretraining.small_backbone(seed=4)
    write_half_precision(own.network, tmp_path / "drawn_simclr.npz")
    monkeypatch.setattr(profiles, "data_dir", lambda: tmp_path)
    read = backbones.load("drawn_simclr")
    pairs = zip(own.network.get_weights(), read.network.get_weights(), strict=True)
    for wanted, got in pairs:
        np.testing.assert_array_equal(np.float16(wanted), np.float16(got))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["simclr", "supervised"])
def test_pretrain_resumes_where_it_was_killed(script, way, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "NUM_STEPS", 4)
    monkeypatch.setattr(script, "STEPS_AT_ONCE", 2)
    monkeypatch.setattr(script, "BATCH_SIZE", 8)
    whole, curve = script.pretrain(way, tmp_path / "whole")
    put, seen = script.Kept.put, []

    def killed_in_second_round(*arguments, **arrays):
        seen.append(len(arguments[2]["curve"]))
        if len(seen) == 2:
            raise KeyboardInterrupt
        put(*arguments, **arrays)

    monkeypatch.setattr(script.Kept, "put", killed_in_second_round)
    with pytest.raises(KeyboardInterrupt):
        script.pretrain(way, tmp_path / "killed")
    resumed, again = script.pretrain(way, tmp_path / "killed")
    assert seen == [1, 2, 2] and [row["step"] for row in again] == [2, 4]
    pairs = zip(whole.network.get_weights(), resumed.network.get_weights(), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, atol=1e-5)
