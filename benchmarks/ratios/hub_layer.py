"""The layer around a TF Hub module against calling the module itself."""

import tempfile
from pathlib import Path

import numpy as np
from rows import compare, interleave

NUM_ROUNDS = 81  # many short ones: the two of a pair see the same busy moment
BATCH_SIZE = 128
IMAGE_PX = 64


def measure_hub_layer():
    """Compare both on one batch of images, from a NumPy array to a NumPy array."""
    import keras
    import tensorflow as tf

    from tl_helpers import backbones
    from tl_helpers.backbones import hub

    rng = np.random.default_rng(0)
    images = rng.random((BATCH_SIZE, IMAGE_PX, IMAGE_PX, 3), np.float32)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "embedded"
        hub.export_module(backbones.load("embedded"), folder)
        layer, module = hub.HubLayer(folder), tf.saved_model.load(folder)
    model = keras.Sequential([keras.Input((None, None, 3)), layer])
    tasks = {
        "module": lambda: module(images).numpy(),
        "layer": lambda: model.predict_on_batch(images),
    }
    one, other = (task() for task in tasks.values())
    np.testing.assert_allclose(one, other, atol=1e-5)
    spent = interleave(tasks, NUM_ROUNDS)
    raw = {"images a batch": BATCH_SIZE, **spent}
    name = "images/s: HubLayer / its SavedModel called directly"
    return [compare(name, spent["module"], spent["layer"], 0.97, raw=raw)]
