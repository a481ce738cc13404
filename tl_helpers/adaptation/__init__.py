"""Domain adaptation: labels on the source, none on the target."""

from tl_helpers.adaptation.adversarial import CDAN, DANN
from tl_helpers.adaptation.batch_norm import adapt_batch_norm
from tl_helpers.adaptation.co_training import MeanTeacher, MutualLearning, SelfTraining
from tl_helpers.adaptation.diagnosis import diagnose
from tl_helpers.adaptation.discrepancy import MCD, Discrepancy
from tl_helpers.adaptation.distance import class_shift, mmd_test, proxy_a_distance
from tl_helpers.adaptation.losses import coral_loss, mmd_loss
from tl_helpers.adaptation.networks import dense_network, digit_network
from tl_helpers.adaptation.pairs import pairs
from tl_helpers.adaptation.reversal import (
    GradientReversal,
    InverseDecay,
    Ramp,
    ramp,
    reverse_gradient,
)
from tl_helpers.adaptation.selection import select

__all__ = [
    "CDAN",
    "DANN",
    "MCD",
    "Discrepancy",
    "GradientReversal",
    "InverseDecay",
    "MeanTeacher",
    "MutualLearning",
    "Ramp",
    "SelfTraining",
    "adapt_batch_norm",
    "class_shift",
    "coral_loss",
    "dense_network",
    "diagnose",
    "digit_network",
    "mmd_loss",
    "mmd_test",
    "pairs",
    "proxy_a_distance",
    "ramp",
    "reverse_gradient",
    "select",
]
