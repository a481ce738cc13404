"""Gradients of images: what Grad-CAM and PGD cost beside loops written by hand."""

from functools import cache
from types import SimpleNamespace

import numpy as np
from rows import compare, interleave

NUM_ROUNDS = 9
NUM_EXPLAINED = 100
NUM_ATTACKED, NUM_STEPS, BUDGET = 32, 20, 8


def measure_grad_cam():
    """Compare Grad-CAM with one prediction and one gradient of the same images."""
    from tl_helpers import explanation, features
    from tl_helpers.training import predict_logits

    world = _world()
    images, labels = world.images[:NUM_EXPLAINED], world.labels[:NUM_EXPLAINED]
    size = features.batch_size(images.shape[1:])

    def by_hand():
        predict_logits(world.model, images)
        for i in range(0, len(images), size):
            world.gradient(images[i : i + size], labels[i : i + size])

    tasks = {
        "Grad-CAM": lambda: explanation.grad_cam(world.model, images),
        "prediction and gradient": by_hand,
    }
    spent = interleave(tasks, NUM_ROUNDS)
    raw = {"images": NUM_EXPLAINED, **spent}
    name = f"s: Grad-CAM of {NUM_EXPLAINED} images / a prediction and a gradient"
    return [compare(name, *spent.values(), 3, "at most", raw)]


def measure_pgd_step():
    """Compare steps of PGD with those of a loop written by hand."""
    from tl_helpers import robustness

    world = _world()
    images, labels = world.images[:NUM_ATTACKED], world.labels[:NUM_ATTACKED]
    step = 2.5 * BUDGET / NUM_STEPS

    def by_hand():
        attacked = images
        for _ in range(NUM_STEPS):
            attacked = attacked + step * np.sign(world.gradient(attacked, labels))
            attacked = np.clip(attacked, images - BUDGET, images + BUDGET)
            attacked = np.clip(attacked, 0, 255)
        return attacked

    tasks = {
        "pgd": lambda: robustness.pgd(world.model, images, labels, BUDGET, NUM_STEPS),
        "by hand": by_hand,
    }
    spent = interleave(tasks, NUM_ROUNDS)
    raw = {"steps": NUM_STEPS, "images": NUM_ATTACKED, **spent}
    name = "s a step: robustness.pgd / a loop by hand"
    return [compare(name, *spent.values(), 1.1, "at most", raw)]


@cache
def _world():
    """Load images and a classifier, and compile the gradient as a learner would."""
    import keras
    import tensorflow as tf

    from tl_helpers import backbones, datasets, finetuning

    photo = datasets.load("solids", "photo")
    model = finetuning.classifier(backbones.load("embedded"), 10)

    @tf.function(reduce_retracing=True)
    def gradient(images, labels):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            loss = keras.losses.sparse_categorical_crossentropy(
                labels, model(images, training=False), from_logits=True
            )
        return tape.gradient(loss, images)

    def call(images, labels):
        return gradient(tf.convert_to_tensor(images), labels).numpy()

    return SimpleNamespace(
        model=model,
        images=photo.pixels().astype("float32"),
        labels=photo.labels,
        gradient=call,
    )
