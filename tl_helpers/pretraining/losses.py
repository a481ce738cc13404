"""Losses on two views of the same images: no label is asked for."""

from keras import ops

NEVER = -1e9  # instead of a similarity that does not count


def nt_xent(first, second, temperature=0.5):
    """Normalised, temperature-scaled cross-entropy: find the other view of an image.

    For row i of all 2n rows z, scaled to length 1, whose other view is row j,
    loss_i = -log(exp(z_i . z_j / T) / sum_{k != i} exp(z_i . z_k / T)).

    Args:
        first: (n, d), of one view of n images.
        second: (n, d), of another view of the same images in the same order.
        temperature: float > 0, T.

    Returns:
        float32 scalar (), a tensor, >= 0: the mean over all 2n rows; log(2n - 1) where
        all rows are the same.

    Source: Chen et al. 2020 (arXiv:2002.05709), equation 1.
    """
    rows = ops.concatenate([unit_rows(first), unit_rows(second)], axis=0)  # (2n, d)
    num_rows = ops.shape(rows)[0]
    alike = ops.matmul(rows, ops.transpose(rows)) / temperature  # (2n, 2n)
    itself = ops.eye(num_rows, dtype="float32")
    alike = ops.where(itself > 0, NEVER, alike)
    others = ops.roll(ops.arange(num_rows), num_rows // 2)
    own = ops.take_along_axis(alike, others[:, None], axis=1)[:, 0]
    return ops.mean(ops.logsumexp(alike, axis=1) - own)


def negative_cosine(prediction, target):
    """Minus the mean cosine between rows; no gradient flows into the target.

    Args:
        prediction: (n, d).
        target: (n, d), in the same order; taken as given.

    Returns:
        float32 scalar (), a tensor, in [-1, 1]; -1 where each pair points one way.

    Source: Chen & He 2021 (arXiv:2011.10566), equations 1 and 3.
    """
    target = ops.stop_gradient(unit_rows(target))
    return -ops.mean(ops.sum(unit_rows(prediction) * target, axis=1))


def unit_rows(rows):
    """Return rows (n, d), float32, scaled to length 1; 0 stays 0."""
    return ops.normalize(ops.cast(rows, "float32"), axis=-1, order=2, epsilon=1e-12)
