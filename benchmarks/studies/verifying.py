"""Same person or not, on drawn people that no network saw: `data/verifying.json`.

    python benchmarks/studies/verifying.py        (a few minutes)

The 32 held-out people are halved five times. One half chooses: the block of a network
with the highest AUC, and the threshold at a false accept rate of 1%. The other half is
judged, then they change places. No person is on both sides.
"""

from functools import partial
from pathlib import Path

import numpy as np

from tl_helpers import backbones, datasets, evaluation, features
from tl_helpers.pretraining import small_backbone
from tl_helpers.storage import write_json

OUTPUT = Path(__file__).resolve().parents[2] / "data" / "verifying.json"
FALSE_ACCEPT = 0.01
NUM_SEEDS = 5
SOURCES = {
    "untrained small": partial(small_backbone, seed=0),  # where both others began
    "SimCLR on drawn faces": partial(backbones.load, "drawn_simclr"),
    "people of drawn faces, supervised": partial(backbones.load, "drawn_supervised"),
    "embedded": partial(backbones.load, "embedded"),
}


def embeddings(images):
    """Return {source: {block: Features}}, raw pixels among them."""
    pixels = images.pixels().reshape(len(images), -1).astype("float32")
    pixels -= pixels.mean(axis=1, keepdims=True)
    raw = features.Features(pixels, images.labels, images.class_names)
    found = {"raw pixels": {"pixels": raw}}
    for source, load in SOURCES.items():
        backbone = load()
        found[source] = {
            block: features.extract(backbone, images, block)
            for block in backbone.blocks
        }
    return found


def auc_of(rows):
    """AUC of same against different over all pairs of rows."""
    pairs = evaluation.pairs_of(rows.labels)
    distances = evaluation.cosine_distances(rows.values, pairs)
    return evaluation.roc_auc(-distances, pairs.is_same)


def judge(blocks, chosen_by, judged):
    """Choose block and threshold by some people, and judge others by them.

    Each column is standardised by the people who choose.

    Args:
        blocks: {block: Features}.
        chosen_by: bool (n,), rows of the people who choose.
        judged: bool (n,), rows of the others.

    Returns:
        dict of block, auc, false_accept, true_accept.
    """
    unit = {
        name: features.standardise(rows, like=rows[chosen_by])
        for name, rows in blocks.items()
    }
    block = max(unit, key=lambda name: auc_of(unit[name][chosen_by]))
    rows = unit[block]
    found = evaluation.verify(rows[judged], rows[chosen_by], FALSE_ACCEPT)
    return {
        "block": block,
        "auc": found.auc,
        "false_accept": found.false_accept,
        "true_accept": found.true_accept,
    }


def both_ways(people, seed):
    """Halve the people: [(rows of who chooses, rows of who is judged)], and back."""
    order = np.random.default_rng(seed).permutation(np.unique(people))
    half = np.isin(people, order[: len(order) // 2])
    return [(half, ~half), (~half, half)]


def main():
    """Judge every source over halves of the people, print and write."""
    images = datasets.load("drawn_faces", "held_out", 48)
    sources, results = embeddings(images), {}
    for source, blocks in sources.items():
        rows = []
        for seed in range(NUM_SEEDS):
            rows += [judge(blocks, *sides) for sides in both_ways(images.labels, seed)]
        results[source] = rows
        means = {
            name: np.mean([row[name] for row in rows]).item()
            for name in ("auc", "false_accept", "true_accept")
        }
        chosen = sorted({row["block"] for row in rows})
        spread = np.std([row["auc"] for row in rows]).item()
        print(
            f"{source:36} AUC {means['auc']:.3f} (sd {spread:.3f}), false accept "
            f"{means['false_accept']:.2%}, true accept {means['true_accept']:.1%}; "
            f"{', '.join(chosen)}"
        )
    write_json(OUTPUT, {"false_accept": FALSE_ACCEPT, "results": results})


if __name__ == "__main__":
    main()
