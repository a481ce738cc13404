"""How the losses of several tasks become one."""

from keras import ops

from tl_helpers.inputs import check_tensor


def uncertainty_terms(losses, log_variances, is_regression):
    """Weigh each task by a learned variance.

    term = exp(-s) x loss / 2 + s / 2   regression
    term = exp(-s) x loss     + s / 2   classification

    with s = log(variance), free of sign. A term is least at s = log(loss) in
    regression and at s = log(2 x loss) in classification: a task with a large loss
    counts less, and s / 2 keeps the model from calling everything uncertain.

    Args:
        losses: float32 (tasks,), >= 0.
        log_variances: float32 (tasks,), s.
        is_regression: (tasks,) of bool. The paper derives the first line for a
            squared distance and uses it for absolute ones too, as is done here.

    Returns:
        float32 (tasks,), which may be negative; their sum is the loss.

    Source: Kendall, Gal & Cipolla 2018 (arXiv:1705.07115), equations 5 and 10.
    """
    check_tensor("is_regression", is_regression, "(tasks,)")
    shape = f"({len(is_regression)},)"
    check_tensor("losses", losses, shape)
    check_tensor("log_variances", log_variances, shape)
    shares = ops.where(ops.convert_to_tensor(is_regression, "bool"), 0.5, 1.0)
    losses = ops.convert_to_tensor(losses, "float32")
    log_variances = ops.convert_to_tensor(log_variances, "float32")
    return shares * ops.exp(-log_variances) * losses + log_variances / 2
