"""Scores of an adapted model that need no target label; larger is better."""

import warnings

import numpy as np
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from tl_helpers.inputs import (
    check_domains,
    check_features,
    check_labels,
    check_numbers,
    check_positive,
    check_whole,
    in_one_unit,
)
from tl_helpers.probes import one_thread

MAX_FOLDS = 4
MAX_STEPS = 300  # of the logistic regression in dev
STRENGTHS = [1e-3, 0.01, 0.1, 1.0, 10.0]  # inverse L2 penalties that dev chooses from
TINY = 1e-12  # stands for the length of a row of zeros, and for no variance


def source_validation(logits, labels):
    """Accuracy on held-out source images; blind to the target.

    Args:
        logits: float (n, num_classes), on source images not trained on.
        labels: int (n,), theirs.

    Returns:
        float in [0, 1], larger is better.

    Raises:
        ValueError: logits or labels that do not fit (see `check_features`,
            `check_labels`).
    """
    check_features("validation logits", logits)
    check_labels("validation", logits, labels)
    return float((np.argmax(logits, axis=1) == np.asarray(labels)).mean())


def target_entropy(logits):
    """Certainty on the target: minus the mean entropy of the answers.

    score = -mean_i H(p_i), with H(p) = -sum_c p_c log p_c and p_i = softmax(logits_i).

    A model that gives one class to all images with certainty gets the best score.

    Args:
        logits: float (n, num_classes), on target images.

    Returns:
        float in [-log(num_classes), 0], larger is better.

    Raises:
        ValueError: logits that do not fit (see `check_features`).

    Source: Morerio et al. 2018 (arXiv:1711.10288), where it chooses a weight.
    """
    check_features("target logits", logits)
    return -float(entropy(_probabilities(logits), axis=1).mean())


def information_maximisation(logits):
    """Certainty on each target image together with variety over all of them.

    score = H(mean_i p_i) - mean_i H(p_i), the mutual information of image and answer.

    It favours models that use all classes equally often, also where the target does
    not.

    Args:
        logits: float (n, num_classes), on target images.

    Returns:
        float in [0, log(num_classes)] nats, larger is better.

    Raises:
        ValueError: logits that do not fit (see `check_features`).

    Source: Shi & Sha 2012 (arXiv:1206.6438); as a validator: Musgrave et al. 2022
        (arXiv:2208.07360).
    """
    check_features("target logits", logits)
    each = _probabilities(logits)  # (n, classes)
    return float(entropy(each.mean(axis=0)) - entropy(each, axis=1).mean())


def soft_neighbourhood_density(values, temperature=0.05):
    """How evenly each target image's neighbours share its attention.

    score = mean_i H(P_i), where P_ij is the softmax over j != i of cos(v_i, v_j) /
    temperature: large where images lie in dense groups. It cannot see two groups that
    were merged, and is largest where all rows are the same.

    It costs O(n^2 d) operations and O(n^2) memory.

    Args:
        values: float (n, d), softmax outputs on target images (as published), or
            features; n >= 2.
        temperature: float > 0.

    Returns:
        float in [0, log(n - 1)] nats, larger is better; compare on the same images.

    Raises:
        ValueError: values that do not fit (see `check_features`), or a temperature
            that is not above 0.

    Source: Saito et al. 2021 (arXiv:2108.10860).
    """
    check_features("target features", values)
    check_positive(temperature=temperature)
    values = np.asarray(values, float)
    num_rows = len(values)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    directions = values / np.maximum(lengths, TINY)
    cosines = directions @ directions.T  # (n, n)
    others = cosines[~np.eye(num_rows, dtype=bool)].reshape(num_rows, num_rows - 1)
    return float(entropy(_probabilities(others / temperature), axis=1).mean())


def dev(train_values, validation_values, validation_losses, target_values, seed=0):
    """Deep embedded validation: the source's validation loss, weighted to the target.

    weight w_i = p(target | v_i) / p(source | v_i) * n_train / n_target, from a
    logistic regression that tells training from target features, its strength chosen
    by cross-validated log loss. With L_i = w_i * loss_i,

    score = -(mean L + eta mean w - eta), eta = -cov(L, w) / var(w),

    where eta is the control variate that takes variance away: the mean of w should
    be 1. It is unreliable where the domains hardly overlap.

    Args:
        train_values: float (n_train, d), features of source images trained on.
        validation_values: float (n, d), of source images not trained on.
        validation_losses: float (n,), theirs; `select` gives 1 for an error, else 0.
        target_values: float (n_target, d).
        seed: int, decides the folds.

    Returns:
        float, minus the estimated target loss; larger is better.

    Raises:
        ValueError: features that do not fit (see `check_domains`), or losses that are
            not one finite number for each row.

    Source: You et al. 2019, Towards Accurate Model Selection in Deep Unsupervised
        Domain Adaptation (PMLR 97).
    """
    check_domains(train_values, target_values)
    check_domains(validation_values, target_values)
    check_numbers("losses", validation_losses, f"({len(validation_values)},)")
    check_whole(seed=seed)
    weights = density_ratio(train_values, target_values, validation_values, seed)
    return -weighted_mean(validation_losses, weights)


def weighted_mean(losses, weights):
    """Mean of weight times loss, with the control variate of `dev`.

    Args:
        losses: float (n,).
        weights: float (n,), whose mean should be 1.

    Returns:
        float.
    """
    weighted = weights * np.asarray(losses, float)
    covariance = np.cov(weighted, weights)  # (2, 2)
    variance = covariance[1, 1]
    eta = -covariance[0, 1] / variance if variance > TINY else 0.0
    return float(weighted.mean() + eta * weights.mean() - eta)


def _probabilities(logits):
    return softmax(np.asarray(logits, float), axis=1)


def density_ratio(train_values, target_values, values, seed=0):
    """How much more often the target has such a row than the source.

    Args:
        train_values: float (n_train, d), source features.
        target_values: float (n_target, d).
        values: float (n, d), the rows that are asked about.
        seed: int, decides the folds.

    Returns:
        float (n,), p(target | v) / p(source | v) * n_train / n_target.
    """
    num_train, num_target = len(train_values), len(target_values)
    rows = np.concatenate([train_values, target_values])
    is_target = np.repeat([0, 1], [num_train, num_target])
    folds = StratifiedKFold(
        min(MAX_FOLDS, num_train, num_target), shuffle=True, random_state=seed
    )
    search = GridSearchCV(
        LogisticRegression(max_iter=MAX_STEPS),
        {"C": STRENGTHS},
        scoring="neg_log_loss",
        cv=folds,
    )
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(in_one_unit(rows, rows), is_target)
    log_odds = search.decision_function(in_one_unit(values, rows))
    return np.exp(log_odds) * num_train / num_target
