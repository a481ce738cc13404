"""Pretrain the embedded backbone on Tiny ImageNet; resumes after a kill.

    python benchmarks/pretrain_embedded.py TINY_IMAGENET_DIR build/pretrain

Ends with `data/embedded.npz` (weights in half precision, measured again as such) and
`data/embedded.json` (the recipe, the learning curve and the final accuracy). Pure
NumPy and Keras, so it runs on any Keras backend (a GPU with KERAS_BACKEND=jax).
About 35 minutes on two cores with AVX-512.
"""

import argparse
import json
import os
import time
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from tqdm import tqdm

from tl_helpers.backbones.embedded import build_network
from tl_helpers.saving import load_model

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
        cache: path of the .npz that keeps the result for the next start.

    Returns:
        uint8 (n, 64, 64, 3) images, RGB, and int32 (n,) labels in folder order.
    """
    if cache.exists():
        with np.load(cache) as stored:
            return stored["images"], stored["labels"]
    classes = sorted(p for p in folder.iterdir() if p.is_dir())
    files = [(f, k) for k, c in enumerate(classes) for f in sorted(c.glob("*.JPEG"))]
    images = np.empty((len(files), 64, 64, 3), np.uint8)
    for i, (file, _) in enumerate(tqdm(files, desc=folder.name)):
        images[i] = Image.open(file).convert("RGB")
    labels = np.array([label for _, label in files], np.int32)
    partial = cache.with_suffix(".partial.npz")
    np.savez(partial, images=images, labels=labels)
    partial.rename(cache)
    return images, labels


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


@keras.saving.register_keras_serializable("tl_helpers")
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

    def get_config(self):
        """Return the arguments that rebuild this schedule."""
        return {"peak": self.peak, "total_steps": self.total_steps}


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


def restore(network, checkpoint):
    """Copy weights and optimizer state from a checkpoint.

    A reloaded optimizer has forgotten which weights do not decay, so the state goes
    into a freshly compiled network instead.
    """
    saved = load_model(checkpoint)
    network.set_weights(saved.get_weights())
    network.optimizer.build(network.trainable_variables)
    states = zip(network.optimizer.variables, saved.optimizer.variables, strict=True)
    for variable, value in states:
        variable.assign(value)


def top_k_accuracy(logits, labels, k):
    """Share of rows whose label is among the k largest logits, in [0, 1]."""
    best = np.argsort(-logits, axis=1)[:, :k]
    return float((best == labels[:, None]).any(axis=1).mean())


def save_then_rename(save, path):
    """Write beside `path` first, so that a kill leaves the old file whole."""
    partial = path.with_name(f"partial-{path.name}")
    save(partial)
    os.replace(partial, path)


def pretrain(data_dir, build_dir):
    """Train to the end, from wherever the last run stopped.

    Args:
        data_dir: Path of Tiny ImageNet with `train/<wnid>` and `val/<wnid>`.
        build_dir: Path for the checkpoint, the learning curve and the weights.
    """
    build_dir.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(SEED)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    train, train_labels = load_split(data_dir / "train", build_dir / "train.npz")
    val, val_labels = load_split(data_dir / "val", build_dir / "val.npz")
    checkpoint, curve_file = build_dir / "last.keras", build_dir / "curve.json"
    curve = json.loads(curve_file.read_text()) if checkpoint.exists() else []
    network = compile_network(len(train))
    if checkpoint.exists():
        restore(network, checkpoint)
    epochs = len(CROP_PX_BY_EPOCH)
    finished = int(network.optimizer.iterations.numpy()) // (len(train) // BATCH_SIZE)
    for epoch in tqdm(range(finished, epochs), initial=finished, total=epochs):
        start_s = time.monotonic()
        crops = Crops(train, train_labels, CROP_PX_BY_EPOCH[epoch], epoch)
        history = network.fit(crops, verbose=0).history
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
        curve = [*curve[:epoch], row]
        tqdm.write(json.dumps(row))
        text = json.dumps(curve, indent=1)
        save_then_rename(lambda p, text=text: p.write_text(text), curve_file)
        save_then_rename(network.save, checkpoint)
    return network, curve, (val, val_labels)


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
    save_then_rename(
        lambda p: np.savez_compressed(p, **backbone), folder / "embedded.npz"
    )
    text = json.dumps(card, indent=1) + "\n"
    save_then_rename(lambda p: p.write_text(text), folder / "embedded.json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("build_dir", type=Path)
    arguments = parser.parse_args()
    trained, learning_curve, validation = pretrain(
        arguments.data_dir, arguments.build_dir
    )
    export(trained, learning_curve, validation, DATA_DIR)
