"""What breaks a model: attacks, images from elsewhere, and what it gives away."""

from tl_helpers.robustness.attacks import feature_attack, fgsm, pgd
from tl_helpers.robustness.losses import log_odds, margin
from tl_helpers.robustness.masking import GradientCheck, check_gradients
from tl_helpers.robustness.membership import Membership, membership
from tl_helpers.robustness.outliers import (
    Gaussians,
    Separation,
    energy,
    fit_gaussians,
    neighbour_distance,
    separation,
    unsureness,
)
from tl_helpers.robustness.squeezing import (
    median_filter,
    reduce_bits,
    squeezing_score,
)

__all__ = [
    "Gaussians",
    "GradientCheck",
    "Membership",
    "Separation",
    "check_gradients",
    "energy",
    "feature_attack",
    "fgsm",
    "fit_gaussians",
    "log_odds",
    "margin",
    "median_filter",
    "membership",
    "neighbour_distance",
    "pgd",
    "reduce_bits",
    "separation",
    "squeezing_score",
    "unsureness",
]
