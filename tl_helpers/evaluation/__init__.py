"""Labels and scores -> numbers with their spread; takes arrays, never models."""

from tl_helpers.evaluation.answers import accuracy, balanced_accuracy, confusion
from tl_helpers.evaluation.comparison import Difference, compare_paired
from tl_helpers.evaluation.groups import GroupAccuracy, accuracy_by_group
from tl_helpers.evaluation.intervals import (
    auc_interval,
    binomial_interval,
    bootstrap_interval,
)
from tl_helpers.evaluation.probabilities import (
    Calibration,
    brier_score,
    calibration_curve,
    fit_temperature,
    roc_auc,
)
from tl_helpers.evaluation.rates import fpr_at_tpr, roc_curve, tpr_at_fpr
from tl_helpers.evaluation.seeds import Spread, summarise
from tl_helpers.evaluation.table import ScoreTable
from tl_helpers.evaluation.verification import (
    Pairs,
    Verification,
    accept_rates,
    choose_threshold,
    cosine_distances,
    fold_accuracies,
    pairs_of,
    verify,
)

__all__ = [
    "Calibration",
    "Difference",
    "GroupAccuracy",
    "Pairs",
    "ScoreTable",
    "Spread",
    "Verification",
    "accept_rates",
    "accuracy",
    "accuracy_by_group",
    "auc_interval",
    "balanced_accuracy",
    "binomial_interval",
    "bootstrap_interval",
    "brier_score",
    "calibration_curve",
    "choose_threshold",
    "compare_paired",
    "confusion",
    "cosine_distances",
    "fit_temperature",
    "fold_accuracies",
    "fpr_at_tpr",
    "pairs_of",
    "roc_auc",
    "roc_curve",
    "summarise",
    "tpr_at_fpr",
    "verify",
]
