"""Ratios against the plain ways, measured side by side; writes build/bench.json.

    python benchmarks/ratios/run.py [--only NAME]

Ends with 1 where a goal is missed for sure; "unsure" says that the rounds fall on both
sides of it. Beside each ratio of times stand the share of system time and the page
faults of both sides. A whole run that was interrupted goes on where it stopped, unless
code has changed. A run of one benchmark prints its rows and leaves the file alone,
which always holds a whole run.
"""

import argparse
import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import adapting
import attacking
import augmenting
import choosing
import combining
import episodes
import extracting
import hub_layer
import numpy as np
import placing
import streaming
import training
from rows import (
    Row,
    Spent,
    compare,
    describe_machine,
    format_table,
    interleave,
    measure,
    median_s,
    write_json,
)
from tqdm import tqdm

from tl_helpers.storage import whole_or_nothing

ROOT = Path(__file__).resolve().parents[2]
NUM_ROUNDS = 7
NUM_SINGLE_IMAGES = 100
NUM_EPOCHS = 20
FIT_BATCH_SIZE = 128
SEEDS = (0, 1, 2)
IMPORT_LIMIT_S = 0.3
FEW_FILES, MANY_FILES = 20_000, 60_000  # apart by more than what one run varies
NUM_MEMORY_ROUNDS = 3
FEATURES_BYTES = 192 * 4  # of one image: the embedded backbone's last block, float32
# Allowance for a file's path (84 bytes), its place and label (16) and its remembered
# digest (104), and for what the allocator loses by rounding such small pieces up.
PATH_BYTES = 384
NOTEBOOK_LIMIT_S = 45
ALLOCATOR = {"MALLOC_TOP_PAD_": str(64 * 2**20)}  # bytes kept beyond what is in use


def measure_single_images():
    """Compare `features.compute` with a loop of `predict` over single images."""
    from tl_helpers import features

    world = _world()
    model, pixels = world.backbone.extractor(), world.images.pixels()
    share = NUM_SINGLE_IMAGES / len(pixels)

    def loop():
        for image in pixels[:NUM_SINGLE_IMAGES]:
            model.predict(image[None], verbose=0)

    tasks = {
        "loop": loop,
        "compute": lambda: features.compute(world.backbone, world.images),
    }
    spent = interleave(tasks, num_rounds=5)
    raw = {"images in loop": NUM_SINGLE_IMAGES, "images": len(pixels), **spent}
    loop_of_all = [Spent(*(x / share for x in one)) for one in spent["loop"]]
    name = "images/s: features.compute / loop of predict"
    return [compare(name, loop_of_all, spent["compute"], 4, raw=raw)]


def measure_cached_probe():
    """Compare a head on cached features with a head on the frozen backbone."""
    rounds = [_fit_both_ways(seed) for seed in SEEDS]
    raw = {name: [one[name] for one in rounds] for name in rounds[0]}
    frozen, probe = raw["frozen fit"], raw["probe fit"]
    pairs = zip(raw["extraction"], probe, strict=True)
    both = [Spent(*map(sum, zip(*pair, strict=True))) for pair in pairs]
    gap = abs(np.mean(raw["frozen accuracy"]) - np.mean(raw["probe accuracy"]))
    raw |= {"images": len(_world().train), "epochs": NUM_EPOCHS}
    name = "s: fit through frozen backbone / probe on cached features"
    return [
        compare(name, frozen, probe, 10, raw=raw),
        compare(f"{name}, extraction too", frozen, both, None),
        Row("accuracy: |frozen - probe|, mean of seeds", float(gap), 0.01, "at most"),
    ]


def _fit_both_ways(seed):
    """Return {quantity: number} of one seed, both ways right after each other."""
    from tl_helpers import features

    world, cached = _world(), []
    frozen, frozen_fit = _fit(_head_on_backbone, world.train.images, seed)
    extraction = measure(
        lambda: cached.append(features.compute(world.backbone, world.train))
    )
    probe, probe_fit = _fit(_head_alone, cached[0], seed)
    test_values = features.compute(world.backbone, world.test)
    return {
        "frozen fit": frozen_fit,
        "extraction": extraction,
        "probe fit": probe_fit,
        "frozen accuracy": _accuracy(frozen, world.test.images),
        "probe accuracy": _accuracy(probe, test_values),
    }


def _head_alone():
    from tl_helpers import probes

    world = _world()
    return probes.linear_head(world.width, len(world.train.class_names))


def _head_on_backbone():
    import keras

    world = _world()
    images = keras.Input(world.train.images.shape[1:])
    values = world.backbone.extractor()(images, training=False)
    return keras.Model(images, _head_alone()(values))


def _fit(build, inputs, seed):
    """Build, compile and fit as every learner would; return model and Spent."""
    import keras

    keras.utils.set_random_seed(seed)
    model = build()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    labels = _world().train.labels
    settings = {"batch_size": FIT_BATCH_SIZE, "epochs": NUM_EPOCHS, "verbose": 0}

    def fit():
        model.compile("adam", loss, metrics=["accuracy"])
        model.fit(inputs, labels, **settings)

    return model, measure(fit)


def _accuracy(model, inputs):
    guesses = model.predict(inputs, verbose=0).argmax(axis=1)
    return float(np.mean(guesses == _world().test.labels))


def measure_cache_hit():
    """Compare a second `features.extract` with computing the features."""
    from dataclasses import replace

    from tl_helpers import features

    world = _world()

    def copy():  # equal content, not hashed yet
        return replace(world.images, images=world.images.images.copy())

    ready = [copy() for _ in range(NUM_ROUNDS + 1)]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TL_CACHE_DIR"] = folder
        features.extract(world.backbone, world.images)
        tasks = {
            "compute": lambda: features.compute(world.backbone, world.images),
            "cached": lambda: features.extract(world.backbone, ready.pop()),
        }
        spent = interleave(tasks, NUM_ROUNDS)
        del os.environ["TL_CACHE_DIR"]
    raw = {"images": len(world.images), **spent}
    name = "s: features.compute / second features.extract"
    return [compare(name, *spent.values(), 50, raw=raw)]


def measure_import():
    """Time `import tl_helpers` in fresh interpreters and list what it loads."""

    def python(code):
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE)
        return done.stdout.decode().split()

    tasks = {
        "bare interpreter": lambda: python("pass"),
        "import tl_helpers": lambda: python("import tl_helpers"),
    }
    spent = interleave(tasks, NUM_ROUNDS)
    bare_s = median_s(spent["bare interpreter"])
    rounds = [
        max(0, x.seconds - bare_s) / IMPORT_LIMIT_S for x in spent["import tl_helpers"]
    ]
    loaded = python("import tl_helpers, sys; print(*sys.modules)")
    heavy = [name for name in loaded if name in ("tensorflow", "keras", "jax")]
    name = f"s: import tl_helpers / {IMPORT_LIMIT_S} s"
    return [
        Row(name, float(np.median(rounds)), 1, "at most", spent, tuple(rounds)),
        Row("frameworks loaded by import tl_helpers", len(heavy), 0, "at most"),
    ]


def measure_peak_memory():
    """Compare the growth of peak memory with the growth of the features."""
    counts = [FEW_FILES, MANY_FILES] * NUM_MEMORY_ROUNDS
    command = [
        sys.executable,
        ROOT / "benchmarks/ratios/peak_memory.py",
        *map(str, counts),
    ]
    peaks = json.loads(subprocess.check_output(command))
    few, many = peaks[::2], peaks[1::2]
    own = (MANY_FILES - FEW_FILES) * FEATURES_BYTES
    rounds = [(one - other) / own for one, other in zip(many, few, strict=True)]
    goal = (FEATURES_BYTES + PATH_BYTES) / FEATURES_BYTES
    name = f"peak bytes: {MANY_FILES} - {FEW_FILES} files / the features' own"
    raw = {
        f"{FEW_FILES} files, bytes": few,
        f"{MANY_FILES} files, bytes": many,
        "allowance for path, label and digest, bytes a file": PATH_BYTES,
    }
    return [Row(name, float(np.median(rounds)), goal, "at most", raw, tuple(rounds))]


def measure_course():
    """Time the whole quick course and its slowest notebook."""
    from tl_helpers.tools import course

    try:
        outcomes = course.run_course(ROOT / "notebooks", ROOT / "build/course", "quick")
    except FileNotFoundError as error:
        tqdm.write(str(error))
        return []
    seconds = {outcome.name: outcome.duration_s for outcome in outcomes}
    slowest = max(seconds, key=seconds.get)
    failed = [outcome.name for outcome in outcomes if outcome.error]
    total = sum(seconds.values())
    minutes, limit = (x / 60 for x in (total, NOTEBOOK_LIMIT_S * len(seconds)))
    return [
        Row(
            f"minutes: quick course / {limit:g}",
            minutes / limit,
            1,
            "at most",
            {"minutes": minutes, "notebooks, s": seconds},
        ),
        Row(
            f"s: slowest notebook ({slowest}) / {NOTEBOOK_LIMIT_S}",
            seconds[slowest] / NOTEBOOK_LIMIT_S,
            1,
            "at most",
        ),
        Row("notebooks that failed", len(failed), 0, "at most", {"failed": failed}),
    ]


# The course comes last, behind everything that does not need it.
BENCHMARKS = {
    "import": measure_import,
    "extraction": extracting.measure_extraction,
    "single_images": measure_single_images,
    "cache_hit": measure_cache_hit,
    "cached_probe": measure_cached_probe,
    "peak_memory": measure_peak_memory,
    "block_rates": training.measure_block_rates,
    "staged_thaw": training.measure_staged_thaw,
    "augmentation": augmenting.measure_augmentation,
    "augmented_fit": augmenting.measure_augmented_fit,
    "hub_layer": hub_layer.measure_hub_layer,
    "logme": choosing.measure_logme,
    "dann_step": adapting.measure_dann_step,
    "discrepancy_steps": adapting.measure_discrepancy_steps,
    "cached_adaptation": adapting.measure_cached_features,
    "dann_peer": adapting.measure_peer,
    "episodes": episodes.measure_episodes,
    "placing_steps": placing.measure_placing_steps,
    "average_precision": placing.measure_average_precision,
    "grad_cam": attacking.measure_grad_cam,
    "pgd_step": attacking.measure_pgd_step,
    "tent_step": streaming.measure_tent_step,
    "lora_step": combining.measure_lora_step,
    "lora_memory": combining.measure_lora_memory,
    "soup": combining.measure_soup,
    "course": measure_course,
}


@cache
def _world():
    """Load the images and the backbone that several benchmarks share."""
    from tl_helpers import backbones, datasets

    images = datasets.load("solids")
    train, test = datasets.split(images, 0.75, 0.25)
    backbone = backbones.load("embedded")
    width = backbone.extractor().output_shape[-1]
    return SimpleNamespace(
        images=images, train=train, test=test, backbone=backbone, width=width
    )


def keep_memory():
    """Start anew with an allocator that keeps what it was given back, once.

    glibc hands memory back to Linux and asks for it again, in some programs in every
    step: one spent half of its time on 23,000 page faults a step, with any library. It
    reads its settings when a process starts; the benchmarks' own processes inherit
    them, so both sides of every ratio have the same. Elsewhere they mean nothing.
    """
    if not ALLOCATOR.items() <= os.environ.items():
        os.execve(sys.executable, sys.orig_argv, os.environ | ALLOCATOR)


def use_all_cores():
    """Give both sides of every ratio the same threads: one for each usable core."""
    cores = str(len(getattr(os, "sched_getaffinity", lambda _: range(2))(0)))
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ.setdefault(name, cores)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def main(arguments=None):
    """Run the benchmarks; return 0 where every goal is met, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", choices=BENCHMARKS, help="run this one, write nothing"
    )
    only = parser.parse_args(arguments).only
    use_all_cores()
    rows, done = [], None if only else ROOT / "build/bench" / state_of_code()
    for name in (bar := tqdm([only] if only else list(BENCHMARKS), unit="benchmark")):
        bar.set_description(name)
        rows += BENCHMARKS[name]() if only else kept(done / name, BENCHMARKS[name])
    print(format_table(rows), "", describe_machine(), sep="\n")
    if not only:
        write_json(rows, ROOT / "build/bench.json", describe_machine())
        shutil.rmtree(done.parent)
    return int(any(row.verdict == "NO" for row in rows))


def state_of_code():
    """Hash of all that is measured or measures, as hex digits."""
    digest = hashlib.sha256()
    for folder in ("tl_helpers", "benchmarks", "notebooks"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".ipynb"):
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def kept(path, measure):
    """Return what an earlier run wrote there, or measure it and write it.

    Args:
        path: Path of a file, written as a whole.
        measure: callable that returns a list of Row.

    Returns:
        list of Row.
    """
    if path.exists():
        return pickle.loads(path.read_bytes())
    rows = measure()
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_or_nothing(path) as part:
        part.write_bytes(pickle.dumps(rows))
    return rows


if __name__ == "__main__":
    keep_memory()
    sys.exit(main())
