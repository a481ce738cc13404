"""Losses between two batches: covariances, kernel means, class probabilities."""

from keras import ops

from tl_helpers.inputs import check_flag, check_numbers, check_positive, check_tensor

_KERNEL_WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # times the mean squared distance
_MIN_SQUARED_DISTANCE = 1e-7  # below it the rows count as equal: no division by zero


def coral_loss(source, target):
    """Distance between source and target feature covariances.

    loss = ||C_s - C_t||_F^2 / (4 d^2), with C divided by n - 1.

    It costs O((n_source + n_target) d^2) operations and O(d^2) memory. Where the
    number of rows is known only while training, a batch of a single row counts as
    having covariance 0.

    Args:
        source: float (n_source, d), or maps (n_source, height, width, d), which are
            averaged over height and width first; dimensionless.
        target: float (n_target, d), or maps, as source.

    Returns:
        float32 scalar (), >= 0; 0 when the covariances match.

    Raises:
        ValueError: widths differ, or either batch has fewer than 2 rows.

    Source: Sun & Saenko 2016 (arXiv:1607.01719).
    """
    source, target = _matching_rows(source, target, min_rows=2)
    difference = _covariance(source) - _covariance(target)
    return ops.sum(ops.square(difference)) / (4.0 * source.shape[-1] ** 2)


def mmd_loss(source, target, bandwidths=None, unbiased=False):
    """Maximum mean discrepancy: squared distance between two kernel means.

    loss = mean k(s, s') + mean k(t, t') - 2 mean k(s, t)

    k(x, y) is the mean over the bandwidths b of exp(-||x - y||^2 / b). By default
    they are 1/4, 1/2, 1, 2 and 4 times the mean squared distance between two
    different rows of both batches together. No gradient flows through that mean.

    It costs O(n^2 d) operations and O(n^2) memory, with n = n_source + n_target.

    Args:
        source: float (n_source, d), or maps (n_source, height, width, d), which are
            averaged over height and width first; dimensionless.
        target: float (n_target, d), or maps, as source.
        bandwidths: None, or a sequence of floats > 0 in squared units of the features.
        unbiased: leave out every row's kernel with itself (U-statistic), so that the
            mean over many batches is the populations' own value. The default keeps it
            (V-statistic).

    Returns:
        float32 scalar (): at least 0 and 0 for the same rows; around 0, also below
        it, where unbiased.

    Raises:
        ValueError: widths differ, a batch is too small (fewer than 1 row, or 2 where
            unbiased), or a bandwidth is not positive.

    Source: Gretton et al. 2012, A Kernel Two-Sample Test (JMLR 13); several kernels
    with bandwidths 2^k apart: Long et al. 2015 (arXiv:1502.02791) and its code.
    """
    check_flag(unbiased=unbiased)
    source, target = _matching_rows(source, target, min_rows=2 if unbiased else 1)
    rows = ops.concatenate([source, target])  # (n_source + n_target, d) = (n, d)
    kernel = _kernel(_squared_distances(rows), bandwidths)  # (n, n)
    split = ops.shape(source)[0]
    within_source = _within(kernel[:split, :split], unbiased)
    within_target = _within(kernel[split:, split:], unbiased)
    loss = within_source + within_target - 2.0 * ops.mean(kernel[:split, split:])
    return loss if unbiased else ops.relu(loss)  # rounding may go below 0


def entropy(logits):
    """Uncertainty of every row's class probabilities, H = -sum_c p_c log p_c.

    Args:
        logits: float (n, num_classes).

    Returns:
        float32 (n,), in nats, from 0 (certain) to log(num_classes) (uniform).
    """
    log_probabilities = _log_softmax(logits)
    return -ops.sum(ops.exp(log_probabilities) * log_probabilities, axis=-1)


def divergence(teacher_logits, logits):
    """Kullback-Leibler divergence of every row, sum_c p_c (log p_c - log q_c).

    Gradients flow into both; stop them in the teacher where it is not to learn.

    Args:
        teacher_logits: float (n, num_classes), of p.
        logits: float (n, num_classes), of q.

    Returns:
        float32 (n,), in nats: 0 where both give the same probabilities, else above 0
        (up to rounding).
    """
    teacher_log, log = _log_softmax(teacher_logits), _log_softmax(logits)
    return ops.sum(ops.exp(teacher_log) * (teacher_log - log), axis=-1)


def _log_softmax(logits):
    return ops.log_softmax(_float32(logits), axis=-1)


def _float32(values):
    # Half precision overflows in a sum of squares.
    return ops.cast(ops.convert_to_tensor(values), "float32")


def _matching_rows(source, target, min_rows):
    """Return both as float32 (n, d), or refuse them by what is known of their shape."""
    check_tensor("source", source, "(n, ...)")
    check_tensor("target", target, "(n, ...)")
    batches = {"source": _pooled(source), "target": _pooled(target)}
    for name, rows in batches.items():
        if rows.shape[0] is not None and rows.shape[0] < min_rows:
            raise ValueError(
                f"Got a {name} batch of {rows.shape[0]} rows, expected at least "
                f"{min_rows}; use larger batches."
            )
    widths = [rows.shape[-1] for rows in batches.values()]
    if widths[0] != widths[1]:
        raise ValueError(
            f"Got source features of width {widths[0]} and target features of width "
            f"{widths[1]}, expected equal ones; take both from the same layer."
        )
    return tuple(batches.values())


def _pooled(values):
    values = _float32(values)
    if len(values.shape) == 4:
        values = ops.mean(values, axis=(1, 2))  # (n, d)
    if len(values.shape) != 2:
        raise ValueError(
            f"Got features of shape {tuple(values.shape)}, expected (n, d) or "
            "(n, height, width, d); reshape them first."
        )
    return values


def _num_rows(rows):
    return ops.cast(ops.shape(rows)[0], "float32")


def _covariance(rows):
    centred = rows - ops.mean(rows, axis=0)
    degrees = ops.maximum(_num_rows(rows) - 1.0, 1.0)
    return ops.matmul(ops.transpose(centred), centred) / degrees  # (d, d)


def _squared_distances(rows):
    """Return ||x_i - x_j||^2 as (n, n), from one matrix product."""
    rows = rows - ops.mean(rows, axis=0)  # small norms cancel with less rounding
    norms = ops.sum(ops.square(rows), axis=1)  # (n,)
    products = ops.matmul(rows, ops.transpose(rows))  # (n, n)
    return ops.relu(norms[:, None] + norms[None, :] - 2.0 * products)


def _kernel(distances, bandwidths):
    if bandwidths is None:
        num_rows = _num_rows(distances)
        num_pairs = num_rows * (num_rows - 1.0)
        mean = ops.stop_gradient(ops.sum(distances) / num_pairs)
        scale = ops.maximum(mean, _MIN_SQUARED_DISTANCE)
        bandwidths = [width * scale for width in _KERNEL_WIDTHS]
    else:
        check_numbers("bandwidths", bandwidths, "(k,)")
        check_positive(bandwidths=min(bandwidths))
    return sum(ops.exp(-distances / width) for width in bandwidths) / len(bandwidths)


def _within(kernel, unbiased):
    """Mean kernel of a batch with itself, each row's own left out where unbiased."""
    if not unbiased:
        return ops.mean(kernel)
    num_rows = _num_rows(kernel)
    num_pairs = ops.maximum(num_rows * (num_rows - 1.0), 1.0)
    return (ops.sum(kernel) - ops.trace(kernel)) / num_pairs
