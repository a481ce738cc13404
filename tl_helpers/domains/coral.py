"""CORAL: give the source the target's mean, spread and covariance, without a label."""

import numpy as np

from tl_helpers.features import Features, standardise
from tl_helpers.inputs import check_domains, check_kind


def coral(source, target, like=None):
    """Recolour labelled source rows so that they vary like the target's.

    Both domains are standardised, each by itself. Then, with C the covariance and I
    the identity, which keeps near-zero directions from being blown up,

    x -> x (C_source + I)^(-1/2) (C_target + I)^(1/2).

    A probe fitted on the result takes `standardise(test, like=target)`.

    Args:
        source: Features, n_source rows.
        target: Features or float (n_target, d), from the same layer; labels are not
            looked at.
        like: Features or float (m, d), whose mean, deviation and covariance stand for
            the source's, such as the source drawn anew in the target's class shares;
            None for the source itself.

    Returns:
        Features: float32 (n_source, d) and the source's labels.

    Raises:
        ValueError: features that do not fit (see `check_domains`).

    Source: Sun, Feng & Saenko 2016 (arXiv:1511.05547).
    """
    check_kind(Features, source=source)
    like = source if like is None else like
    target = getattr(target, "values", target)
    check_domains(source.values, target)
    check_domains(getattr(like, "values", like), target)
    whiten = _power(_covariance(standardise(like)), -0.5)
    colour = _power(_covariance(standardise(target)), 0.5)
    rows = standardise(source, like=like)
    values = (rows.values @ whiten @ colour).astype(np.float32)
    return Features(values, source.labels, source.class_names)


def _covariance(rows):
    values = getattr(rows, "values", rows)
    return np.cov(values.T) + np.eye(values.shape[1])


def _power(matrix, exponent):
    """Raise a symmetric positive matrix (d, d) to a power, by its eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values**exponent) @ vectors.T
