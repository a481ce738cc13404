"""Choose between adapted models without a single target label."""

from tl_helpers.selection.choice import Choice, Selection
from tl_helpers.selection.reverse import reverse_validation
from tl_helpers.selection.sweep import select
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
