"""Several tasks on one trunk: heads, losses, their weights and their conflicts."""

from tl_helpers.multitask.gradients import (
    PCGrad,
    gradient_cosines,
    gradient_lengths,
    project_conflicting,
)
from tl_helpers.multitask.labels import axis_angles, scaled_boxes
from tl_helpers.multitask.model import MultiTask
from tl_helpers.multitask.tasks import Angle, Box, Classification, Mask
from tl_helpers.multitask.weighting import uncertainty_terms

__all__ = [
    "Angle",
    "Box",
    "Classification",
    "Mask",
    "MultiTask",
    "PCGrad",
    "axis_angles",
    "gradient_cosines",
    "gradient_lengths",
    "project_conflicting",
    "scaled_boxes",
    "uncertainty_terms",
]
