"""What many episodes cost: all of them at once beside one after the other."""

import numpy as np
from rows import compare, interleave

NUM_ROUNDS = 11
EPISODES, WAYS, SHOTS, QUERIES, WIDTH = 200, 5, 5, 15, 192


def measure_episodes():
    """Compare `fewshot.ridge` with loops over the episodes, of two kinds."""
    from tl_helpers import fewshot

    support, query = _episodes()
    ours, fitted, solved = (
        lambda: fewshot.ridge(support, query),
        lambda: np.stack([_fit(*one) for one in zip(support, query, strict=True)]),
        lambda: np.stack([_solve(*one) for one in zip(support, query, strict=True)]),
    )
    equal = min(float(np.mean(ours() == other())) for other in (fitted, solved))
    tasks = {"RidgeClassifier": fitted, "solve": solved, "ridge": ours}
    spent = interleave(tasks, NUM_ROUNDS)
    raw = {"episodes": EPISODES, "share of equal answers": equal, **spent}
    name = f"s: {EPISODES} 5-way 5-shot episodes, {{}} / fewshot.ridge"
    return [
        compare(
            name.format("RidgeClassifier in a loop"),
            spent["RidgeClassifier"],
            spent["ridge"],
            20,
            raw=raw,
        ),
        compare(
            name.format("numpy.linalg.solve in a loop"),
            spent["solve"],
            spent["ridge"],
            None,
        ),
    ]


def _episodes():
    """Support and query of overlapping classes, float32."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(EPISODES, WAYS, 1, WIDTH)) / 3
    return tuple(
        (centres + rng.normal(size=(EPISODES, WAYS, k, WIDTH))).astype("float32")
        for k in (SHOTS, QUERIES)
    )


def _fit(support, query):
    """Answer one episode as a user of scikit-learn would, with the same penalty."""
    from sklearn.linear_model import RidgeClassifier

    shots, labels = support.reshape(-1, WIDTH), np.repeat(np.arange(WAYS), SHOTS)
    strength = ((shots - shots.mean(0)) ** 2).sum(1).mean()
    model = RidgeClassifier(strength).fit(shots, labels)
    return model.predict(query.reshape(-1, WIDTH)).reshape(WAYS, QUERIES)


def _solve(support, query):
    """Answer one episode by its normal equations."""
    shots = support.reshape(-1, WIDTH)
    mean, targets = shots.mean(0), np.repeat(np.eye(WAYS, dtype="float32"), SHOTS, 0)
    shots = shots - mean
    strength = (shots**2).sum(1).mean()
    kernel = shots @ shots.T + strength * np.eye(len(shots), dtype="float32")
    weights = shots.T @ np.linalg.solve(kernel, targets)
    return ((query - mean) @ weights).argmax(-1)
