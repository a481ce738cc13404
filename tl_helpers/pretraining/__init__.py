"""Source models of one's own: with labels as ever, or from two views without any."""

from tl_helpers.pretraining.collapse import Collapse, WarnOfCollapse, collapse
from tl_helpers.pretraining.losses import negative_cosine, nt_xent
from tl_helpers.pretraining.models import (
    SimCLR,
    SimSiam,
    prediction_head,
    projection_head,
)
from tl_helpers.pretraining.sources import small_backbone
from tl_helpers.pretraining.views import two_views

__all__ = [
    "Collapse",
    "SimCLR",
    "SimSiam",
    "WarnOfCollapse",
    "collapse",
    "negative_cosine",
    "nt_xent",
    "prediction_head",
    "projection_head",
    "small_backbone",
    "two_views",
]
