"""A network and images small enough to train within a test."""

import keras
import numpy as np
from keras import layers

from tl_helpers.backbones import Backbone
from tl_helpers.datasets.image_set import ImageSet, Provenance
from tl_helpers.finetuning import classifier, thaw

PROVENANCE = Provenance("tiny", "drawn in this test", "MIT", "none")


def tiny_backbone():
    """Two blocks of convolution, batch normalisation and ReLU, frozen; 8 px."""
    images = keras.Input((8, 8, 3), name="images")
    x = layers.Rescaling(1 / 255)(images)
    for i, channels in enumerate((4, 6), start=1):
        x = layers.Conv2D(channels, 3, strides=2, name=f"block{i}_conv")(x)
        x = layers.BatchNormalization(momentum=0.5, name=f"block{i}_norm")(x)
        x = layers.ReLU(name=f"block{i}")(x)
    network = keras.Model(images, x)
    network.trainable = False
    blocks = {"block1": "block1", "block2": "block2"}
    return Backbone("tiny", network, blocks, PROVENANCE)


def tiny_images(num_images=24, seed=0):
    """Dark and bright images: two classes that anything can tell apart."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num_images) % 2
    images = (
        rng.integers(0, 120, (num_images, 8, 8, 3)) + 130 * labels[:, None, None, None]
    )
    return ImageSet(images.astype("uint8"), labels, ("dark", "bright"), PROVENANCE)


def pixels(*shape, seed=0):
    """Noise: float32 (*shape, 3), RGB, [0, 255]."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 255, (*shape, 3)).astype("float32")


def learning_classifier(hidden_units):
    """Three classes, random weights; BatchNormalization may learn, and has its own."""
    keras.utils.set_random_seed(7)
    model = classifier(tiny_backbone(), 3, hidden_units=(hidden_units,), dropout=0.5)
    for weight in model.weights:
        if "norm" in weight.path:
            weight.assign(keras.random.uniform(weight.shape, 0.5, 1.5))
    thaw(model, "block1", batch_norm=True)
    return model


def values_of(model):
    """Copy every weight: {path: array}."""
    return {weight.path: weight.numpy().copy() for weight in model.weights}


def moved(before, model):
    """Return the paths of the weights that differ by as little as one bit."""
    after = values_of(model)
    return {path for path in before if not np.array_equal(before[path], after[path])}
