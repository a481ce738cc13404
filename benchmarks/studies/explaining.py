"""Maps of why, held against masks of magnetic tiles' defects, with MobileNetV2.

    python benchmarks/studies/explaining.py [--seeds 0 1 2] [--table]

Needs the real data and ImageNet's weights (`TL_DATA_DIR`, `KERAS_HOME`). The network is
fine-tuned to tell tiles with a defect from tiles without; it never sees a mask. A seed
cuts the tiles anew, all photographs of one tile on one side. Then every map of a test
tile with a defect is held against its mask: the share of the map's energy that lies in
it, and whether the highest value does (the pointing game). Controls: an even map, whose
share is that of the defect's pixels; the middle of the image; and the maps of a network
whose weights were all drawn anew. Every run leaves a file in build/explaining and is
not repeated.
"""

from dataclasses import replace
from functools import cache

import keras
import numpy as np
from runs import run_once, seeds_asked, study
from surfaces import SIZE_PX, defects, tiles

from tl_helpers import (
    backbones,
    evaluation,
    explanation,
    features,
    finetuning,
    probes,
    training,
)

BATCH_SIZE, STEPS, RATE = 16, 150, 1e-4
PATCH_PX, STRIDE_PX = 32, 16


@cache
def kept():
    """Results of this study with these knobs."""
    knobs = {"batch_size": BATCH_SIZE, "steps": STEPS, "rate": RATE}
    return study("explaining", size_px=SIZE_PX, patch_px=PATCH_PX, **knobs)


def with_or_without(images):
    """Two classes of tiles in the place of a class for every kind of defect."""
    mask = defects(images.extras["pixel_labels"])
    return replace(
        images,
        labels=mask.any(axis=(1, 2)).astype(int),
        class_names=("free", "defect"),
        extras={"mask": mask},
    )


def trained(train, seed):
    """A probe's answers first, then all but BatchNormalization learns."""
    backbone = backbones.load("MobileNetV2")
    model = finetuning.classifier(backbone, 2)
    probe = probes.fit_probe(features.extract(backbone, train)).best_estimator_
    finetuning.start_from_probe(model, probe)
    finetuning.thaw(model, next(iter(model.block_layers)))
    schedule = training.warmup_cosine(RATE, STEPS)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(schedule), loss)
    training.fit_steps(model, train, STEPS, BATCH_SIZE, seed)
    return model


def maps_of(model, images, seed):
    """{name: maps (n, height, width)} of the class "defect"."""
    classes = np.ones(len(images), int)
    blocks = list(model.block_layers)
    shape = (len(images), SIZE_PX, SIZE_PX)
    away = np.arange(SIZE_PX) - (SIZE_PX - 1) / 2
    middle = np.maximum(0, SIZE_PX / 4 - np.hypot(away[:, None], away))
    drawn = explanation.randomise_weights(model, blocks[0], seed)
    occluded = explanation.occlusion(model, images, classes, PATCH_PX, STRIDE_PX)
    return {
        "even": np.ones(shape),
        "middle": np.broadcast_to(middle, shape),
        "Grad-CAM, weights drawn anew": explanation.grad_cam(drawn, images, classes),
        "Grad-CAM, last block": explanation.grad_cam(model, images, classes),
        "Grad-CAM, earlier block": explanation.grad_cam(
            model, images, classes, blocks[-3]
        ),
        "occlusion": np.maximum(occluded, 0),
        "integrated gradients": np.abs(
            explanation.integrated_gradients(model, images, classes)
        ),
    }


def measure(seed):
    """Everything of one seed."""
    keras.utils.set_random_seed(seed)
    train, test = map(with_or_without, tiles(seed))
    model = trained(train, seed)
    logits = training.predict_logits(model, test)
    found = {
        "accuracy": float((logits.argmax(axis=1) == test.labels).mean()),
        "auc": float(evaluation.roc_auc(logits[:, 1] - logits[:, 0], test.labels)),
    }
    explained = test[test.labels == 1]
    masks = explained.extras["mask"]
    for name, maps in maps_of(model, explained, seed).items():
        energy = explanation.energy_inside(maps, masks).inside
        points = explanation.pointing_game(maps, masks).inside
        found[f"{name}: energy"] = float(energy.mean())
        found[f"{name}: points"] = float(points.mean())
    return found


def table():
    """Return Markdown: mean and deviation over the seeds."""
    runs = kept().all()

    def cell(key):
        return str(evaluation.summarise([run[key] for run in runs]))

    lines = ["| map | energy in the mask | highest value in it |", "|---|---|---|"]
    names = [key[: -len(": energy")] for key in runs[0] if key.endswith(": energy")]
    for name in names:
        lines.append(
            f"| {name} | {cell(f'{name}: energy')} | {cell(f'{name}: points')} |"
        )
    lines += ["", f"Accuracy {cell('accuracy')}, AUC {cell('auc')}."]
    return "\n".join(lines)


def main():
    """Run what is missing, print the table."""
    for seed in seeds_asked(__doc__):
        run_once(kept(), "tiles", seed, measure)
        keras.backend.clear_session()
    print(table())


if __name__ == "__main__":
    main()
