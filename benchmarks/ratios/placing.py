"""Where in the image: what a decoder and a detecting head cost, and their score."""

import time

import numpy as np
from rows import Row, compare, interleave

NUM_ROUNDS, STEPS_A_ROUND, BATCH_SIZE = 9, 4, 16
NUM_SCORED, BOXES_AN_IMAGE = 500, 8
SCORE_LIMIT_S = 10


def measure_placing_steps():
    """Compare steps of segmenter and detector with those of plain networks."""
    from tl_helpers import backbones, datasets, dense, finetuning

    backbone, scenes = backbones.load("embedded"), datasets.load("scenes")
    num_classes = len(scenes.class_names)
    models = {
        "bare encoder": _bare(backbone, num_classes + 1),
        "segmenter": dense.segmenter(backbone, num_classes + 1),
        "classifier": finetuning.classifier(backbone, num_classes),
        "detector": dense.detector(backbone, num_classes),
    }
    targets = dict.fromkeys(models, "pixel_labels")
    targets |= {"classifier": "labels", "detector": "boxes"}
    tasks = {name: _steps(m, scenes, targets[name]) for name, m in models.items()}
    spent = interleave(tasks, NUM_ROUNDS)
    raw = {"steps a round": STEPS_A_ROUND, "batch size": BATCH_SIZE, **spent}
    return [
        compare(
            f"s a step: {one} / {other}", spent[one], spent[other], goal, "at most", raw
        )
        for one, other, goal in (
            ("segmenter", "bare encoder", 1.5),
            ("detector", "classifier", 1.3),
        )
    ]


def _bare(backbone, num_classes):
    """An encoder whose last map answers, enlarged to the image: no decoder at all."""
    import keras

    from tl_helpers.dense.segmenter import ResizeLike

    network = keras.models.clone_model(backbone.network)
    network.set_weights(backbone.network.get_weights())
    scores = keras.layers.Conv2D(num_classes, 1)(network.output)
    model = keras.Model(network.input, ResizeLike()([scores, network.input]))
    for layer in model.layers:  # the copies came frozen; the model's own flag is on
        layer.trainable = True
    return model


def _steps(model, scenes, targets):
    """Return a task: some steps of a whole network, as `fit` takes them."""
    import keras

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if hasattr(model, "block_layers"):
        from tl_helpers.finetuning import thaw

        thaw(model, next(iter(model.block_layers)), batch_norm=True)
    model.compile("adam", None if targets == "boxes" else loss)
    some = scenes[: BATCH_SIZE * STEPS_A_ROUND]
    batches = list(some.batches(BATCH_SIZE, targets=targets))
    return lambda: [model.train_on_batch(*batch) for batch in batches]


def measure_average_precision():
    """Seconds that `average_precision` takes beside what pycocotools takes itself."""
    from pycocotools.cocoeval import COCOeval

    from tl_helpers import dense

    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 60, (NUM_SCORED, BOXES_AN_IMAGE, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 30, corners.shape)], 2)
    labels = rng.integers(0, 10, boxes.shape[:2])
    found = [
        dense.Detection(b + rng.normal(size=b.shape), k, rng.random(len(k)))
        for b, k in zip(boxes, labels, strict=True)
    ]
    names = tuple("abcdefghij")
    own = []
    evaluate, accumulate = COCOeval.evaluate, COCOeval.accumulate

    def timed(function):
        def run(self, *arguments):
            start = time.perf_counter()
            function(self, *arguments)
            own.append(time.perf_counter() - start)

        return run

    COCOeval.evaluate, COCOeval.accumulate = timed(evaluate), timed(accumulate)
    try:
        start = time.perf_counter()
        dense.average_precision(found, boxes, labels, names, 96)
        whole = time.perf_counter() - start
    finally:
        COCOeval.evaluate, COCOeval.accumulate = evaluate, accumulate
    beside = whole - sum(own)
    raw = {"whole, s": whole, "pycocotools, s": sum(own), "images": NUM_SCORED}
    name = f"s: AP of {NUM_SCORED} images, beside pycocotools / {SCORE_LIMIT_S}"
    return [Row(name, beside / SCORE_LIMIT_S, 1, "at most", raw)]
