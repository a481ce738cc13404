"""Adaptation: what a step costs, beside a floor and beside ADAPT."""

import json
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from rows import Row, Spent, compare, interleave, measure

HERE = Path(__file__).resolve().parent
PEER_ENVIRONMENT = HERE.parents[1] / "build" / "venv-adapt"
PEER_PACKAGES = ("adapt==0.4.5", "tensorflow==2.21.0", "setuptools<82")
SEEDS = (0, 1, 2, 3, 4)
NUM_ROUNDS, STEPS_A_ROUND, BATCH_SIZE = 11, 20, 64
FEATURE_EPOCHS = 20


def measure_dann_step():
    """Compare DANN's step with the least that it must do, written out by hand."""
    images, labels = _batch()
    ours, by_hand = _dann(), _floor(_dann())
    data = _repeated({"source": images[0], "target": images[1]}, labels)
    spent = interleave(
        {
            "DANN": lambda: ours.fit(data, verbose=0),
            "by hand": lambda: [by_hand(*batch) for batch in data],
        },
        NUM_ROUNDS,
    )
    name = "s a step: DANN / floor by hand"
    return [compare(name, *spent.values(), 1.1, "at most", _raw(spent))]


def measure_discrepancy_steps():
    """Compare MMD's and CORAL's steps with supervised ones over the same images."""
    import keras

    from tl_helpers.adaptation import Discrepancy

    images, labels = _batch()
    both = np.concatenate(images), np.concatenate([labels, labels])
    plain = _compiled(keras.Sequential(_networks()[:2]))
    plain_data = _repeated(*both)
    data = _repeated({"source": images[0], "target": images[1]}, labels)
    tasks = {"supervised": lambda: plain.fit(plain_data, verbose=0)}
    for loss in ("mmd", "coral"):
        model = _compiled(Discrepancy(*_networks()[:2], loss, joint_batch=True))
        tasks[loss] = lambda model=model: model.fit(data, verbose=0)
    spent = interleave(tasks, NUM_ROUNDS)
    return [
        compare(
            f"s a step: {loss} / supervised, same images",
            spent[loss],
            spent["supervised"],
            1.25,
            "at most",
            _raw(spent),
        )
        for loss in ("mmd", "coral")
    ]


def measure_cached_features():
    """Time a DANN on cached features: solids, and PACS where a mirror holds it."""
    rows = []
    for name, (source, target) in _feature_pairs().items():
        spent = measure(lambda pair=(source, target): _adapt_features(*pair))
        raw = {"rows": len(source.values) + len(target), "epochs": FEATURE_EPOCHS}
        raw["spent"] = [spent]
        name = f"s: DANN on cached features, {name}"
        rows.append(Row(name, spent.seconds, None, raw=raw))
    return rows


def measure_peer():
    """Set DANN beside ADAPT's: same data, networks, steps and batch."""
    _make_peer_environment()
    pythons = {
        "ours": sys.executable,
        "adapt": str(PEER_ENVIRONMENT / "bin" / "python"),
    }
    results = {library: [] for library in pythons}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.npz"
        np.savez(path, **_digits())
        for seed in SEEDS:
            for library, python in pythons.items():
                results[library].append(_run_peer(python, library, path, seed))
    return _peer_rows(results)


def _peer_rows(results):
    def values(library, name):
        return [one[name] for one in results[library]]

    gap = np.subtract(values("ours", "accuracy"), values("adapt", "accuracy"))
    steps = [[Spent(*x) for x in values(one, "step")] for one in ("ours", "adapt")]
    ours, adapt = results["ours"][0], results["adapt"][0]
    return [
        Row(
            "accuracy: DANN ours - ADAPT's, mean",
            float(gap.mean()),
            0.0,
            raw=results,
            rounds=tuple(gap),
        ),
        compare("s a step: DANN ours / ADAPT's", *steps, 1.0, "at most"),
        Row(
            "logged loss / by hand, ours: away from 1",
            _loss_error(ours),
            1e-4,
            "at most",
        ),
        Row("logged loss / by hand, ADAPT's: away from 1", _loss_error(adapt), None),
        Row("reloads with equal answers, ours", float(ours["reloads"]), 1),
        Row("reloads with equal answers, ADAPT's", float(adapt["reloads"]), None),
    ]


def _loss_error(result):
    """Relative error of the logged loss; for the peer, from its nearest meaning."""
    return min(abs(result["logged"] / x - 1) for x in result["by_hand"].values())


def _run_peer(python, library, path, seed):
    command = [python, HERE / "dann_peer.py", library, path, str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _make_peer_environment():
    """Install ADAPT beside the TensorFlow it is compared on; some minutes, once."""
    python = PEER_ENVIRONMENT / "bin" / "python"
    if python.exists():
        return
    subprocess.run([sys.executable, "-m", "venv", PEER_ENVIRONMENT], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", *PEER_PACKAGES]
    subprocess.run(pip, check=True)


def _digits():
    """Digits and digits on photographs, in [-1, 1]."""
    from tl_helpers import datasets

    source = datasets.load("digits")
    target, test = datasets.split(datasets.load("digits_on_photos"), 0.7, 0.3)
    images = {"source": source, "target": target, "test": test}
    scaled = {k: x.pixels().astype("float32") / 127.5 - 1 for k, x in images.items()}
    return scaled | {"labels": source.labels, "test_labels": test.labels}


@cache
def _batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, BATCH_SIZE, 28, 28, 3)).astype("float32")
    return images, np.arange(BATCH_SIZE) % 10


def _networks():
    from tl_helpers.adaptation import digit_network

    return digit_network()


def _dann():
    from tl_helpers.adaptation import DANN

    return _compiled(DANN(*_networks(), joint_batch=True))


def _compiled(model):
    import keras

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    return model


def _repeated(inputs, labels):
    import tensorflow as tf

    batch = tf.data.Dataset.from_tensors((inputs, labels))
    return batch.repeat(STEPS_A_ROUND).prefetch(2)


def _floor(model):
    """One forward over both batches, both losses, one backward, one update."""
    import tensorflow as tf

    is_source = tf.constant([[1.0]] * BATCH_SIZE + [[0.0]] * BATCH_SIZE)
    weights = model.trainable_variables

    @tf.function
    def step(images, labels):
        both = tf.concat([images["source"], images["target"]], axis=0)
        with tf.GradientTape() as tape:
            features = model.encoder(both, training=True)
            logits = model.head(features[:BATCH_SIZE], training=True)
            fixed = tf.stop_gradient(features)
            domains = model.discriminator(fixed - (features - fixed), training=True)
            class_losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels, logits
            )
            domain_losses = tf.nn.sigmoid_cross_entropy_with_logits(is_source, domains)
            loss = tf.reduce_mean(class_losses) + tf.reduce_mean(domain_losses)
        gradients = tape.gradient(loss, weights)
        model.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return loss

    return step


def _raw(spent):
    return {"steps a round": STEPS_A_ROUND, "batch of each": BATCH_SIZE, **spent}


def _feature_pairs():
    """Return {name: (source Features, target values)}."""
    from tl_helpers import backbones, datasets, features, profiles

    domains = {"solids": ("embedded", "studio", "photo")}
    mirror = profiles.mirror_dir()
    if mirror and (mirror / "pacs").exists():
        domains["pacs"] = ("MobileNetV2", "photo", "sketch")
    result = {}
    for name, (backbone, *parts) in domains.items():
        size_px = 96 if name == "pacs" else None
        source, target = (
            features.extract(
                backbones.load(backbone), datasets.load(name, part, size_px)
            )
            for part in parts
        )
        result[name] = source, target.values
    return result


def _adapt_features(source, target):
    from tl_helpers.adaptation import DANN, dense_network, pairs

    width, num_classes = source.values.shape[1], int(source.labels.max()) + 1
    encoder = dense_network(width, (), 256, batch_norm=True)
    model = _compiled(DANN(encoder, dense_network(256, (), num_classes)))
    model.fit(pairs(source, target, 64), epochs=FEATURE_EPOCHS, verbose=0)
