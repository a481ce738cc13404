"""A loss that keeps fine-tuning near its start; pure, on tensors."""

from keras import ops

from tl_helpers.inputs import check_kind, check_not_negative


def l2_sp(weights, start_weights, head_weights=(), alpha=0.1, beta=0.01):
    """Squared distance to the weights that fine-tuning started from.

    loss = alpha / 2 * sum ||w - w_start||^2 + beta / 2 * sum ||w_head||^2

    Args:
        weights: list of n tensors of any shapes, the backbone's.
        start_weights: list of n arrays of the same shapes: their values at the start.
        head_weights: list of tensors that have no start worth keeping.
        alpha: float >= 0, pull to the start.
        beta: float >= 0, pull of the head to zero.

    Returns:
        float32 scalar, >= 0; 0 at the start with an empty or zero head.

    Raises:
        ValueError: the two lists differ in length, or a pull is below 0.

    Source: Li, Grandvalet & Davoine 2018 (arXiv:1802.01483), equation 2.
    """
    check_kind(list, tuple, weights=weights, start_weights=start_weights)
    check_kind(list, tuple, head_weights=head_weights)
    check_not_negative(alpha=alpha, beta=beta)
    if len(weights) != len(start_weights):
        raise ValueError(
            f"Got {len(weights)} weights and {len(start_weights)} start weights, "
            "expected one start for each; take both lists from the same layers."
        )
    moved = [ops.sum(ops.square(w - s)) for w, s in zip(weights, start_weights)]  # noqa: B905
    size = [ops.sum(ops.square(w)) for w in head_weights]
    return 0.5 * (alpha * sum(moved) + beta * sum(size))
