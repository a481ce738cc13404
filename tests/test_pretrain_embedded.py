"""The pretraining script resumes after a kill as if nothing had happened."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "pretrain_embedded.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("pretrain_embedded", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tiny(script, tmp_path, monkeypatch):
    """Two classes of four images, two epochs of two steps."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for i in range(8):
            path = tmp_path / "data" / split / f"n{i % 2}" / f"{i}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
            Image.fromarray(pixels).save(path)
    monkeypatch.setattr(script, "BATCH_SIZE", 4)
    monkeypatch.setattr(script, "CROP_PX_BY_EPOCH", [40, 48])
    yield tmp_path
    keras.mixed_precision.set_global_policy("float32")


def test_pretrain_resumes_where_it_was_killed(script, tiny, monkeypatch):
    whole, _, _ = script.pretrain(tiny / "data", tiny / "whole")
    put, epochs = script.Kept.put, []

    def killed_in_second_epoch(*arguments, **arrays):
        epochs.append(len(arguments[2]["curve"]))
        if len(epochs) == 2:
            raise KeyboardInterrupt
        put(*arguments, **arrays)

    monkeypatch.setattr(script.Kept, "put", killed_in_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        script.pretrain(tiny / "data", tiny / "killed")
    resumed, resumed_curve, _ = script.pretrain(tiny / "data", tiny / "killed")
    assert epochs == [1, 2, 2]  # the first is not repeated
    assert [row["epoch"] for row in resumed_curve] == [1, 2]
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_pretrain_refuses_the_folder_of_another_recipe(script, tiny, monkeypatch):
    script.Kept(tiny / "build", {"crops": [64], "batch_size": 4})
    with pytest.raises(ValueError, match="another crops"):
        script.pretrain(tiny / "data", tiny / "build")


def test_crops_differ_by_epoch_and_repeat_by_seed(script):
    images = np.random.default_rng(0).integers(0, 256, (256, 64, 64, 3), np.uint8)
    labels = np.arange(256) % 200

    def first_batch(epoch):
        return script.Crops(images, labels, 48, epoch)[0]

    once, again, later = first_batch(0), first_batch(0), first_batch(1)
    np.testing.assert_array_equal(once[0], again[0])
    assert not np.array_equal(once[0], later[0])
    assert once[0].shape == (script.BATCH_SIZE, 48, 48, 3)
    assert once[1].sum(axis=1).tolist() == [1] * script.BATCH_SIZE


def test_one_cycle_by_hand(script):
    schedule = script.OneCycle(0.4, total_steps=100)
    rates = [float(schedule(step)) for step in (0, 25, 62.5, 100)]
    assert rates == pytest.approx([0, 0.4, 0.2, 0], abs=1e-6)


def test_export_writes_what_the_backbone_reads(script, tiny, monkeypatch):
    from tl_helpers import backbones, profiles

    network, curve, val = script.pretrain(tiny / "data", tiny / "build")
    script.export(network, curve, val, tiny)
    monkeypatch.setattr(profiles, "data_dir", lambda: tiny)
    backbone = backbones.load("embedded")
    expected = np.float16(network.get_layer("block6_2_conv").kernel)
    got = backbone.network.get_layer("block6_2_conv").kernel
    np.testing.assert_array_equal(np.float16(got), expected)
