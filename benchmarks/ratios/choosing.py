"""What choosing a backbone costs: LogME beside a direct transcription of it."""

import numpy as np
from published_logme import direct_logme
from rows import compare, interleave

NUM_ROUNDS = 15
SHAPES = ((1500, 192), (300, 1280))  # more rows than features, and fewer
NUM_CLASSES = 10


def measure_logme():
    """Compare `logme` with the published algorithm, one class after the other."""
    return [_compare_logme(*shape) for shape in SHAPES]


def _compare_logme(num_rows, num_features):
    from tl_helpers.choosing import logme

    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(num_rows) % NUM_CLASSES)
    centres = rng.normal(size=(NUM_CLASSES, num_features))
    values = centres[labels] + rng.normal(size=(num_rows, num_features))
    tasks = {
        "direct transcription": lambda: direct_logme(values, labels),
        "logme": lambda: logme(values, labels),
    }
    spent = interleave(tasks, NUM_ROUNDS)
    difference = abs(direct_logme(values, labels) - logme(values, labels))
    raw = {"classes": NUM_CLASSES, "difference": float(difference), **spent}
    name = f"s: published LogME / logme, {num_rows} x {num_features}"
    return compare(name, *spent.values(), 1, raw=raw)
