"""The pretraining script resumes after a kill as if nothing had happened."""

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "pretrain_embedded.py"


def small_network(num_classes):
    """What stands for the embedded network, which takes a minute to compile."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(8, 5, strides=4, use_bias=False)(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(num_classes, dtype="float32")(x))


def load_script():
    spec = importlib.util.spec_from_file_location("pretrain_embedded", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script():
    return load_script()


@pytest.fixture
def tiny(script, tmp_path, monkeypatch):
    """Two classes of six images, two epochs of three steps."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for i in range(12):
            path = tmp_path / "data" / split / f"n{i % 2}" / f"{i}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
            Image.fromarray(pixels).save(path)
    monkeypatch.setattr(script, "BATCH_SIZE", 4)
    monkeypatch.setattr(script, "CROP_PX_BY_EPOCH", [40, 40])
    yield tmp_path
    keras.mixed_precision.set_global_policy("float32")


def test_pretrain_resumes_where_it_was_killed(script, tiny, monkeypatch):
    monkeypatch.setattr(script, "build_network", small_network)
    whole, _, _ = script.pretrain(tiny / "data", tiny / "whole")
    put, epochs = script.Kept.put, []
    look, steps = script.Crops.__getitem__, []
    monkeypatch.setattr(
        script.Crops, "__getitem__", lambda *a: steps.append(a[1]) or look(*a)
    )

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
    assert steps[-3:] == [0, 1, 2]  # Keras shuffles nothing
    assert [row["epoch"] for row in resumed_curve] == [1, 2]
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_pretrain_refuses_the_folder_of_another_recipe_or_data(
    script, tiny, monkeypatch
):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "build_network", small_network)
    monkeypatch.setattr(keras.Model, "fit", stop)
    with pytest.raises(KeyboardInterrupt):
        script.pretrain(tiny / "data", tiny / "build")
    with monkeypatch.context() as patch:
        patch.setattr(script, "WEIGHT_DECAY", 0)
        with pytest.raises(ValueError, match="another weight_decay, expected"):
            script.pretrain(tiny / "data", tiny / "build")
    (changed, *_) = (tiny / "data" / "val").rglob("*.JPEG")
    Image.new("RGB", (64, 64)).save(changed)
    with pytest.raises(ValueError, match="another data, expected"):
        script.pretrain(tiny / "data", tiny / "build")


def test_load_split_says_that_there_are_no_images(script, tmp_path):
    with pytest.raises(FileNotFoundError, match="without images, expected a folder"):
        script.load_split(tmp_path / "trian", tmp_path / "train.npz")


REAL_KILL = """
import os, signal, sys
sys.path[:0] = {path}
import numpy as np
from test_pretrain_embedded import load_script, small_network
from tl_helpers import profiles
profiles.make_deterministic()
script = load_script()
script.build_network = small_network
script.BATCH_SIZE, script.CROP_PX_BY_EPOCH = 4, [40, 40, 40]
folder, build, moment = sys.argv[1:]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

look, put, savez = script.Crops.__getitem__, script.Kept.put, np.savez

def look_and_die(self, step):
    if f"epoch {{self.epoch}}, step {{step}}" == moment:
        die()
    return look(self, step)

def put_and_die(self, key, content, **arrays):
    put(self, key, content, **arrays)
    if f"after epoch {{len(content['curve']) - 1}}" == moment:
        die()

def save_half(path, **arrays):
    savez(path, **arrays)
    if moment == "half a file" and "content" in arrays:
        os.truncate(path, 1000)
        die()

script.Crops.__getitem__, script.Kept.put = look_and_die, put_and_die
np.savez = save_half
network, curve, _ = script.pretrain(script.Path(folder), script.Path(build))
savez(build + ".npz", *network.get_weights())
"""


@pytest.mark.slow
def test_pretrain_survives_real_kills(tiny):
    """One training, killed at every kind of moment one after another."""

    def start(moment, build="killed"):
        code = REAL_KILL.format(path=repr(sys.path))
        paths = [str(tiny / name) for name in ("data", build)]
        return subprocess.run([sys.executable, "-c", code, *paths, moment]).returncode

    moments = ["epoch 0, step 2", "half a file", "after epoch 0", "half a file"]
    for moment in [*moments, "epoch 1, step 2", "epoch 2, step 0"]:
        assert start(moment) == -signal.SIGKILL, moment
    assert start("never") == start("never", "whole") == 0
    assert not list((tiny / "killed").glob(".*"))  # of the half files
    with np.load(tiny / "killed.npz") as one, np.load(tiny / "whole.npz") as two:
        for name in one.files:
            np.testing.assert_array_equal(one[name], two[name])


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
