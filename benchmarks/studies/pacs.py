"""PACS: photographs to art, cartoons and sketches and back, with MobileNetV2.

    python benchmarks/studies/pacs.py [--seeds 0 1 2] [--table]

Needs the real data and ImageNet's weights (`TL_DATA_DIR`, `KERAS_HOME`). Features are
extracted once; every method then trains the same two layers on them, with strengths
fixed in advance. Half of the target's images are adapted on without their labels, the
other half is for measuring only. Every run leaves a file in build/pacs and is not
repeated.
"""

from functools import cache, partial

import keras
import numpy as np
from keras import layers
from runs import run_once, seeds_asked, study

from tl_helpers import backbones, datasets, evaluation, features, training
from tl_helpers.adaptation import (
    DANN,
    Discrepancy,
    MeanTeacher,
    Ramp,
    dense_network,
    pairs,
)
from tl_helpers.domains import adapt_batch_norm

DOMAINS = ("art_painting", "cartoon", "sketch")
SIZE_PX, BATCH_SIZE, NUM_STEPS, UNITS = 160, 64, 400, 256
PAIRS = [("photo", x) for x in DOMAINS] + [(x, "photo") for x in DOMAINS]


@cache
def kept():
    """Results of this study with these knobs."""
    knobs = {"batch_size": BATCH_SIZE, "num_steps": NUM_STEPS, "units": UNITS}
    return study("pacs", size_px=SIZE_PX, **knobs)


@cache
def domain(name):
    """Return Features of one domain."""
    images = datasets.load("pacs", name, size_px=SIZE_PX)
    return features.extract(backbones.load("MobileNetV2"), images)


def networks():
    """Build encoder and head: BatchNorm and one layer, then the classes."""
    width = domain("photo").values.shape[1]
    encoder = dense_network(width, (UNITS,), UNITS, batch_norm=True)
    return encoder, dense_network(UNITS, (), 7)


def classifier():
    """Build encoder and head as one network."""
    encoder, head = networks()
    return keras.Sequential([keras.Input(encoder.input_shape[1:]), encoder, head])


def fit(model, source, target, seed):
    """Train on pairs of batches, the strength rising where there is one."""
    compiled(model).fit(
        pairs(source, target, BATCH_SIZE, seed),
        epochs=num_epochs(source, target),
        callbacks=[Ramp(float(model.strength.numpy()))],
        verbose=0,
    )
    return model


def num_epochs(source, target):
    """Epochs of about `NUM_STEPS` steps in all."""
    return max(1, round(NUM_STEPS * BATCH_SIZE / max(len(source), len(target))))


def compiled(model):
    """Compile for integer labels and logits."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    return model


def plain(source, target, seed):
    """Train on the source alone, for as many steps."""
    model = compiled(classifier())
    batches = num_epochs(source, target) * max(len(source), len(target)) // BATCH_SIZE
    epochs = max(1, round(batches * BATCH_SIZE / len(source)))
    model.fit(*source, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
    return model


def ada_bn(source, target, seed):
    """Train on the source, then give BatchNorm the target's statistics."""
    return adapt_batch_norm(plain(source, target, seed), target)


def dann(source, target, seed):
    """Adversarial."""
    return fit(DANN(*networks()), source, target, seed)


def discrepancy(loss, strength, source, target, seed):
    """Moment matching."""
    return fit(Discrepancy(*networks(), loss, strength), source, target, seed)


def mean_teacher(source, target, seed):
    """Mean teacher, whose views are dropped-out features."""
    model = MeanTeacher(classifier(), layers.Dropout(0.3))
    return fit(model, source, target, seed)


METHODS = {
    "source only": plain,
    "AdaBN": ada_bn,
    "CORAL": partial(discrepancy, "coral", 100.0),
    "MMD": partial(discrepancy, "mmd", 1.0),
    "DANN": dann,
    "mean teacher": mean_teacher,
}


def measure(names, seed):
    """Train every method on one pair; return {method: accuracy}."""
    source, target = map(domain, names)
    adapt, test = datasets.split(target, 0.5, 0.5, seed=seed)
    accuracies = {}
    for method, train in METHODS.items():
        keras.utils.set_random_seed(seed)
        accuracies[method] = training.accuracy(train(source, adapt.values, seed), test)
    keras.utils.set_random_seed(seed)
    own = plain(adapt, source.values, seed)
    accuracies["target labels"] = training.accuracy(own, test)
    keras.backend.clear_session()
    return accuracies


def table():
    """Return a Markdown table; a minus marks what lies below source-only."""
    results = kept().all()
    methods = [*METHODS, "target labels"]
    lines = ["| | " + " | ".join(methods) + " |", "|---" * (len(methods) + 1) + "|"]
    for name in dict.fromkeys(x["name"] for x in results):
        own = [x["accuracies"] for x in results if x["name"] == name]
        cells = [cell(own, method) for method in methods]
        lines.append(f"| {name} ({len(own)} seeds) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(own, method):
    """Format mean and spread; mark a mean below source-only."""
    values = np.array([x[method] for x in own])
    baseline = np.array([x["source only"] for x in own])
    mark = " (-)" if values.mean() < baseline.mean() else ""
    return f"{evaluation.summarise(values)}{mark}"


def main():
    """Run what is missing, print the table."""
    for seed in seeds_asked(__doc__):
        for names in PAIRS:
            name = " to ".join(names)
            compute = partial(_accuracies, names)
            print(run_once(kept(), name, seed, compute), flush=True)
    print(table())


def _accuracies(names, seed):
    return {"accuracies": measure(names, seed)}


if __name__ == "__main__":
    main()
