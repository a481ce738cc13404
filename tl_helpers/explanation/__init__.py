"""Why this answer: maps of the image, and how far they can be believed."""

from tl_helpers.explanation.curves import Curve, deletion, insertion
from tl_helpers.explanation.grad_cam import grad_cam
from tl_helpers.explanation.integrated_gradients import (
    completeness_gap,
    integrated_gradients,
)
from tl_helpers.explanation.measures import (
    Located,
    energy_inside,
    pointing_game,
    rank_correlation,
)
from tl_helpers.explanation.mosaics import mosaics
from tl_helpers.explanation.occlusion import occlusion
from tl_helpers.explanation.sanity import randomise_weights

__all__ = [
    "Curve",
    "Located",
    "completeness_gap",
    "deletion",
    "energy_inside",
    "grad_cam",
    "insertion",
    "integrated_gradients",
    "mosaics",
    "occlusion",
    "pointing_game",
    "randomise_weights",
    "rank_correlation",
]
