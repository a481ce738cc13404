"""What an attack raises: one number an image, with a gradient everywhere."""

from keras import ops


def margin(labels, logits):
    """How far the best wrong logit lies above the true one: > 0 where the answer is.

    Args:
        labels: int (n,).
        logits: float32 (n, classes), classes >= 2.

    Returns:
        float32 (n,), a tensor.

    Source: Carlini & Wagner 2017 (arXiv:1608.04644).
    """
    true, others = _true_and_others(labels, logits)
    return ops.max(others, axis=-1) - true


def log_odds(labels, logits):
    """Logarithm of the probability of all wrong classes over that of the true one.

    Cross-entropy is softplus of it, so both point the same way. But where a model is
    sure of its answer, from a logit of 17 above the others, cross-entropy forgets the
    true class in float32, and then all of its gradient: an attack would go astray.

    Args:
        labels: int (n,).
        logits: float32 (n, classes), classes >= 2.

    Returns:
        float32 (n,), a tensor, unbounded.
    """
    true, others = _true_and_others(labels, logits)
    return ops.logsumexp(others, axis=-1) - true


def squared_distance(old, new):
    """Return (n,), mean squared difference of features (n, ...) of two images."""
    return ops.mean(ops.square(new - old), axis=tuple(range(1, len(old.shape))))


def log_odds_and_margin(labels, logits):
    """Return what a plain attack climbs, and what it keeps the worst of: both (n,)."""
    return log_odds(labels, logits), margin(labels, logits)


def _true_and_others(labels, logits):
    """Return the true logit (n,), and all logits without it, -1e30 in its place."""
    logits = ops.cast(logits, "float32")
    is_true = ops.one_hot(ops.cast(labels, "int32"), logits.shape[-1], dtype="bool")
    true = ops.sum(ops.where(is_true, logits, 0.0), axis=-1)
    return true, ops.where(is_true, -1e30, logits)
