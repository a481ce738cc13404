"""`tl-helpers fit` on folders of real photographs: what it chose, and what it missed.

    python benchmarks/studies/fitting.py [--seeds 0] [--table]

Needs the real data and ImageNet's weights (`TL_DATA_DIR`, `KERAS_HOME`). Of every data
set a few images a class are written into a folder, as a person would have them (of
magnetic tiles one photograph a tile), and the command's own function is called with one
backbone at a time. Afterwards, in hindsight, every strategy is asked the same test
images: a probe behind each of the last three blocks, and fine-tuning at the chosen one.
Regret is the best of them minus the chosen one; the best of several looks better than
it is, so regret is a little too large. Every run leaves a file in build/fitting and is
not repeated.
"""

import time

import numpy as np
from PIL import Image
from runs import BUILD, run_once, seeds_asked, study

from tl_helpers import backbones, datasets, profiles, training
from tl_helpers.evaluation import binomial_interval
from tl_helpers.features import extract
from tl_helpers.fitting import fit_folder, write_report
from tl_helpers.fitting.candidates import NUM_BLOCKS, size_of
from tl_helpers.fitting.tuning import fine_tuned, probe_classifier

SETS = {  # name: part, images a class
    "pacs": ("photo", 24),
    "cats_and_dogs": ("all", 60),
    "magnetic_tile": ("all", 24),
    "flowers": ("all", 24),
}
SIZE_PX = 128
MINUTES = {"embedded": 3, "MobileNetV2": 1}


def write_folder(name, seed):
    """Write a few images a class into a folder; return its Path."""
    part, per_class = SETS[name]
    images = datasets.load(name, part, SIZE_PX)
    groups = images.extras.get("group", np.arange(len(images)))
    rng = np.random.default_rng(seed)
    folder = BUILD / "fitting_folders" / f"{name}_{seed}"
    for label, class_name in enumerate(images.class_names):
        rows = rng.permutation(np.flatnonzero(images.labels == label))
        first = np.sort(np.unique(groups[rows], return_index=True)[1])
        for row in rows[first][:per_class]:
            (folder / class_name).mkdir(parents=True, exist_ok=True)
            pixels = images.pixels([row])[0]
            Image.fromarray(pixels).save(folder / class_name / f"{row:05d}.png")
    return folder


def run(name, backbone_name, seed):
    """Fit, then ask every strategy in hindsight."""
    profiles.start(seed)
    start_s = time.perf_counter()
    folder = write_folder(name, seed)
    out = BUILD / "fitting_reports" / f"{name}_{backbone_name}_{seed}"
    minutes = MINUTES[backbone_name]
    names = [backbone_name]
    fitted = fit_folder(folder, out, backbone_names=names, minutes=minutes, seed=seed)
    write_report(fitted, out / "report.html")
    minutes = (time.perf_counter() - start_s) / 60
    facts = fitted.facts
    block = facts["choice"]["chosen"][1]
    chosen = f"{facts['chosen']}, {block}"
    accuracies = hindsight(fitted, backbone_name, block, seed)
    accuracies[chosen] = facts["test"]["right"] / facts["test"]["num"]
    return {
        "chosen": chosen,
        "accuracies": accuracies,
        "test": [facts["test"]["right"], facts["test"]["num"]],
        "minutes": minutes,
        "headline": facts["test"]["interval"],
    }


def hindsight(fitted, backbone_name, block, seed):
    """Return {strategy: test accuracy}."""
    backbone, found = backbones.load(backbone_name), {}
    test = fitted.test.resized(size_of(backbone_name))
    for one in backbone.blocks[-NUM_BLOCKS:]:
        features = extract(backbone, fitted.train, one)
        model = probe_classifier(backbone, features, one, seed)
        found[f"probe, {one}"] = training.accuracy(model, test)
    model = fine_tuned(backbone, block, fitted.train, seed=seed)
    found[f"fine-tuning, {block}"] = training.accuracy(model, test)
    return found


def row(result):
    """Return one line of the table."""
    right, number = result["test"]
    low, high = binomial_interval(right, number)
    best = max(result["accuracies"], key=result["accuracies"].get)
    top = result["accuracies"][best]
    cells = [
        result["name"],
        result["chosen"],
        f"{100 * right / number:.0f} ({100 * low:.0f} to {100 * high:.0f})",
        f"{100 * top:.0f} ({best})",
        f"{100 * (top - right / number):.1f}",
        f"{result['minutes']:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def main():
    """Run what is missing and print the table."""
    results = study("fitting", sets=SETS, minutes=MINUTES, blocks=NUM_BLOCKS)
    for seed in seeds_asked(__doc__, default=(0,)):
        for backbone_name in MINUTES:
            for name in SETS:
                run_once(
                    results,
                    f"{name}, {backbone_name}",
                    seed,
                    lambda seed, x=(name, backbone_name): run(*x, seed),
                )
    print("| folder, backbone | chosen | test % | best in hindsight % | regret | min |")
    print("|---|---|---|---|---|---|")
    for result in results.all():
        print(row(result))


if __name__ == "__main__":
    main()
