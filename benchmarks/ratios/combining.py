"""LoRA beside full fine-tuning, in time and memory, and a soup beside one model."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from rows import Row, compare, interleave

NUM_ROUNDS, STEPS_A_ROUND = 15, 5
BATCH_SIZE, RANK, RATE = 32, 4, 1e-3
NUM_MEMORY_ROUNDS = 3
WAYS = ["answers", "lora", "full"]
NUM_ANSWERED, NUM_INGREDIENTS = 512, 3
SIZES_PX = {"embedded": 64, "MobileNetV2": 96}


def measure_lora_step():
    """Compare training steps of LoRA and of all weights."""
    rows = []
    for name in _backbones():
        images, labels = batch(name)

        def steps(model, images=images, labels=labels):
            return lambda: [
                model.train_on_batch(images, labels) for _ in range(STEPS_A_ROUND)
            ]

        tasks = {way: steps(made(name, way)) for way in ("lora", "full")}
        spent = interleave(tasks, NUM_ROUNDS)
        raw = {"steps a round": STEPS_A_ROUND, "batch size": BATCH_SIZE, **spent}
        title = f"s a step: LoRA of rank {RANK} / full fine-tuning, {name}"
        rows.append(compare(title, spent["lora"], spent["full"], 1.0, "at most", raw))
    return rows


def measure_lora_memory():
    """Compare the peak memory of processes that train, and what training adds."""
    rows = []
    for name in _backbones():
        ways = WAYS * NUM_MEMORY_ROUNDS
        script = Path(__file__).with_name("lora_memory.py")
        command = [sys.executable, script, name, *ways]
        peaks = json.loads(subprocess.check_output(command))
        answers, lora, full = np.reshape(peaks, (-1, len(WAYS))).T
        raw = {"ways": ways, "bytes": peaks}
        title = f"peak bytes: LoRA of rank {RANK} / full fine-tuning, {name}"
        shares = lora / full, (lora - answers) / (full - answers)
        own, added = (tuple(map(float, share)) for share in shares)
        rows += [
            Row(title, float(np.median(own)), 0.8, "at most", raw, own),
            Row(
                f"{title}, beyond answers", float(np.median(added)), None, rounds=added
            ),
        ]
    return rows


def measure_soup():
    """Compare answers of a soup and of an ensemble with those of one model."""
    from tl_helpers import combining
    from tl_helpers.training import predict_logits

    models = [made("embedded", "full") for _ in range(NUM_INGREDIENTS)]
    images = batch("embedded", NUM_ANSWERED)[0]
    answering = {
        "one": models[0],
        "soup": combining.soup(models),
        "ensemble": combining.ensemble(models),
    }
    tasks = {
        name: lambda model=model: predict_logits(model, images)
        for name, model in answering.items()
    }
    spent = interleave(tasks, NUM_ROUNDS)
    raw = {"images": NUM_ANSWERED, "models": NUM_INGREDIENTS, **spent}
    names = {
        name: f"s: answers of {article} {name} of {NUM_INGREDIENTS} / of one model"
        for name, article in {"soup": "a", "ensemble": "an"}.items()
    }
    return [
        compare(names["soup"], spent["soup"], spent["one"], 1.05, "at most", raw),
        compare(names["ensemble"], spent["ensemble"], spent["one"], None),
    ]


def made(name, way):
    """Build a classifier that trains LoRA's factors, or everything.

    Args:
        name: str, of a backbone.
        way: "lora" or "full".

    Returns:
        Classifier, compiled.
    """
    import keras

    from tl_helpers import backbones, finetuning

    backbone = backbones.load(name)
    model = finetuning.classifier(backbone, 10)
    if way == "lora":
        finetuning.add_lora(model, RANK)
    else:
        finetuning.thaw(model, backbone.blocks[0])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(RATE), loss)
    return model


def batch(name, number=BATCH_SIZE):
    """Draw images of noise in the size that suits a backbone, and labels.

    Args:
        name: str, of the backbone.
        number: int.

    Returns:
        (float32 (number, height, width, 3), RGB, [0, 255]; int (number,), below 10).
    """
    rng = np.random.default_rng(0)
    size_px = SIZES_PX[name]
    images = rng.integers(0, 256, (number, size_px, size_px, 3)).astype("float32")
    return images, np.arange(number) % 10


def _backbones():
    """Names of the backbones; MobileNetV2 needs ImageNet's weights on a mirror."""
    from tl_helpers import profiles

    return list(SIZES_PX) if profiles.mirror_dir() else ["embedded"]
