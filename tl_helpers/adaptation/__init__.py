"""Domain adaptation: labels on the source, none on the target."""

from tl_helpers.adaptation.adversarial import CDAN, DANN
from tl_helpers.adaptation.co_training import MeanTeacher, MutualLearning, SelfTraining
from tl_helpers.adaptation.discrepancy import Discrepancy
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

__all__ = [
    "CDAN",
    "DANN",
    "Discrepancy",
    "GradientReversal",
    "InverseDecay",
    "MeanTeacher",
    "MutualLearning",
    "Ramp",
    "SelfTraining",
    "coral_loss",
    "dense_network",
    "digit_network",
    "mmd_loss",
    "pairs",
    "ramp",
    "reverse_gradient",
]
