"""Photographs and networks of the study of attacks; attacking.py asks the questions."""

from dataclasses import replace

import keras
import numpy as np

from tl_helpers import (
    backbones,
    datasets,
    features,
    finetuning,
    probes,
    robustness,
    training,
)

SIZE_PX, BATCH_SIZE, STEPS, RATE = 96, 32, 100, 3e-4
LEARN, VALIDATION, TEST, OUTSIDE, ATTACKED = 340, 140, 280, 300, 80
PAIRS = ((0, 1), (2, 3), (4, 5))  # of classes, one left out by each seed
GUARD = 4  # grey levels of the noise and the attacks that a network learns from


def only(images, classes):
    """The images of some classes, numbered anew."""
    some = images[np.flatnonzero(np.isin(images.labels, classes))]
    names = tuple(images.class_names[k] for k in classes)
    return replace(
        some, labels=np.searchsorted(classes, some.labels), class_names=names
    )


def at_random(images, number):
    """Some of the images, the same for every seed."""
    return images[np.random.default_rng(0).permutation(len(images))[:number]]


def parts(seed):
    """{name: ImageSet} of what is learnt and tested, and {kind: ImageSet} of others."""
    photos, cartoons = (
        datasets.load("pacs", name, size_px=SIZE_PX) for name in ("photo", "cartoon")
    )
    pair = PAIRS[seed]
    known = np.setdiff1d(range(len(photos.class_names)), pair)
    cut = datasets.split(photos, *[LEARN] * len(PAIRS), VALIDATION, TEST)
    *draws, validation, test = (only(images, known) for images in cut)
    inside = {
        "learn": draws[seed],
        "other draw": draws[(seed + 1) % len(draws)],
        "validation": validation,
        "test": at_random(test, len(test)),
    }
    strangers = {
        "unseen classes": only(photos, pair),
        "cartoons": only(cartoons, known),
        "magnetic tiles": datasets.load("magnetic_tile", size_px=SIZE_PX),
        "digits": datasets.load("digits", size_px=SIZE_PX),
    }
    return inside, {kind: at_random(x, OUTSIDE) for kind, x in strangers.items()}


class Networks:
    """One Keras model with several sets of weights, and what they are attacked with."""

    def __init__(self, inside, seed):
        self.seed, self.inside = seed, inside
        self.backbone = backbones.load("MobileNetV2")
        self.twin = backbones.load("MobileNetV2", pretrained=False)
        self.model = finetuning.classifier(
            self.backbone, len(inside["test"].class_names)
        )
        self.rows = {k: features.extract(self.backbone, x) for k, x in inside.items()}
        self.weights = {}
        for name, part in (("probe", "learn"), ("own probe", "other draw")):
            fitted = probes.fit_probe(self.rows[part])
            finetuning.start_from_probe(self.model, fitted)
            self.weights[name] = self.model.get_weights()
            if name == "probe":
                self.fitted = getattr(fitted, "best_estimator_", fitted)
        finetuning.thaw(self.model, next(iter(self.model.block_layers)))
        schedule = training.warmup_cosine(RATE, STEPS)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(keras.optimizers.Adam(schedule), loss)
        values = self.model.get_layer("head_features").output
        outputs = {"logits": self.model.output, "values": values}
        self.reader = keras.Model(self.model.input, outputs)

    def use(self, name):
        """Return the model with a network's weights."""
        self.model.set_weights(self.weights[name])
        return self.model

    def read(self, name, images):
        """Logits and features of images in one of the networks."""
        self.use(name)
        return training.predict_logits(self.reader, images)

    def is_right(self, name, images, labels):
        """Whether each answer of one of the networks is right."""
        answers = training.predict_logits(self.use(name), images)
        return answers.argmax(axis=1) == labels

    def train(self, name, disturb=None):
        """Fine-tune from the probe, on images that `disturb` may change."""
        model, rng = self.use("probe"), np.random.default_rng(self.seed)
        training.reset_optimizer(model)
        batches = self.inside["learn"].batches(BATCH_SIZE, shuffle=True, seed=self.seed)
        for images, labels in batches.repeat().take(STEPS).as_numpy_iterator():
            if disturb:
                images = disturb(images, labels, rng)
            model.train_on_batch(images, labels)
        self.weights[name] = model.get_weights()

    def attacked_in_training(self, images, labels, rng):
        """One FGSM step from a random point within the budget."""
        began = images + rng.uniform(-GUARD, GUARD, images.shape)
        began = np.clip(began, 0, 255).astype("float32")
        moved = robustness.fgsm(self.model, began, labels, GUARD)
        return np.clip(moved, images - GUARD, images + GUARD)


def noise(images, budget, seed=0):
    """Every value moves by the whole budget, up or down by chance."""
    signs = np.random.default_rng(seed).choice([-1, 1], images.shape)
    return np.clip(images + budget * signs, 0, 255).astype("float32")
