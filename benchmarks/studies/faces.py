"""Cats and dogs, then faces: sources for Labeled Faces in the Wild, and their controls.

    python benchmarks/studies/faces.py [--seeds 0 1 2] [--table]

Of the mirror's 62 people with 20 pictures each, a seed takes 30 for the source "other
faces"; the other 32 are halved. One half chooses block and threshold (false accept rate
1%), the other is judged, and they change places, as in `verifying.py`. No person is on
two sides. All is seen at 48 px, MobileNetV2 at 96.

Sources that are trained here have the network, steps, rate and batches of `sources.py`:
cats and dogs with their two classes, or without labels (NT-Xent on two views);
photographs of ten things (CIFAR-10, as many pictures, enlarged); other faces by person.
A seed decides first weights, order, and who is judged.

Each run leaves a file in build/faces and is not repeated.
"""

from functools import cache

import numpy as np
from runs import run_once, seeds_asked, study
from sources import STEPS, begin, pairs_of_rows, train_on_classes, train_on_pairs
from verifying import judge

from tl_helpers import (
    augmentation,
    backbones,
    datasets,
    evaluation,
    features,
    profiles,
)

SIZE_PX, LARGE_PX = 48, 96
NUM_PICTURES, NUM_SOURCE_PEOPLE = 1000, 30
LOADED = {
    "drawn faces, no labels": "drawn_simclr",
    "drawn faces, people": "drawn_supervised",
    "embedded (Tiny ImageNet)": "embedded",
    "MobileNetV2 (ImageNet), 96 px": "MobileNetV2",
}
TRAINED = ("cats and dogs", "cats and dogs, no labels", "ten things", "other faces")


@cache
def pictures(name, size_px=SIZE_PX):
    """Return (pixels, labels) of a data set."""
    if name == "cifar10":
        images = datasets.load(name, "train", size_px)
        (images,) = datasets.split(images, NUM_PICTURES, seed=0)
    else:
        images = datasets.load(name, size_px=size_px)
    return images.pixels(), images.labels


def people_of(seed):
    """Return (people of the source, people who are judged)."""
    order = np.random.default_rng(seed).permutation(np.unique(pictures("lfw")[1]))
    return order[:NUM_SOURCE_PEOPLE], order[NUM_SOURCE_PEOPLE:]


def train(name, seed):
    """Return the small backbone, trained on a source from its first weights."""
    backbone, classifier, model = begin(seed)
    rng = np.random.default_rng(seed)
    pixels, labels = pictures("cifar10" if name == "ten things" else "cats_and_dogs")
    if name == "other faces":
        pixels, labels = pictures("lfw")
        mask = np.isin(labels, people_of(seed)[0])
        pixels, labels = pixels[mask], np.unique(labels[mask], return_inverse=True)[1]
    if name == "cats and dogs, no labels":
        rows = pairs_of_rows(labels, "picture", rng)
        train_on_pairs(model, pixels, rows, augmentation.policy("views", 10, seed))
    elif name != "untrained":
        train_on_classes(classifier, pixels, labels, rng)
    return backbone


@cache
def embedded(name, size_px):
    """Return {block: Features} of all faces by a loaded backbone."""
    return each_block(backbones.load(LOADED[name]), size_px)


def each_block(net, size_px):
    """Return {block: Features} of all faces by a backbone."""
    images = datasets.load("lfw", size_px=size_px)
    return {block: features.extract(net, images, block) for block in net.blocks}


def blocks_of(name, seed):
    """Return {block: Features} of all faces by a source."""
    if name == "raw pixels":
        pixels, labels = pictures("lfw", 24)
        values = pixels.reshape(len(pixels), -1).astype("float32")
        values -= values.mean(axis=1, keepdims=True)
        return {"pixels": features.Features(values, labels)}
    if name in LOADED:
        return embedded(name, LARGE_PX if "MobileNetV2" in name else SIZE_PX)
    return each_block(train(name, seed), SIZE_PX)


def compute(name, seed):
    """Judge one source by the people of a seed, both ways."""
    found = blocks_of(name, seed)
    judged = people_of(seed)[1]
    labels = next(iter(found.values())).labels
    halves = [np.isin(labels, some) for some in np.split(judged, 2)]
    ways = [judge(found, *pair) for pair in (halves, halves[::-1])]
    numbers = ("auc", "false_accept", "true_accept")
    return {key: np.mean([way[key] for way in ways]).item() for key in numbers} | {
        "blocks": [way["block"] for way in ways]
    }


def main():
    """Run what is missing and print a table."""
    seeds = seeds_asked(__doc__.splitlines()[0])
    names = ["raw pixels", "untrained", *LOADED, *TRAINED]
    knobs = {"size_px": SIZE_PX, "steps": STEPS, "pictures": NUM_PICTURES}
    results = study("faces", **knobs)
    for seed in seeds:
        for name in names:
            run_once(results, name, seed, lambda seed, name=name: compute(name, seed))
    done = [i for i in range(10) if results.get((names[-1], i)) is not None]
    table = evaluation.ScoreTable(done, test_share=0.5)
    print("| source | AUC | false accept | true accept | blocks |")
    for name in names:
        runs = [results.get((name, seed)) for seed in done]
        cells = []
        for key in ("auc", "false_accept", "true_accept"):
            cells.append(str(evaluation.summarise([run[key] for run in runs])))
        table[name] = [run["auc"] for run in runs]
        chosen = sorted({block for run in runs for block in run["blocks"]})
        print(f"| {name} | {' | '.join(cells)} | {', '.join(chosen)} |")
    for name in names[2:]:
        print(f"{name}: {table.compare(name, 'untrained')} over untrained")
    for name in ("other faces", "ten things"):
        print(f"{name}: {table.compare(name, 'cats and dogs')} over cats and dogs")


if __name__ == "__main__":
    profiles.make_deterministic(0)
    main()
