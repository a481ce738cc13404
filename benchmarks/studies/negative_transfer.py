"""PACS with few labels: which sources help, which do harm, and who could have told.

    python benchmarks/studies/negative_transfer.py [--seeds 0 1 2 3 4] [--table]

Needs the real data and ImageNet's weights (`TL_DATA_DIR`, `KERAS_HOME`). On frozen
features of MobileNetV2 two layers are trained on a source, then on five labels per
class of the target, or on both together; from scratch is the same on the target alone.
Accuracy is measured on half of the target, from which no label was drawn. Every run
leaves a file in build/negative_transfer and is not repeated.
"""

from dataclasses import replace
from functools import cache, partial

import keras
import numpy as np
from keras import layers
from runs import points, run_once, seeds_asked, study
from scipy.stats import spearmanr

from tl_helpers import backbones, datasets, evaluation, features, training
from tl_helpers.adaptation import dense_network
from tl_helpers.choosing import should_transfer

DOMAINS = ("photo", "art_painting", "cartoon", "sketch")
OTHER, SHUFFLED = "CIFAR-10", "shuffled"
SIZE_PX, UNITS = 160, 256
SOURCE_STEPS, STEPS, BATCH_SIZE = 400, 200, 32
FEW, SOME = 5, 20  # labels per class: to train on, and for the verdict
PER_CLASS = 200  # CIFAR-10's images


@cache
def kept():
    """Results of this study with these knobs."""
    steps = [SOURCE_STEPS, STEPS, BATCH_SIZE]
    labels = [FEW, SOME, PER_CLASS]
    knobs = {"size_px": SIZE_PX, "units": UNITS, "steps": steps, "labels": labels}
    return study("negative_transfer", **knobs)


@cache
def domain(name):
    """Return Features of a PACS domain, or of as many CIFAR-10 images."""
    backbone = backbones.load("MobileNetV2")
    if name == OTHER:
        train, _ = datasets.train_and_test("cifar10", size_px=SIZE_PX)
        return features.extract(backbone, datasets.few_per_class(train, PER_CLASS))
    return features.extract(backbone, datasets.load("pacs", name, size_px=SIZE_PX))


def sources_of(target, seed):
    """Return {name: Features}: the other domains, shuffled labels, other classes."""
    others = {name: domain(name) for name in DOMAINS if name != target}
    known = domain("photo" if target != "photo" else "art_painting")
    order = np.random.default_rng(seed).permutation(len(known))
    wrong = replace(known, labels=known.labels[order])
    return others | {OTHER: domain(OTHER), SHUFFLED: wrong}


@cache
def network():
    """Build encoder and head, compiled once; ten outputs serve both sets of classes."""
    width = domain("photo").values.shape[1]
    encoder = dense_network(width, (UNITS,), UNITS)
    model = keras.Sequential([keras.Input((width,)), encoder, layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    return model, encoder


def train(model, rows, steps, seed):
    """Train for that many batches, drawn with replacement, whatever the rows."""
    training.reset_optimizer(model)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(rows), size=steps * BATCH_SIZE)
    model.fit(
        rows.values[drawn],
        rows.labels[drawn],
        batch_size=BATCH_SIZE,
        shuffle=False,
        verbose=0,
    )


def together(source, few, seed):
    """Return rows of which half, by repetition, are the target's few."""
    drawn = np.random.default_rng(seed).integers(len(few), size=len(source))
    values = np.concatenate([source.values, few.values[drawn]])
    return features.Features(values, np.concatenate([source.labels, few.labels[drawn]]))


def measure(target, seed):
    """Train every way on one target; return accuracies and the verdict."""
    model, encoder = network()
    pool, test = datasets.split(domain(target), 0.5, 0.5, seed=seed)
    few, some = (datasets.few_per_class(pool, count, seed) for count in (FEW, SOME))

    def score():
        return training.accuracy(model, test)

    def encoded():
        return replace(some, values=training.predict_logits(encoder, some))

    training.reinitialise(model, seed)
    at_random = encoded()
    train(model, few, STEPS, seed)
    result = {"from scratch": score(), "then": {}, "together": {}}
    seen = {}
    for name, rows in sources_of(target, seed).items():
        training.reinitialise(model, seed)
        new_head = model.layers[-1].get_weights()
        train(model, rows, SOURCE_STEPS, seed)
        seen[name] = encoded()
        if name in (OTHER, SHUFFLED):  # their answers mean nothing here
            model.layers[-1].set_weights(new_head)
        train(model, few, STEPS, seed)
        result["then"][name] = score()
        if name != OTHER:
            training.reinitialise(model, seed)
            train(model, together(rows, few, seed), SOURCE_STEPS + STEPS, seed)
            result["together"][name] = score()
    verdict = should_transfer(seen, at_random)
    return result | {"verdict": verdict.choice, **forecasts(verdict)}


def forecasts(verdict):
    """Return {"gain": {name: ...}, "logme": {name: ...}} of a verdict."""
    return {
        "gain": {one.name: one.gain.mean for one in verdict.evidence},
        "logme": {one.name: one.logme for one in verdict.evidence},
    }


def gain_table():
    """Return a Markdown table: what each source brings, with its 95% interval."""
    lines = ["| target | source | trained on before | trained on together |"]
    lines += ["|---|---|---|---|"]
    for target in DOMAINS:
        own = [x for x in kept().all() if x["name"] == target]
        for source in own[0]["then"] if own else ():
            cells = [gain_cell(own, way, source) for way in ("then", "together")]
            lines.append(f"| {target} | {source} | {' | '.join(cells)} |")
    return "\n".join(lines)


def gain_cell(own, way, source):
    """Format a gain; mark what lies below zero with its whole interval."""
    if source not in own[0][way]:
        return ""
    difference = evaluation.compare_paired(
        [x[way][source] for x in own], [x["from scratch"] for x in own]
    )
    mark = " **(-)**" if difference.verdict == "worse" else ""
    return points(difference) + mark


def forecast_table():
    """Return a Markdown table: how the forecasts rank, and what the verdict said."""
    lines = [
        "| target | from scratch | LogME | probe's gain | verdict |",
        "|---" * 5 + "|",
    ]
    for target in DOMAINS:
        own = [x for x in kept().all() if x["name"] == target]
        if own:
            scratch = evaluation.summarise([x["from scratch"] for x in own])
            ranks = [rank_cell(own, field) for field in ("logme", "gain")]
            lines.append(
                f"| {target} | {scratch} | {' | '.join(ranks)} | {said(own)} |"
            )
    return "\n".join(lines)


def rank_cell(own, field):
    """Spearman's correlation of a forecast with the accuracy, mean over seeds."""
    ranks = [
        spearmanr(list(x["then"].values()), [x[field][name] for name in x["then"]])
        for x in own
    ]
    values = np.array([rank.statistic for rank in ranks])
    return f"{values.mean():+.2f} ± {values.std(ddof=1):.2f}"


def said(own):
    """Count what the verdicts named."""
    names = [x["verdict"] or "undecided" for x in own]
    return ", ".join(f"{name} ({names.count(name)})" for name in dict.fromkeys(names))


def main():
    """Run what is missing, print the tables."""
    for seed in seeds_asked(__doc__, range(5)):
        for target in DOMAINS:
            compute = partial(measure, target)
            print(run_once(kept(), target, seed, compute), flush=True)
    print(gain_table(), forecast_table(), sep="\n\n")


if __name__ == "__main__":
    main()
