"""Few-shot learning on real photographs: which classifier, and which encoder.

    python benchmarks/studies/few_shot.py [--part classifiers] [--seeds 0 1 2] [--table]

Needs the real data and ImageNet's weights (`TL_DATA_DIR`, `KERAS_HOME`).

classifiers: features of MobileNetV2 with ImageNet's weights, extracted once; ten splits
of the classes with five held out, 200 episodes in each, and every classifier on the
same ones.

encoders: four convolutions on Tiny ImageNet, untrained, trained as a classifier of 160
classes, and by prototypical training on the same classes and as many images; then 600
episodes of the 40 other classes, for three splits.

The seed splits the classes. Intervals are over these splits, which overlap, and are
corrected for it. Nothing was tuned. Every run leaves a file in build/few_shot and is
not repeated.
"""

import argparse
from functools import cache, partial

import keras
import numpy as np
from keras import layers
from runs import points, run_once, study

from tl_helpers import backbones, datasets, evaluation, features, fewshot

WAYS, QUERIES = 5, 15
EPISODES = {"classifiers": 200, "encoders": 600}  # in every split
NUM_SPLITS = {"classifiers": 10, "encoders": 3}

# how many classes each has
SETS = {("cifar10", "test"): 10, ("pacs", "photo"): 7, ("pacs", "sketch"): 7}
FEATURES_PX, SHOTS = 96, (1, 2, 5, 10, 20)
METHODS = fewshot.CLASSIFIERS | {
    "centred prototypes": fewshot.prototypes,
    "transductive prototypes": fewshot.transductive_prototypes,
}

ENCODER_PX, CHANNELS, HELD_OUT = 32, 32, 40
HELD_OUT_SHARE = HELD_OUT / 200  # of Tiny ImageNet's classes
PASSES = 4  # over the images of the training classes
TRAINING_WAYS, TRAINING_ROWS = 10, 5  # rows: shots of a class, and as many queries
BATCH_SIZE = 2 * TRAINING_WAYS * TRAINING_ROWS
ENCODER_SHOTS = (1, 5)


@cache
def kept(part):
    """Results of one part of this study with these knobs."""
    knobs = {
        "classifiers": {"size_px": FEATURES_PX, "shots": SHOTS},
        "encoders": {"size_px": ENCODER_PX, "channels": CHANNELS, "passes": PASSES},
    }
    drawn = [WAYS, QUERIES, EPISODES[part]]
    return study(f"few_shot/{part}", episodes=drawn, **knobs[part])


@cache
def backbone_features(name, part):
    """Return Features of a data set from the frozen backbone."""
    images = datasets.load(name, part, FEATURES_PX)
    return features.extract(backbones.load("MobileNetV2"), images)


def measure_classifiers(names, seed):
    """Put every classifier through the same episodes; seed deals the classes out."""
    values, labels = backbone_features(*names)
    training, held_out = fewshot.split_classes(labels, WAYS, seed)
    drawn = draw("classifiers", labels, max(SHOTS), seed, held_out)
    centred = centre(values, labels, training)
    results = {}
    for method, classifier in METHODS.items():
        rows = centred if method.startswith("centred") else values
        results[method] = examine(rows, drawn, SHOTS, classifier)
    return {"accuracies": results}


def draw(part, labels, num_shots, seed, held_out):
    """Draw the episodes of one split."""
    return fewshot.episodes(
        labels, WAYS, num_shots, QUERIES, EPISODES[part], seed, classes=held_out
    )


def centre(values, labels, training):
    """Shift by the training classes' mean and bring every row to length 1."""
    mean = values[np.isin(labels, training)].mean(axis=0)
    return fewshot.centre_and_normalise(values, mean)


def examine(values, drawn, shots, classifier):
    """Return {shots: accuracy of every episode}, as JSON keeps it."""
    return {
        str(k): fewshot.evaluate_episodes(values, drawn.with_shots(k), classifier)
        .accuracies.round(4)
        .tolist()
        for k in shots
    }


@cache
def tiny_imagenet():
    """Return pixels, uint8 (n, 32, 32, 3), and labels; decoded once."""
    images = datasets.load("tiny_imagenet", "train", ENCODER_PX)
    return images.pixels(), images.labels


def convolutions():
    """Build the encoder: four blocks, every one halves the side."""
    blocks = []
    for _ in range(4):
        blocks.append(layers.Conv2D(CHANNELS, 3, padding="same", use_bias=False))
        blocks += [layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D()]
    return keras.Sequential(
        [
            keras.Input((ENCODER_PX, ENCODER_PX, 3)),
            layers.Rescaling(1 / 127.5, -1),
            *blocks,
            layers.Flatten(),
        ]
    )


def num_steps(labels, training):
    """Return how many batches `PASSES` over the training classes' images are."""
    return PASSES * int(np.isin(labels, training).sum()) // BATCH_SIZE


def optimizer(steps):
    """Return Adam, its rate falling to zero over the training."""
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps))


def untrained(pixels, labels, training, seed):
    """Leave the weights as they were drawn."""
    return convolutions()


def classify(pixels, labels, training, seed):
    """Train as a plain classifier of the training classes."""
    encoder = convolutions()
    model = keras.Sequential([encoder, layers.Dense(len(training))])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer(num_steps(labels, training)), loss)
    rows = np.flatnonzero(np.isin(labels, training))
    answers = np.searchsorted(training, labels[rows])
    model.fit(pixels[rows], answers, BATCH_SIZE, epochs=PASSES, verbose=0)
    return encoder


def train_on_episodes(pixels, labels, training, seed):
    """Train on episodes of the training classes."""
    encoder, steps = convolutions(), num_steps(labels, training)
    network = fewshot.PrototypicalNetwork(encoder, TRAINING_WAYS, TRAINING_ROWS)
    network.compile(optimizer(steps))
    drawn = fewshot.episodes(
        labels, TRAINING_WAYS, TRAINING_ROWS, TRAINING_ROWS, steps, seed, training
    )
    network.fit(fewshot.episode_batches(pixels, drawn), verbose=0)
    return encoder


ENCODERS = {
    "untrained": untrained,
    "classifier of 160 classes": classify,
    "prototypical training": train_on_episodes,
}


def measure_encoder(train, seed):
    """Train one encoder, then put it through episodes of the held-out classes."""
    pixels, labels = tiny_imagenet()
    training, held_out = fewshot.split_classes(labels, HELD_OUT, seed)
    keras.utils.set_random_seed(seed)
    encoder = train(pixels, labels, training, seed)
    some = np.random.default_rng(seed).permutation(len(labels))[:5000]
    some = some[np.isin(labels[some], training)]  # for the mean alone
    rows = np.flatnonzero(np.isin(labels, held_out))
    values = encoder.predict(pixels[rows], batch_size=500, verbose=0)
    mean = encoder.predict(pixels[some], batch_size=500, verbose=0).mean(axis=0)
    drawn = draw("encoders", labels[rows], max(ENCODER_SHOTS), seed, held_out)
    keras.backend.clear_session()
    prepared = {
        "prototypes": values,
        "centred prototypes": fewshot.centre_and_normalise(values, mean),
    }
    return {
        "accuracies": {
            method: examine(x, drawn, ENCODER_SHOTS, fewshot.prototypes)
            for method, x in prepared.items()
        }
    }


def accuracies(results, name, method, shots):
    """Return the mean accuracy in every split (seeds,), seeds in rising order."""
    own = sorted((x for x in results if x["name"] == name), key=lambda x: x["seed"])
    return np.array([np.mean(x["accuracies"][method][str(shots)]) for x in own])


def classifier_tables():
    """Return Markdown: accuracies, then gains over prototypes, both over splits."""
    results = kept("classifiers").all()
    lines = []
    for names, num_classes in SETS.items():
        name = " ".join(names)
        rows = {x: [accuracies(results, name, x, k) for k in SHOTS] for x in METHODS}
        lines += ["", heading(f"{name}, shots", SHOTS)]
        for method, own in rows.items():
            lines.append(row(method, map(evaluation.summarise, own)))
        lines += ["", heading(f"{name}, points over prototypes, shots", SHOTS)]
        share = WAYS / num_classes
        for method, own in list(rows.items())[1:]:
            lines.append(row(method, gains(own, rows["prototypes"], share)))
        centred = gains(rows["ridge"], rows["centred prototypes"], share)
        lines.append(row("ridge over centred prototypes", centred))
    return "\n".join(lines)


def encoder_table():
    """Return Markdown: accuracies, then gains of prototypical training, over splits."""
    results = kept("encoders").all()
    columns = [(m, k) for m in ("prototypes", "centred prototypes") for k in (1, 5)]
    lines = [heading("encoder", [f"{m}, {k}-shot" for m, k in columns])]
    rows = {
        x: [accuracies(results, x, *column) for column in columns] for x in ENCODERS
    }
    for name, own in rows.items():
        lines.append(row(name, map(evaluation.summarise, own)))
    for rival in list(ENCODERS)[:2]:
        cells = gains(rows["prototypical training"], rows[rival], HELD_OUT_SHARE)
        lines.append(row(f"prototypical training over {rival}, points", cells))
    return "\n".join(lines)


def heading(name, columns):
    """Return a table's head and rule."""
    return f"{row(name, columns)}\n{'|---' * (len(columns) + 1)}|"


def row(name, cells):
    """Return one line of a table."""
    return f"| {name} | " + " | ".join(str(x).replace(" %", "") for x in cells) + " |"


def gains(ours, theirs, held_out_share):
    """Format paired differences in points; intervals over splits that overlap."""
    return [
        points(evaluation.compare_paired(own, other, held_out_share))
        for own, other in zip(ours, theirs, strict=True)
    ]


def runs_of(part):
    """Return {name of a run: callable(seed)} of a part."""
    if part == "classifiers":
        return {" ".join(x): partial(measure_classifiers, x) for x in SETS}
    return {name: partial(measure_encoder, x) for name, x in ENCODERS.items()}


def main():
    """Run what is missing, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = {"classifiers": classifier_tables, "encoders": encoder_table}
    parser.add_argument("--part", choices=parts, nargs="+", default=list(parts))
    parser.add_argument("--seeds", type=int, nargs="+", help="default: all splits")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    for part in arguments.part:
        seeds = arguments.seeds or range(NUM_SPLITS[part])
        for seed in [] if arguments.table else seeds:
            for name, compute in runs_of(part).items():
                result = run_once(kept(part), name, seed, compute)
                print(f"{name}, seed {seed}: {result['seconds']:.0f} s", flush=True)
        print(parts[part](), flush=True)


if __name__ == "__main__":
    main()
