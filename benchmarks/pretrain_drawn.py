"""Pretrain a small backbone on drawn faces, without labels or with; can be resumed.

    python benchmarks/pretrain_drawn.py simclr build/drawn_simclr
    python benchmarks/pretrain_drawn.py supervised build/drawn_supervised

Both see the same pictures of the 44 training people, in the same number of steps, from
the same weights, with the same views and rates; only the loss differs: two views of a
picture belong together, or a picture belongs to its person. Ends with
`data/drawn_<way>.npz` (weights in half precision) and `data/drawn_<way>.json` (recipe
and curve). About 6 minutes each on one core.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops
from tqdm import tqdm

from tl_helpers import augmentation, datasets, profiles
from tl_helpers.backbones.loading import write_half_precision
from tl_helpers.pretraining import SimCLR, collapse, small_backbone, two_views
from tl_helpers.saving import read_variables, set_variables
from tl_helpers.storage import Kept, describe, write_json
from tl_helpers.training import build_optimizer, fit_steps, warmup_cosine

DATA_DIR = Path(__file__).resolve().parent.parent / "data"
SEED = 0
SIZE_PX = 48
NUM_STEPS = 800
STEPS_AT_ONCE = 50  # between two points of the curve and of the checkpoint
BATCH_SIZE = 128  # pictures, twice as many views
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-4
TEMPERATURE = 0.2
NUM_WATCHED = 256  # pictures whose embeddings are measured along the way


def supervised(encoder, num_people):
    """Put a classifier of people on the encoder, for views with their labels."""
    logits = layers.Dense(num_people, name="people")(encoder.output)
    return keras.Model(encoder.input, logits, name="supervised")


def both_views(policy):
    """Make a function that puts both views of a batch one behind the other."""
    make = two_views(policy)

    def double(images, labels):
        views, _ = make(images, labels)
        images = ops.concatenate([views["first"], views["second"]], axis=0)
        return images, ops.concatenate([labels, labels], axis=0)

    return double


def compiled(way, encoder, num_people):
    """Build and compile a training, the same but for the loss."""
    optimizer = keras.optimizers.AdamW(
        warmup_cosine(LEARNING_RATE, NUM_STEPS), weight_decay=WEIGHT_DECAY
    )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    if way == "simclr":
        model = SimCLR(encoder, temperature=TEMPERATURE)
        model.compile(optimizer)
        return model
    model = supervised(encoder, num_people)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def pretrain(way, build_dir):
    """Train to the end, from wherever the last run stopped.

    Args:
        way: "simclr" or "supervised".
        build_dir: Path for the checkpoint.

    Returns:
        (backbone, curve): Backbone, and a list of rows, one for so many steps.

    Raises:
        ValueError: `build_dir` holds another training.
    """
    keras.utils.set_random_seed(SEED)
    images = datasets.load("drawn_faces", "train", SIZE_PX)
    backbone = small_backbone(SEED)
    encoder = backbone.extractor()
    model = compiled(way, encoder, len(images.class_names))
    build_optimizer(model)
    kept = Kept(build_dir, _describe(way, backbone, images))
    state = [*model.variables, *model.optimizer.variables]
    found = kept.get("training")
    curve = found["curve"] if found else []
    if found:
        set_variables(state, found["state"])
    rounds = NUM_STEPS // STEPS_AT_ONCE
    views = two_views if way == "simclr" else both_views
    rng = np.random.default_rng(SEED)
    watched = images[np.sort(rng.permutation(len(images))[:NUM_WATCHED])]
    for number in tqdm(range(len(curve), rounds), initial=len(curve), total=rounds):
        start_s = time.monotonic()
        policy = augmentation.policy("views", images, seed=number)
        history = fit_steps(
            model, images, STEPS_AT_ONCE, BATCH_SIZE, number, views(policy)
        )
        found = collapse(encoder.predict_on_batch(watched.pixels()))
        row = {
            "step": STEPS_AT_ONCE * (number + 1),
            **{name: values[-1] for name, values in history.items()},
            "spread": found.spread,
            "effective_rank": found.effective_rank,
            "duration_s": time.monotonic() - start_s,
        }
        curve = [*curve, row]
        tqdm.write(json.dumps(row))
        kept.put("training", {"curve": curve}, state=read_variables(state))
    return backbone, curve


def _describe(way, backbone, images):
    """Return what must be the same when a training goes on."""
    return {
        "way": way,
        "images": images.fingerprint,
        "num_steps": NUM_STEPS,
        "steps_at_once": STEPS_AT_ONCE,
        "batch_size": BATCH_SIZE,
        "learning_rate": LEARNING_RATE,
        "weight_decay": WEIGHT_DECAY,
        "temperature": TEMPERATURE,
        "seed": SEED,
        "network": hashlib.sha256(describe(backbone.network).encode()).hexdigest(),
        "keras": f"{keras.__version__}, {keras.backend.backend()}",
    }


def export(way, backbone, curve, folder):
    """Write the weights in half precision, and how they came about.

    Args:
        way: "simclr" or "supervised".
        backbone: Backbone, trained.
        curve: list of rows.
        folder: Path that receives `drawn_<way>.npz` and `drawn_<way>.json`.
    """
    write_half_precision(backbone.network, folder / f"drawn_{way}.npz")
    card = {
        "way": way,
        "size_px": SIZE_PX,
        "parameters": backbone.num_parameters,
        "num_steps": NUM_STEPS,
        "batch_size": BATCH_SIZE,
        "learning_rate": LEARNING_RATE,
        "weight_decay": WEIGHT_DECAY,
        "training_minutes": sum(row["duration_s"] for row in curve) / 60,
        "curve": curve,
    }
    if way == "simclr":
        card["temperature"] = TEMPERATURE
    write_json(folder / f"drawn_{way}.json", card)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("way", choices=["simclr", "supervised"])
    parser.add_argument("build_dir", type=Path)
    arguments = parser.parse_args()
    profiles.make_deterministic(SEED)  # a killed run ends as a whole one, bit for bit
    trained, learning_curve = pretrain(arguments.way, arguments.build_dir)
    export(arguments.way, trained, learning_curve, DATA_DIR)
