"""Choose between adapted models without a single target label."""

from tl_helpers.selection.sweep import Choice, Selection, reverse_validation, select
from tl_helpers.selection.validators import (
    dev,
    information_maximisation,
    soft_neighbourhood_density,
    source_validation,
    target_entropy,
)

__all__ = [
    "Choice",
    "Selection",
    "dev",
    "information_maximisation",
    "reverse_validation",
    "select",
    "soft_neighbourhood_density",
    "source_validation",
    "target_entropy",
]
