"""Which source prepares for unknown people, and how much of it: `data/sources.json`.

    python benchmarks/studies/sources.py [--seeds 0 1 2] [--table]

Every source trains the same small network from the same first weights, for 200 steps
of 88 pictures of 32 px, and is judged by the 32 held-out people of `drawn_faces`, who
are halved five times as in `verifying.py`. A seed decides first weights and order.

supervised: cross-entropy of the class, pictures as they are; the class is a solid, a
    printed digit or a drawn person. By number of people and of pictures of each: those
    beyond the 44 of the part "train" are rendered here (five minutes).
two pictures: NT-Xent, temperature 0.2, on 44 pairs. What belongs together is all that
    differs: two views of a picture ("views"); the same, but every picture of a batch
    shows another person, so that nobody is pushed away from themselves ("views, one
    picture a person"); two pictures of a person, in views or as they are ("people").

Each run leaves a file in build/sources and is not repeated. The numbers of steps and
pictures and the rate come from a first try with seed 0 (people, as they are), for time.
"""

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import keras
import numpy as np
from runs import BUILD, passes, run_once, seeds_asked, study
from verifying import both_ways, judge

from tl_helpers import augmentation, datasets, evaluation, features, profiles, training
from tl_helpers.pretraining import SimCLR, collapse, small_backbone
from tl_helpers.storage import write_json

DATA = Path(__file__).resolve().parents[2] / "data"
SIZE_PX, STEPS, PAIRS, RATE, TEMPERATURE = 32, 200, 44, 3e-3, 0.2
NUM_HALVINGS, NUM_LABELLED = 5, 5
APART = 1000  # between the seeds of first weights: a layer takes one each
MOST_PEOPLE, PER_PERSON, RENDERED_FROM = 150, 20, 76  # numbers before are held out
PEOPLE = ((5, 20), (11, 20), (44, 20), (44, 5), (150, 6), (150, 20))
PAIRED = {  # what belongs together, and whether it is shown in views
    "faces, views": ("picture", True),
    "faces, views, one picture a person": ("one a person", True),
    "faces, people in views": ("person", True),
    "faces, people": ("person", False),
    "solids, views": ("picture", True),
}


@cache
def faces(num_people, per_person=PER_PERSON):
    """Return (images uint8 (n, 32, 32, 3), people int (n,)), person by person."""
    images = datasets.load("drawn_faces", "train", SIZE_PX)
    order = np.argsort(images.labels, kind="stable")
    pixels = images.pixels(order)
    if num_people > len(images.class_names):
        pixels = np.concatenate([pixels, rendered(len(images.class_names))])
    places = np.arange(num_people * PER_PERSON).reshape(num_people, PER_PERSON)
    places = places[:, :per_person]
    return pixels[places.ravel()], np.repeat(np.arange(num_people), per_person)


def rendered(known):
    """Return pictures of people beyond the bundled ones, halved to 32 px."""
    path = BUILD / "sources_rendered.npy"
    if not path.exists():
        sys.path.insert(0, str(DATA))
        import render_faces

        more = MOST_PEOPLE - known
        numbers = range(RENDERED_FROM, RENDERED_FROM + more)
        pixels = [
            render_faces.render(number, i)[0]
            for number in numbers
            for i in range(PER_PERSON)
        ]
        np.save(path, np.stack(pixels))
    pixels = np.load(path)
    like = datasets.load("drawn_faces", "train")
    nobody = np.zeros(len(pixels), int)
    more = replace(like, images=pixels, labels=nobody, extras={})
    return more.resized(SIZE_PX).pixels()


@cache
def others(name):
    """Return (images, labels) of solids or printed digits."""
    if name == "solids":
        parts = [datasets.load("solids", part, SIZE_PX) for part in ("studio", "photo")]
    else:
        parts = [datasets.load("printed_digits", size_px=SIZE_PX)]
    pixels = np.concatenate([part.pixels() for part in parts])
    return pixels, np.concatenate([part.labels for part in parts])


@cache
def networks():
    """Return (backbone, classifier, SimCLR), compiled once for all runs."""
    backbone = small_backbone(0)
    rows = backbone.extractor().output
    logits = keras.layers.Dense(MOST_PEOPLE, name="classes")(rows)
    classifier = keras.Model(backbone.network.input, logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = SimCLR(backbone.extractor(), temperature=TEMPERATURE)
    for one, settings in ((classifier, {"loss": loss}), (model, {})):
        rate = training.warmup_cosine(RATE, STEPS)
        one.compile(keras.optimizers.AdamW(rate), steps_per_execution=20, **settings)
    return backbone, classifier, model


def begin(seed):
    """Return the networks, with a seed's first weights."""
    backbone, classifier, model = networks()
    for one in (classifier, model):
        training.reinitialise(one, seed)
    first = small_backbone(APART * seed)  # which draws from seeds of its own
    backbone.network.set_weights(first.network.get_weights())
    return backbone, classifier, model


def train_on_classes(classifier, pixels, labels, rng):
    """Train by cross-entropy of the class; return the last loss."""
    rows = passes(len(labels), STEPS * 2 * PAIRS, rng)
    history = training.fit_rows(classifier, pixels, labels, rows, 2 * PAIRS)
    return history["loss"][-1]


def pairs_of_rows(labels, together, rng):
    """Return int (steps, 2, pairs): the rows of every batch."""
    of_person = [np.flatnonzero(labels == person) for person in np.unique(labels)]
    batches = []
    for _ in range(STEPS):
        if together == "picture":
            rows = rng.choice(len(labels), PAIRS, replace=False)
            batches.append([rows, rows])
            continue
        some = rng.permutation(len(of_person))[:PAIRS]
        rows = np.array([rng.choice(of_person[i], 2, replace=False) for i in some]).T
        batches.append(rows if together == "person" else rows[[0, 0]])
    return np.array(batches)


def train_on_pairs(model, pixels, rows, policy):
    """Train by NT-Xent on pairs of rows, in views of a policy or as they are."""
    import tensorflow as tf

    pixels = tf.constant(pixels)

    def batch(both):
        images = tf.cast(tf.gather(pixels, tf.reshape(both, [-1])), "float32")
        images = images if policy is None else policy(images)
        return {"first": images[:PAIRS], "second": images[PAIRS:]}, both[0]

    data = tf.data.Dataset.from_tensor_slices(rows).map(batch)
    return model.fit(data, verbose=0).history["loss"][-1]


def compute(name, seed):
    """Train one source and judge it."""
    keras.utils.set_random_seed(seed)
    backbone, classifier, model = begin(seed)
    rng, loss = np.random.default_rng(seed), None
    pixels, labels = source(name)
    if name in PAIRED:
        together, is_changed = PAIRED[name]
        policy = augmentation.policy("views", 10, seed) if is_changed else None
        rows = pairs_of_rows(labels, together, rng)
        loss = train_on_pairs(model, pixels, rows, policy)
    elif name != "nothing":
        loss = train_on_classes(classifier, pixels, labels, rng)
    return {"pictures": len(labels), "loss": loss} | judged(backbone)


def source(name):
    """Return (images, labels) that a source's name tells."""
    if name == "nothing":
        return np.zeros((0, SIZE_PX, SIZE_PX, 3), np.uint8), np.zeros(0, int)
    if not name.startswith("faces"):
        return others(name.partition(",")[0])
    if name in PAIRED:
        return faces(44)
    return faces(*(int(word) for word in name.split() if word.isdigit()))


def judged(backbone):
    """AUC, identification and collapse on the held-out people."""
    images = datasets.load("drawn_faces", "held_out", SIZE_PX)
    found = {name: features.extract(backbone, images, name) for name in backbone.blocks}
    people, results = images.labels, {"auc": [], "identified": [], "block": []}
    for seed in range(NUM_HALVINGS):
        for chosen_by, tested in both_ways(people, seed):
            one = judge(found, chosen_by, tested)
            rows = found[one["block"]]
            rows = features.standardise(rows, like=rows[chosen_by])
            results["auc"].append(one["auc"])
            results["block"].append(one["block"])
            results["identified"].append(identified(rows[tested], seed))
    last = collapse(found[list(found)[-1]].values)
    return results | {"spread": last.spread, "effective_rank": last.effective_rank}


def identified(rows, seed):
    """Share of pictures whose nearest mean of five labelled ones is their person's."""
    known = datasets.few_per_class(range_of(rows), NUM_LABELLED, seed)
    is_known = np.isin(np.arange(len(rows)), known.values[:, 0].astype(int))
    unit = rows.values / np.linalg.norm(rows.values, axis=1, keepdims=True)
    people = np.unique(rows.labels)
    means = np.stack([unit[is_known & (rows.labels == p)].mean(axis=0) for p in people])
    answers = people[(unit[~is_known] @ means.T).argmax(axis=1)]
    return float((answers == rows.labels[~is_known]).mean())


def range_of(rows):
    """Return Features that hold their row numbers, with people numbered from 0."""
    _, people = np.unique(rows.labels, return_inverse=True)
    return features.Features(np.arange(len(rows))[:, None], people)


def shortened(run):
    """Leave what the chapter reads: a run's mean scores over the halvings."""
    means = {score: np.mean(run[score]).item() for score in ("auc", "identified")}
    kept = ("pictures", "block", "spread", "effective_rank")
    return {name: run[name] for name in kept} | means


def main():
    """Run what is missing, print a table and write it."""
    seeds = seeds_asked(__doc__.splitlines()[0])
    names = ["nothing", "solids", "digits", "faces 44 people 20 pictures", *PAIRED]
    names += [f"faces {n} people {k} pictures" for n, k in PEOPLE if (n, k) != (44, 20)]
    knobs = {"steps": STEPS, "pairs": PAIRS, "size_px": SIZE_PX, "rate": RATE}
    results = study("sources", **knobs, temperature=TEMPERATURE)
    for seed in seeds:
        for name in names:
            run_once(results, name, seed, lambda seed, name=name: compute(name, seed))
    table = {}
    for name in names:
        runs = [results.get((name, seed)) for seed in range(10)]
        runs = [run for run in runs if run is not None]
        if not runs:
            continue
        table[name] = [shortened(run) for run in runs]
        for score in ("auc", "identified"):
            means = [np.mean(run[score]) for run in runs]
            print(f"{name:38} {score:10} {evaluation.summarise(means)}", end="; ")
        print(f"{runs[0]['pictures']} pictures, {len(runs)} runs")
    write_json(DATA / "sources.json", {"knobs": knobs, "runs": table})


if __name__ == "__main__":
    profiles.make_deterministic(0)
    main()
