"""Arrays -> pictures; never models."""

from tl_helpers.plots.boxes import detections
from tl_helpers.plots.curves import (
    label_efficiency,
    layer_choice,
    losses,
    pareto,
    reliability,
)
from tl_helpers.plots.explanations import explanations
from tl_helpers.plots.images import activation_maps, filters, one_of_each, show_images
from tl_helpers.plots.intervals import gains, scores
from tl_helpers.plots.maps import confusion_matrix, cosines, domains, feature_map
from tl_helpers.plots.masks import pixel_answers
from tl_helpers.plots.predictions import answers, worst
from tl_helpers.plots.style import MARKERS, use_style
from tl_helpers.plots.tasks import boxes_and_masks

__all__ = [
    "MARKERS",
    "activation_maps",
    "answers",
    "boxes_and_masks",
    "confusion_matrix",
    "cosines",
    "detections",
    "domains",
    "explanations",
    "feature_map",
    "filters",
    "gains",
    "label_efficiency",
    "layer_choice",
    "losses",
    "one_of_each",
    "pareto",
    "pixel_answers",
    "reliability",
    "scores",
    "show_images",
    "use_style",
    "worst",
]
