"""Scores that foretell which backbone to take: more of them than notebook 06 shows.

    python benchmarks/studies/choosing.py [--table]

On the bundled solids with the embedded backbone; with `TL_PROFILE=full`,
`TL_BACKBONE=MobileNetV2` and a mirror (`TL_DATA_DIR`, `KERAS_HOME`) on CIFAR-10. The
candidates are the blocks of the backbone, its last block with random weights, and three
networks trained here for some steps. The truth is a probe's mean accuracy on test
images over four disjoint draws of labels. LEEP and NCE look at the answers of a source
classifier instead of features, so that they rank the three networks trained here. Every
run leaves a file in build/choosing and is not repeated.
"""

import argparse
from functools import cache

import keras
import numpy as np
from runs import run_once, study
from scipy import stats

from tl_helpers import (
    backbones,
    choosing,
    datasets,
    features,
    probes,
    profiles,
    training,
)

LABELS_PER_CLASS, NUM_DRAWS, TEST_PER_CLASS = 20, 4, 40
SOURCES = {"photo": (60, 120), "digits": (120,)}  # steps to stop at
NUM_SHUFFLES = 20


@cache
def kept():
    """Results of this study with these knobs."""
    profile = profiles.start(seed=0)
    labels = [LABELS_PER_CLASS, NUM_DRAWS, TEST_PER_CLASS]
    return study(
        f"choosing/{profile.dataset}-{profile.backbone}", labels=labels, sources=SOURCES
    )


def standardised_logme(values, labels):
    """LogME of features that all have mean 0 and standard deviation 1."""
    return choosing.logme(features.standardise(values), labels)


SCORES = {
    "LogME": choosing.logme,
    "LogME, standardised": standardised_logme,
    "H-score": choosing.h_score,
    "shrunk H-score": choosing.shrunk_h_score,
}


def pretrained(images):
    """Train on the sources; return {name: (backbone, block)}, {name: answers}."""
    trunk = backbones.load("embedded", pretrained=False)
    model = keras.Sequential([trunk.extractor(), keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.002), loss)
    sets = {
        "photo": datasets.load("solids", "photo"),
        "digits": datasets.load("printed_digits"),
    }
    networks, answers = {}, {}
    for source, stops in SOURCES.items():
        training.reinitialise(model, seed=0)
        for start, stop in zip((0, *stops), stops, strict=False):
            training.fit_steps(model, sets[source], stop - start, 16, seed=stop)
            copy = backbones.load("embedded", pretrained=False)
            copy.network.set_weights(trunk.network.get_weights())
            networks[f"{source} {stop}"] = copy, "block6"
            logits = training.predict_logits(model, images.resized(64))
            answers[f"{source} {stop}"] = np.array(keras.ops.softmax(logits))
    return networks, answers


def measure(seed):
    """Score every candidate on every draw; return JSON values."""
    profile = profiles.start(seed=seed)
    size_px = profile.pick(quick=None, full=96)
    pool, test = datasets.train_and_test(profile.dataset, size_px=size_px)
    pool = datasets.few_per_class(pool, NUM_DRAWS * LABELS_PER_CLASS, seed)
    test = datasets.few_per_class(test, TEST_PER_CLASS, seed)
    backbone = backbones.load(profile.backbone)
    networks, answers = pretrained(pool)
    untrained = backbones.load(profile.backbone, pretrained=False)
    blocks = [block for block in backbone.blocks if block != "stem"]
    candidates = {block: (backbone, block) for block in blocks}
    candidates |= {"random": (untrained, blocks[-1])} | networks
    result = {"truth": {}, "source": source_scores(answers, pool.labels)}
    result |= {name: {} for name in (*SCORES, "cross-validation")}
    for name, (network, block) in candidates.items():
        rows, known = (features.extract(network, x, block) for x in (pool, test))
        parts = draws(rows)
        fitted = [probes.fit_probe(few) for few in parts]
        result["truth"][name] = [probe.score(*known) for probe in fitted]
        result["cross-validation"][name] = [probe.best_score_ for probe in fitted]
        for score, function in SCORES.items():
            result[score][name] = [function(*few) for few in parts]
    return result


def draws(rows):
    """Cut labelled rows into disjoint draws."""
    size = LABELS_PER_CLASS * len(np.unique(rows.labels))
    return datasets.split(rows, *[size] * NUM_DRAWS)


def source_scores(answers, labels):
    """LEEP and NCE of each source's answers, a row a draw, and what chance gives."""
    result = {}
    for name, probabilities in answers.items():
        rows = []
        for few in draws(features.Features(probabilities, labels)):
            rng = np.random.default_rng(0)
            by_chance = [
                choosing.leep(few.values, rng.permutation(few.labels))
                for _ in range(NUM_SHUFFLES)
            ]
            leep = choosing.leep(*few)
            nce = choosing.nce(few.values.argmax(axis=1), few.labels)
            rows.append([leep, nce, max(by_chance)])
        result[name] = rows
    return result


def order_table(result):
    """Return a Markdown table: tau of every score, and the points its choice loses."""
    truth = {name: np.mean(own) for name, own in result["truth"].items()}
    best = max(truth.values())
    lines = ["| score | tau | points lost by its choice |", "|---|---|---|"]
    for score in (*SCORES, "cross-validation"):
        table = np.array([result[score][name] for name in truth])  # (candidates, draws)
        taus = [stats.kendalltau(list(truth.values()), x).statistic for x in table.T]
        chosen = [list(truth)[place] for place in table.argmax(axis=0)]
        lost = 100 * np.mean([best - truth[name] for name in chosen])
        spread = f"{np.mean(taus):.2f} ± {np.std(taus, ddof=1):.2f}"
        lines.append(f"| {score} | {spread} | {lost:.1f} |")
    return "\n".join(lines)


def source_table(result):
    """Return a Markdown table: LEEP and NCE beside the probe's accuracy."""
    lines = ["| network | LEEP | NCE | LEEP, best shuffle | probe's accuracy |"]
    lines += ["|---" * 5 + "|"]
    for name, rows in result["source"].items():
        leep, nce, by_chance = np.mean(rows, axis=0)
        accuracy = 100 * np.mean(result["truth"][name])
        scores = f"{leep:.2f} | {nce:.2f} | {by_chance:.2f}"
        lines.append(f"| {name} | {scores} | {accuracy:.1f} |")
    return "\n".join(lines)


def main():
    """Run what is missing, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true")
    if not parser.parse_args().table:
        run_once(kept(), "scores", 0, measure)
    for result in kept().all():
        print(order_table(result), source_table(result), sep="\n\n")


if __name__ == "__main__":
    main()
