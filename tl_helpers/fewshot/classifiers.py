"""Classifiers that learn from a few frozen features, many episodes at once.

All of them take support, float (E, N, K, d), and query, float (E, N, Q, d), and return
int (E, N, Q), answers in [0, N).
"""

import numpy as np
from scipy.special import softmax

from tl_helpers.inputs import (
    check_not_negative,
    check_numbers,
    check_positive,
    check_whole,
)

LOGISTIC_STEPS = 100


def prototypes(support, query):
    """Nearest class mean, by Euclidean distance.

    Args:
        support: float (E, N, K, d).
        query: float (E, N, Q, d).

    Returns:
        int (E, N, Q), answers in [0, N).

    Raises:
        ValueError: another shape, no shot, values that are not finite, or support and
            query that do not go together.

    Source: Snell et al. 2017 (arXiv:1703.05175).
    """
    return transductive_prototypes(support, query, num_steps=0)


def nearest_neighbour(support, query):
    """Class of the nearest support row, by Euclidean distance.

    Args:
        support: float (E, N, K, d).
        query: float (E, N, Q, d).

    Returns:
        int (E, N, Q), answers in [0, N).
    """
    shots, rows = _centred(support, query)
    nearest = _squared_distances(rows, shots).argmin(-1)  # (E, N*Q), of N*K shots
    return (nearest // support.shape[2]).reshape(query.shape[:-1])


def ridge(support, query, strength=1.0):
    """Linear regression on one-hot classes, in closed form.

    min ||X W - Y||^2 + a ||W||^2 with X centred on the support, which does what a bias
    would do; it is solved for one number a support row and class (the dual), mostly
    fewer than features.

    Args:
        support: float (E, N, K, d).
        query: float (E, N, Q, d).
        strength: > 0, of the penalty: a = strength times the mean squared length of
            the rows of X, so that the unit of the features does not matter.

    Returns:
        int (E, N, Q), answers in [0, N).

    Raises:
        ValueError: as for `prototypes`, or a strength that is not above 0.

    Source: Bertinetto et al. 2019 (arXiv:1805.08136), without its learned scale.
    """
    check_positive(strength=strength)
    shots, rows = _centred(support, query)
    kernel = shots @ shots.swapaxes(1, 2)  # (E, N*K, N*K)
    penalty = _penalty(kernel, strength) * np.eye(kernel.shape[-1], dtype=kernel.dtype)
    duals = np.linalg.solve(kernel + penalty, _one_hot(support)[None])  # (E, N*K, N)
    return _best(rows @ shots.swapaxes(1, 2) @ duals, query)


def logistic(support, query, strength=0.1):
    """Softmax regression without bias on features centred on the support.

    Its optimum is a weighted sum of the support rows. Newton steps with a fixed bound
    in place of the Hessian need one inverse an episode; momentum speeds them up.

    Args:
        support: float (E, N, K, d).
        query: float (E, N, Q, d).
        strength: > 0, as in `ridge`, for sum of cross-entropies + a/2 ||W||^2;
            scikit-learn's C is 1/a. Far below 0.01 the steps do not converge.

    Returns:
        int (E, N, Q), answers in [0, N).

    Raises:
        ValueError: as for `ridge`.

    Source: Boehning 1992, doi:10.1007/BF00048682.
    """
    check_positive(strength=strength)
    shots, rows = _centred(support, query)
    kernel = shots @ shots.swapaxes(1, 2)  # (E, N*K, N*K)
    targets, penalty = _one_hot(support), _penalty(kernel, strength)
    bound = np.linalg.inv(kernel / 2 + penalty * np.eye(len(targets)))
    bound = bound.astype(kernel.dtype)
    duals = before = np.zeros((len(kernel), *targets.shape), kernel.dtype)  # E, N*K, N
    for step in range(LOGISTIC_STEPS):
        ahead = duals + step / (step + 3) * (duals - before)
        slope = softmax(kernel @ ahead, axis=-1) - targets + penalty * ahead
        duals, before = ahead - bound @ slope, duals
    return _best(rows @ shots.swapaxes(1, 2) @ duals, query)  # from (E, N*Q, N)


def fine_tuned_head(support, query, num_steps=100, rate=2.0):
    """Linear softmax head that starts as the prototypes and takes gradient steps.

    Negative squared distances to prototypes c are a linear head, W = 2c, b = -|c|^2.
    From there on plain gradient descent goes down the mean cross-entropy of the
    support. Stopping early holds it back, as the penalty does in `logistic`.

    Args:
        support: float (E, N, K, d); it is brought to mean squared length 1 around its
            mean, so that the unit of the features does not matter.
        query: float (E, N, Q, d).
        num_steps: int >= 0; 0 gives `prototypes`.
        rate: > 0, of learning. Up to 2, the inverse of a bound of the curvature, no
            step makes the cross-entropy larger.

    Returns:
        int (E, N, Q), answers in [0, N).

    Raises:
        ValueError: as for `prototypes`, or steps or a rate out of their range.

    Source: Snell et al. 2017 (arXiv:1703.05175), equation 8, for the start;
        Triantafillou et al. 2020 (arXiv:1903.03096), who tune the encoder too.
    """
    check_whole(0, num_steps=num_steps)
    check_positive(rate=rate)
    shots, rows = _centred(support, query)
    kernel = shots @ shots.swapaxes(1, 2)  # (E, N*K, N*K)
    unit, targets = _penalty(kernel, 1.0), _one_hot(support)
    kernel, rate = kernel / unit, rate / len(targets)
    # W is a weighted sum of the shots: duals (E, N*K, N), bias (E, 1, N)
    duals = 2 / support.shape[2] * targets[None]
    bias = -(duals * (kernel @ duals)).sum(1, keepdims=True) / 4
    for _ in range(num_steps):
        slope = softmax(kernel @ duals + bias, axis=-1) - targets
        duals, bias = duals - rate * slope, bias - rate * slope.sum(1, keepdims=True)
    return _best((rows @ shots.swapaxes(1, 2)) / unit @ duals + bias, query)


def transductive_prototypes(support, query, num_steps=1, sharpness=10.0):
    """Prototypes that move towards the queries, all of which are seen at once.

    Each step weighs every query by softmax(-sharpness * squared distance / its mean)
    and takes the prototypes anew as means of support and weighted queries.

    It gains where shots are very few, clusters are the classes, and queries come in
    equal numbers from all classes, as in episodes; real use seldom knows that. Where
    a class is rare among the queries, its prototype moves towards queries of others,
    and right answers become wrong; so they do where features form other clusters. An
    answer also depends on which other images came along.

    Args:
        support: float (E, N, K, d).
        query: float (E, N, Q, d).
        num_steps: int >= 0; 0 gives `prototypes`.
        sharpness: >= 0; the larger, the more a query counts for its nearest
            prototype alone.

    Returns:
        int (E, N, Q), answers in [0, N).

    Raises:
        ValueError: as for `prototypes`, or steps or a sharpness below 0.

    Source: Ren et al. 2018 (arXiv:1803.00676), with distances made free of units.
    """
    check_whole(0, num_steps=num_steps)
    check_not_negative(sharpness=sharpness)
    shots, rows = _centred(support, query)
    totals = shots.reshape(support.shape).sum(2)  # (E, N, d)
    centres = totals / support.shape[2]
    for _ in range(num_steps):
        distances = _squared_distances(rows, centres)  # (E, N*Q, N)
        mean = distances.mean((1, 2), keepdims=True)
        shares = softmax(-sharpness * distances / np.where(mean > 0, mean, 1), axis=-1)
        counts = support.shape[2] + shares.sum(1)[..., None]  # (E, N, 1)
        centres = (totals + shares.swapaxes(1, 2) @ rows) / counts
    return _best(-_squared_distances(rows, centres), query)


# None of them learns from the queries.
CLASSIFIERS = {
    "prototypes": prototypes,
    "nearest neighbour": nearest_neighbour,
    "ridge": ridge,
    "logistic": logistic,
    "fine-tuned head": fine_tuned_head,
}


def _centred(support, query):
    """Return (E, N*K, d) and (E, N*Q, d), both less the mean of the support.

    No distance changes, and float32 loses nothing to a common offset.
    """
    for name, rows in {"support": support, "query": query}.items():
        check_numbers(name, rows, "(E, N, shots, d)")
    if support.shape[::3] != query.shape[::3]:
        raise ValueError(
            f"Got support of shape {support.shape} and query of shape {query.shape}, "
            "expected (E, N, K, d) and (E, N, Q, d) of the same E and d."
        )
    mean = support.mean((1, 2))[:, None]
    rows = (x.reshape(len(x), -1, x.shape[-1]) for x in (support, query))
    return tuple(x - mean for x in rows)


def _squared_distances(rows, others):
    """(E, m, d), (E, p, d) -> (E, m, p)."""
    squares = (rows**2).sum(-1)[..., None] + (others**2).sum(-1)[:, None]
    return squares - 2 * rows @ others.swapaxes(1, 2)


def _penalty(kernel, strength):
    """Return strength times the mean of the kernel's diagonal, (E, 1, 1)."""
    mean = np.trace(kernel, axis1=1, axis2=2)[:, None, None] / kernel.shape[-1]
    # where all rows of a support are equal, any number above 0 does
    return strength * np.where(mean > 0, mean, 1).astype(kernel.dtype)


def _one_hot(support):
    """Return the support's classes, (N*K, N)."""
    return np.eye(support.shape[1], dtype=support.dtype).repeat(support.shape[2], 0)


def _best(scores, query):
    """Return the class of the highest score, in the shape of the queries."""
    return scores.argmax(-1).reshape(query.shape[:-1])
