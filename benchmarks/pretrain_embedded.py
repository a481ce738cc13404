"""Pretrain the embedded backbone on Tiny ImageNet; resumes after a kill.

    python benchmarks/pretrain_embedded.py TINY_IMAGENET_DIR build/pretrain

Ends with `data/embedded.npz` (weights in half precision, measured again as such) and
`data/embedded.json` (the recipe, the learning curve and the final accuracy). Pure
NumPy and Keras, so it runs on any Keras backend (a GPU with KERAS_BACKEND=jax).
About 35 minutes on two cores with AVX-512.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from tqdm import tqdm

from tl_helpers import profiles
from tl_helpers.backbones.embedded import build_network
from tl_helpers.saving import read_variables, set_variables
from tl_helpers.storage import (
    Kept,
    describe,
    hash_arrays,
    whole_or_nothing,
    write_json,
)

DATA_DIR = Path(__file__).resolve().parent.parent / "data"
SEED = 0
BATCH_SIZE = 128
PEAK_LEARNING_RATE = 0.4
WEIGHT_DECAY = 1e-3  # decoupled, as Keras does it
LABEL_SMOOTHING = 0.1
CROP_PX_BY_EPOCH = [40] * 10 + [48] * 14 + [64] * 8  # small and fast first
PAD_PX = 4  # so that 64 px crops still shift


def load_split(folder, cache):
    """Read one split into arrays.

    Args:
        folder: Tiny ImageNet's `train` or `val`, one folder a class.
        cache: path of the .npz that keeps the result for the next start with the
            same files.

    Returns:
        uint8 (n, 64, 64, 3) images, RGB, and int32 (n,) labels in folder order.

    Raises:
        FileNotFoundError: no images there.
    """
    classes = sorted(p for p in folder.glob("*") if p.is_dir())
    files = [(f, k) for k, c in enumerate(classes) for f in sorted(c.glob("*.JPEG"))]
    if not files:
        raise FileNotFoundError(
            f"Got {folder} without images, expected a folder of *.JPEG for each class; "
            "give the folder of Tiny ImageNet that holds train and val."
        )
    source = _describe_files([file for file, _ in files])
    if cache.exists():
        with np.load(cache) as stored:
            if str(stored["source"]) == source:
                return stored["images"], stored["labels"]
    images = np.empty((len(files), 64, 64, 3), np.uint8)
    for i, (file, _) in enumerate(tqdm(files, desc=folder.name)):
        images[i] = Image.open(file).convert("RGB")
    labels = np.array([label for _, label in files], np.int32)
    with whole_or_nothing(cache) as part:
        np.savez(part, images=images, labels=labels, source=source)
    return images, labels


def _describe_files(files):
    """Hash paths, sizes and times of the last change."""
    found = [(str(file), file.stat()) for file in files]
    lines = [f"{path} {about.st_size} {about.st_mtime_ns}" for path, about in found]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class Crops(keras.utils.PyDataset):
    """One epoch of shuffled, flipped random crops; the same for the same epoch."""

    def __init__(self, images, labels, crop_px, epoch):
        super().__init__()
        self.images, self.labels = images, labels
        self.crop_px, self.epoch = crop_px, epoch
        self.order = np.random.default_rng((SEED, epoch)).permutation(len(labels))

    def __len__(self):
        """Return the number of whole batches."""
        return len(self.labels) // BATCH_SIZE

    def __getitem__(self, step):
        """Return float32 (batch, crop, crop, 3) in [0, 255] and one-hot labels."""
        rng = np.random.default_rng((SEED, self.epoch, step))
        rows = self.order[step * BATCH_SIZE : (step + 1) * BATCH_SIZE]
        pad = ((0, 0), (PAD_PX, PAD_PX), (PAD_PX, PAD_PX), (0, 0))
        images = np.pad(self.images[rows], pad, mode="reflect")
        top, left = rng.integers(0, images.shape[1] - self.crop_px + 1, (2, len(rows)))
        is_plain = rng.random(len(rows)) < 0.5  # the others are flipped
        window = np.arange(self.crop_px)
        across = np.where(is_plain[:, None], window, window[::-1]) + left[:, None]
        down = window + top[:, None]
        each = np.arange(len(rows))[:, None, None]
        crops = images[each, down[:, :, None], across[:, None, :]]
        return crops.astype("float32"), np.eye(200, dtype="float32")[self.labels[rows]]


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up over the first quarter, then a cosine down to zero."""

    def __init__(self, peak, total_steps):
        self.peak, self.total_steps = peak, total_steps

    def __call__(self, step):
        """Return the learning rate of a step."""
        progress = keras.ops.cast(step, "float32") / self.total_steps
        rise = progress / 0.25
        fall = 0.5 * (1 + keras.ops.cos(np.pi * (progress - 0.25) / 0.75))
        return self.peak * keras.ops.where(progress < 0.25, rise, fall)


def compile_network(num_images):
    """A fresh network with the optimizer and loss of the recipe."""
    network = build_network(num_classes=200)
    total_steps = len(CROP_PX_BY_EPOCH) * (num_images // BATCH_SIZE)
    optimizer = keras.optimizers.SGD(
        OneCycle(PEAK_LEARNING_RATE, total_steps),
        momentum=0.9,
        nesterov=True,
        weight_decay=WEIGHT_DECAY,
    )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    network.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=LABEL_SMOOTHING
        ),
        metrics=["accuracy"],
        jit_compile=keras.backend.backend() == "jax",
    )
    return network


def top_k_accuracy(logits, labels, k):
    """Share of rows whose label is among the k largest logits, in [0, 1]."""
    best = np.argsort(-logits, axis=1)[:, :k]
    return float((best == labels[:, None]).any(axis=1).mean())


def pretrain(data_dir, build_dir):
    """Train to the end, from wherever the last run stopped.

    What is kept at every epoch's end: weights and statistics, the optimizer's variables
    (its step and with it the learning rate), and the learning curve. Order, crops and
    flips follow from seed, epoch and step. Nothing else is random: no dropout, and
    Keras leaves the order of the batches alone.

    Args:
        data_dir: Path of Tiny ImageNet with `train/<wnid>` and `val/<wnid>`.
        build_dir: Path for the checkpoint, the learning curve and the weights.

    Raises:
        ValueError: `build_dir` holds another training.
    """
    keras.utils.set_random_seed(SEED)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    train, train_labels = load_split(data_dir / "train", build_dir / "train.npz")
    val, val_labels = load_split(data_dir / "val", build_dir / "val.npz")
    network = compile_network(len(train))
    data = hash_arrays(train, train_labels, val, val_labels)
    kept = Kept(build_dir, _describe(network) | {"data": data})
    network.optimizer.build(network.trainable_variables)
    state = [*network.variables, *network.optimizer.variables]
    found = kept.get("training")
    curve = found["curve"] if found else []
    if found:
        set_variables(state, found["state"])
    epochs = len(CROP_PX_BY_EPOCH)
    for epoch in tqdm(range(len(curve), epochs), initial=len(curve), total=epochs):
        start_s = time.monotonic()
        crops = Crops(train, train_labels, CROP_PX_BY_EPOCH[epoch], epoch)
        history = network.fit(crops, shuffle=False, verbose=0).history
        logits = network.predict(val.astype("float32"), batch_size=250, verbose=0)
        row = {
            "epoch": epoch + 1,
            "crop_px": CROP_PX_BY_EPOCH[epoch],
            "train_loss": history["loss"][-1],
            "train_accuracy": history["accuracy"][-1],
            "val_top1": top_k_accuracy(logits, val_labels, 1),
            "val_top5": top_k_accuracy(logits, val_labels, 5),
            "duration_s": time.monotonic() - start_s,
        }
        curve = [*curve, row]
        tqdm.write(json.dumps(row))
        kept.put("training", {"curve": curve}, state=read_variables(state))
    return network, curve, (val, val_labels)


def _describe(network):
    """Return what must be the same when a training goes on."""
    return {
        "crops": CROP_PX_BY_EPOCH,
        "batch_size": BATCH_SIZE,
        "seed": SEED,
        "learning_rate": PEAK_LEARNING_RATE,
        "weight_decay": WEIGHT_DECAY,
        "label_smoothing": LABEL_SMOOTHING,
        "pad_px": PAD_PX,
        "network": hashlib.sha256(describe(network).encode()).hexdigest(),
        "keras": f"{keras.__version__}, {keras.backend.backend()}",
    }


def export(network, curve, val, folder):
    """Write the backbone's weights in half precision and what they were measured at.

    Args:
        network: the trained classifier.
        curve: list of rows, one an epoch.
        val: (images, labels) that the rounded weights are measured on.
        folder: Path that receives `embedded.npz` and `embedded.json`.
    """
    keras.mixed_precision.set_global_policy("float32")
    rounded = build_network(num_classes=200)
    halves = [np.float16(weight) for weight in network.get_weights()]
    rounded.set_weights([half.astype("float32") for half in halves])
    logits = rounded.predict(val[0].astype("float32"), batch_size=250, verbose=0)
    card = {
        "val_images": len(val[1]),
        "val_top1": top_k_accuracy(logits, val[1], 1),
        "val_top5": top_k_accuracy(logits, val[1], 5),
        "parameters": build_network().count_params(),
        "training_minutes": sum(row["duration_s"] for row in curve) / 60,
        "curve": curve,
    }
    paths = [weight.path for weight in rounded.weights]
    backbone = {
        k: v for k, v in zip(paths, halves, strict=True) if "classifier" not in k
    }
    with whole_or_nothing(folder / "embedded.npz") as part:
        np.savez_compressed(part, **backbone)
    write_json(folder / "embedded.json", card)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("build_dir", type=Path)
    arguments = parser.parse_args()
    profiles.make_deterministic(SEED)  # a killed run ends as a whole one, bit for bit
    trained, learning_curve, validation = pretrain(
        arguments.data_dir, arguments.build_dir
    )
    export(trained, learning_curve, validation, DATA_DIR)
