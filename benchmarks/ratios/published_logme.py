"""LogME as it was published, transcribed class by class; slow and plain."""

import numpy as np

MAX_STEPS, TOLERANCE, FLOOR = 11, 1e-3, 1e-5


def direct_logme(values, labels):
    """Log evidence a row, by the fixed point of You et al. 2022.

    The determinant runs over all d eigenvalues, as in the paper.

    Args:
        values: float (n, d).
        labels: int (n,).

    Returns:
        float, higher is better.

    Source: You et al. 2022 (arXiv:2110.10545).
    """
    num_rows, num_features = values.shape
    left, sigma = _truncated_svd(values)
    padded = np.concatenate([sigma, np.zeros(num_features - len(sigma))])
    evidences = []
    for label in np.unique(labels):
        y = (labels == label).astype(float)
        z_squared = (left.T @ y) ** 2
        alpha = beta = 1.0
        for _ in range(MAX_STEPS):
            t = alpha / beta
            gamma = (sigma / (sigma + t)).sum()
            mean_squared = (sigma * z_squared / (sigma + t) ** 2).sum()
            error = (z_squared / (1 + sigma / t) ** 2).sum() + y @ y - z_squared.sum()
            alpha = gamma / (mean_squared + FLOOR)
            beta = (num_rows - gamma) / (error + FLOOR)
            if abs(alpha / beta - t) / t <= TOLERANCE:
                break
        evidence = num_features * np.log(alpha) + num_rows * np.log(beta / (2 * np.pi))
        evidence -= np.log(alpha + beta * padded).sum()
        evidence -= beta * error + alpha * mean_squared
        evidences.append(evidence / 2 / num_rows)
    return np.mean(evidences)


def _truncated_svd(values):
    """Left singular vectors and squared singular values; the short way for n > d."""
    if len(values) <= values.shape[1]:
        left, singular, _ = np.linalg.svd(values, full_matrices=False)
        return left, singular**2
    _, squared, right = np.linalg.svd(values.T @ values)
    squared = squared[squared > 1e-20]
    return values @ right[: len(squared)].T / np.sqrt(squared), squared
