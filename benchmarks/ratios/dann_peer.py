"""One DANN on given arrays, by this package or by ADAPT; prints what came out as JSON.

    python benchmarks/ratios/dann_peer.py ours|adapt DATA.npz SEED

`adapting.py` runs it, each library in an environment of its own. Network, initial
weights, data, batch, steps, optimizer and constant strength are the same.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from keras import layers

BATCH_SIZE, EPOCHS, RATE = 32, 6, 1e-3


def networks(shape):
    """Build encoder, head and discriminator: the paper's, on small images."""
    encoder = keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(32, 5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(48, 5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
        ]
    )
    width = encoder.output_shape[-1]
    head = keras.Sequential(
        [keras.Input((width,)), layers.Dense(100, "relu"), layers.Dense(10)]
    )
    discriminator = keras.Sequential(
        [keras.Input((width,)), layers.Dense(100, "relu"), layers.Dense(1)]
    )
    return encoder, head, discriminator


def build_ours(parts, data):
    """Return (model, fit) of this package."""
    from tl_helpers.adaptation import DANN, pairs
    from tl_helpers.features import Features

    model = DANN(*parts)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(RATE), loss)
    source = Features(data["source"], data["labels"])
    batches = pairs(source, data["target"], BATCH_SIZE)
    return model, lambda epochs: model.fit(batches, epochs=epochs, verbose=0)


def build_adapt(parts, data):
    """Return (model, fit) of ADAPT, whose discriminator gives probabilities."""
    from adapt.feature_based import DANN

    encoder, head, discriminator = parts
    model = DANN(
        encoder,
        head,
        keras.Sequential([discriminator, layers.Activation("sigmoid")]),
        lambda_=0.5,  # its domain loss is the sum over the domains, ours the mean
        Xt=data["target"],
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        optimizer=keras.optimizers.Adam(RATE),
        copy=False,
        verbose=0,
    )
    settings = {"batch_size": BATCH_SIZE, "verbose": 0}
    one_hot = np.eye(10, dtype="float32")[data["labels"]]
    return model, lambda epochs: model.fit(
        data["source"], one_hot, epochs=epochs, **settings
    )


def cross_entropy(logits, labels):
    """Return the mean cross-entropy of integer labels, from logits."""
    logits = logits - logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(logits).sum(axis=1))
    return float((log_sums - logits[np.arange(len(labels)), labels]).mean())


def first_logged_loss(library, data):
    """Return what `fit` logs for one step, and what it could mean, by hand.

    The step is over a single batch, so that the loss belongs to the initial weights.
    """
    keras.utils.set_random_seed(1)
    rows = slice(0, BATCH_SIZE)
    small = {name: values[rows] for name, values in data.items()}
    parts = networks(data["source"].shape[1:])
    encoder, head, discriminator = parts
    at_source, at_target = (encoder.predict(small[x], verbose=0) for x in SIDES)
    logits = head.predict(at_source, verbose=0)
    domains = [
        discriminator.predict(x, verbose=0)[:, 0] for x in (at_source, at_target)
    ]
    class_loss = cross_entropy(logits, small["labels"])
    domain_loss = np.logaddexp(0, np.concatenate([-domains[0], domains[1]])).mean()
    _, fit = BUILD[library](parts, small)
    history = fit(1).history
    logged = getattr(history, "history", history)["loss"][0]
    meanings = {
        "class": class_loss,
        "class + domain": class_loss + domain_loss,
        "class + both domains": class_loss + 2 * domain_loss,
        "class - strength x domain": class_loss - domain_loss,
    }
    return logged, meanings


def reloads(model, images):
    """Whether the saved model gives the same answers after loading."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        try:
            before = model.predict(images, verbose=0)
            model.save(path)
            loaded = keras.models.load_model(path)
            return bool(np.array_equal(before, loaded.predict(images, verbose=0)))
        except Exception as error:  # whatever it is, it does not reload
            print(f"{type(error).__name__}: {error}"[:300], file=sys.stderr)
            return False


BUILD = {"ours": build_ours, "adapt": build_adapt}
SIDES = ("source", "target")


def spent_so_far():
    """Return seconds, system time (s) and page faults, the fields of rows.Spent."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_stime, used.ru_minflt + used.ru_majflt


def main(library, path, seed):
    """Train, time the epochs after the first, and measure."""
    with np.load(path) as file:
        data = {name: file[name] for name in ("source", "labels", "target")}
        test, test_labels = file["test"], file["test_labels"]
    keras.utils.set_random_seed(int(seed))
    model, fit = BUILD[library](networks(data["source"].shape[1:]), data)
    fit(1)
    steps = -(-max(len(data["source"]), len(data["target"])) // BATCH_SIZE)
    before = spent_so_far()
    fit(EPOCHS)
    step = (np.array(spent_so_far()) - before) / (EPOCHS * steps)
    answers = model.predict(test, verbose=0).argmax(axis=1)
    logged, meanings = first_logged_loss(library, data)
    result = {
        "step": step.tolist(),
        "accuracy": float((answers == test_labels).mean()),
        "logged": float(logged),
        "by_hand": {name: float(value) for name, value in meanings.items()},
        "reloads": reloads(model, test[:8]),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
