"""MNIST to MNIST-M: our numbers for the table of the DANN paper.

    python benchmarks/studies/mnist_m.py [--seeds 0 1 2] [--only NAME ...] [--table]

Needs the real data (`TL_DATA_DIR`). Every run leaves a line in build/mnist_m and is
not repeated, so the command goes on where it was stopped. `--table` only prints.

Target labels are used twice: to train the target-only rows, and to measure accuracy on
the 10,000 test images at the very end of each run.
"""

import argparse
from functools import cache, partial

import keras
import numpy as np
from keras import layers
from runs import run_once, study

from tl_helpers import datasets, evaluation, training
from tl_helpers.adaptation import (
    DANN,
    Discrepancy,
    InverseDecay,
    MeanTeacher,
    Ramp,
    SelfTraining,
    digit_network,
    pairs,
)
from tl_helpers.selection import select

BATCH_SIZE = 64  # of each domain
PAPER_EPOCHS, EPOCHS, SHORT_EPOCHS = 9, 6, 3  # of 938 steps
#: Chooses strengths without target labels; named before anything was run.
VALIDATOR = "information_maximisation"
#: Strength of the adaptation, and epochs of self-training behind it.
SETTINGS = {
    "ours, chosen without target labels": ((0.3, 0), (1.0, 0), (1.0, 2)),
    "CORAL, our network": ((100.0, 0), (10_000.0, 0)),
    "MMD, our network": ((1.0, 0), (10.0, 0)),
}


@cache
def kept():
    """Results of this study with these knobs."""
    epochs = [PAPER_EPOCHS, EPOCHS, SHORT_EPOCHS]
    return study("mnist_m", batch_size=BATCH_SIZE, epochs=epochs, settings=SETTINGS)


@cache
def data(name, part):
    """Load one part once."""
    return datasets.load(name, part)


@cache
def paper_rescaling_mean():
    """Mean RGB of both training sets, which the paper subtracts."""
    sums = [data(x, "train").pixels().mean((0, 1, 2)) for x in ("mnist", "mnist_m")]
    return np.mean(sums, axis=0)


def paper_input():
    """Subtract the mean, divide by 255."""
    return layers.Normalization(mean=paper_rescaling_mean(), variance=[255.0**2] * 3)


PAPER_NETWORK = {"batch_norm": False, "spatial_dropout": 0}


def compile_for_classes(model, optimizer):
    """Compile for integer labels and logits."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def paper_optimizer(epochs):
    """SGD with the paper's schedule."""
    num_steps = epochs * steps_per_epoch()
    return keras.optimizers.SGD(InverseDecay(0.01, num_steps), momentum=0.9)


def steps_per_epoch():
    """Steps in which the larger domain passes once."""
    return -(-60_000 // BATCH_SIZE)


def plain(domain, epochs, network=None, optimizer=None):
    """Return a training on one domain's labels alone."""

    def train(seed):
        encoder, head, _ = digit_network(**(network or {}) | _input(network))
        model = keras.Sequential([encoder, head])
        compile_for_classes(model, optimizer(epochs) if optimizer else adam())
        batches = data(domain, "train").batches(BATCH_SIZE, shuffle=True, seed=seed)
        model.fit(batches, epochs=epochs, verbose=2)
        return model

    return train


def adam():
    """Adam at 1e-3."""
    return keras.optimizers.Adam(1e-3)


def _input(network):
    return {"rescale": paper_input()} if network == PAPER_NETWORK else {}


def adapt(model, epochs, source, target, seed, optimizer, peak=1.0):
    """Train an adaptation model on both domains, its strength rising to a peak."""
    compile_for_classes(model, optimizer)
    batches = pairs(source, target, BATCH_SIZE, seed)
    model.fit(batches, epochs=epochs, callbacks=[Ramp(peak)], verbose=2)
    return model


def adapted(build, epochs, optimizer=None):
    """Return a training on MNIST's labels and MNIST-M's images."""

    def train(seed):
        own = optimizer(epochs) if optimizer else adam()
        domains = data("mnist", "train"), data("mnist_m", "train")
        return adapt(build(), epochs, *domains, seed, own)

    return train


def sweep(name, seed):
    """Train every strength, and choose one without target labels."""

    def train(setting, *domains):
        keras.utils.set_random_seed(seed)
        strength, own_epochs = setting
        rate = falling(1e-3, epochs)
        model = adapt(build(name), epochs, *domains, seed, rate, strength)
        return self_train(model, own_epochs, *domains, seed) if own_epochs else model

    epochs = EPOCHS if name.startswith("ours") else SHORT_EPOCHS
    selection = select(
        train,
        SETTINGS[name],
        data("mnist", "train"),
        data("mnist_m", "train"),
        data("mnist_m", "test"),
        seed=seed,
        folder=kept().path((name, seed)),
    )
    chosen = selection.chosen | {"oracle": selection.report()[-1].setting}
    return {
        "mnist_m_accuracy": selection.accuracy[chosen[VALIDATOR]],
        "choices": {name: describe(setting) for name, setting in chosen.items()},
        "accuracies": {describe(k): x for k, x in selection.accuracy.items()},
    }


def describe(setting):
    """Name a setting in the table."""
    strength, own_epochs = setting
    return f"strength {strength:g}" + (", then self-training" if own_epochs else "")


def self_train(model, epochs, source, target, seed):
    """Let the adapted network learn from its own surest answers."""
    network = keras.Sequential(
        [keras.Input((28, 28, 3)), model.encoder, model.head], name="adapted"
    )
    taught = SelfTraining(network, share=0.9)
    return adapt(taught, epochs, source, target, seed, falling(5e-4, epochs))


def falling(rate, epochs):
    """Adam, its rate falling to 0 along a cosine."""
    schedule = keras.optimizers.schedules.CosineDecay
    return keras.optimizers.Adam(schedule(rate, epochs * steps_per_epoch()))


def dann(joint_batch=False, paper_input_=False, **network):
    """Return a function that builds a DANN on the digit networks."""

    def build():
        rescale = paper_input() if paper_input_ else None
        return DANN(*digit_network(rescale=rescale, **network), joint_batch=joint_batch)

    return build


def build(name):
    """Build the model of a sweep on our digit networks."""
    networks = digit_network()
    if name.startswith("ours"):
        return DANN(*networks)
    return Discrepancy(*networks[:2], loss=name.split(",")[0].lower())


def mean_teacher():
    """Build a mean teacher of our digit network, whose views are shifted."""
    encoder, head, _ = digit_network()
    student = keras.Sequential([keras.Input((28, 28, 3)), encoder, head])
    return MeanTeacher(student, layers.RandomTranslation(0.1, 0.1), threshold=0.9)


RUNS = {
    "source only, paper's recipe": plain(
        "mnist", PAPER_EPOCHS, PAPER_NETWORK, paper_optimizer
    ),
    "DANN, paper's recipe": adapted(
        dann(paper_input_=True, **PAPER_NETWORK), PAPER_EPOCHS, paper_optimizer
    ),
    "target only, paper's recipe": plain(
        "mnist_m", PAPER_EPOCHS, PAPER_NETWORK, paper_optimizer
    ),
    "source only, ours": plain("mnist", EPOCHS, optimizer=partial(falling, 1e-3)),
    "target only, ours": plain("mnist_m", EPOCHS, optimizer=partial(falling, 1e-3)),
    "mean teacher, our network": adapted(mean_teacher, EPOCHS),
    "ablation 0, paper's recipe, shorter": adapted(
        dann(paper_input_=True, **PAPER_NETWORK), SHORT_EPOCHS, paper_optimizer
    ),
    "ablation 1, inputs in [-1, 1]": adapted(
        dann(**PAPER_NETWORK), SHORT_EPOCHS, paper_optimizer
    ),
    "ablation 2, and Adam at 1e-3": adapted(dann(**PAPER_NETWORK), SHORT_EPOCHS),
    "ablation 3, and BatchNorm over a joint batch": adapted(
        dann(True, spatial_dropout=0), SHORT_EPOCHS
    ),
    "ablation 4, and a batch for each domain": adapted(
        dann(spatial_dropout=0), SHORT_EPOCHS
    ),
    "ablation 5, and spatial dropout": adapted(dann(), SHORT_EPOCHS),
}

#: In the order of their weight in the table.
NAMES = [*list(RUNS)[:5], *SETTINGS, *list(RUNS)[5:]]


def run(name):
    """Return the run of a name: seed -> its result."""

    def compute(seed):
        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        result = sweep(name, seed) if name in SETTINGS else scored(RUNS[name](seed))
        print(result, flush=True)
        return result

    return compute


def scored(model):
    """Measure accuracy on MNIST-M's test images, in [0, 1]."""
    return {"mnist_m_accuracy": training.accuracy(model, data("mnist_m", "test"))}


def table():
    """Return what is there as a Markdown table, mean and spread over seeds."""
    lines = ["| | accuracy on MNIST-M | minutes a seed | seeds |", "|---|---|---|---|"]
    results = kept().all()
    for name in NAMES:
        own = [x for x in results if x["name"] == name]
        if own:
            spread = evaluation.summarise([x["mnist_m_accuracy"] for x in own])
            minutes = np.mean([x["seconds"] for x in own]) / 60
            lines.append(f"| {name} | {spread} | {minutes:.1f} | {len(own)} |")
    for x in results:
        lines += [
            f"{x['name']}, seed {x['seed']}: {one}, {100 * accuracy:.1f}, chosen by "
            f"{', '.join(k for k, v in x['choices'].items() if v == one) or 'none'}"
            for one, accuracy in x.get("accuracies", {}).items()
        ]
    return "\n".join(lines)


def main():
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=NAMES, choices=NAMES)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    for seed in [] if arguments.table else arguments.seeds:
        for name in arguments.only:
            run_once(kept(), name, seed, run(name))
    print(table())


if __name__ == "__main__":
    main()
