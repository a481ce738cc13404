"""What goes in: every check of it, each saying got, expected, what to do."""

from tl_helpers.inputs.arguments import (
    as_array,
    check_callable,
    check_choice,
    check_flag,
    check_kind,
    check_mapping,
    check_not_negative,
    check_numbers,
    check_positive,
    check_share,
    check_tensor,
    check_whole,
    shown,
)
from tl_helpers.inputs.backend import (
    check_channels_last,
    check_tensorflow,
)
from tl_helpers.inputs.classes import (
    check_class_names,
    check_class_weight,
    check_same_classes,
    check_target_labels,
)
from tl_helpers.inputs.pixels import check_colours, check_pixels
from tl_helpers.inputs.rows import (
    TINY,
    check_corners,
    check_domains,
    check_features,
    check_labelled,
    check_labels,
    check_rows,
    draw_rows,
    in_one_unit,
)

__all__ = [
    "TINY",
    "as_array",
    "check_callable",
    "check_channels_last",
    "check_choice",
    "check_class_names",
    "check_class_weight",
    "check_colours",
    "check_corners",
    "check_domains",
    "check_features",
    "check_flag",
    "check_kind",
    "check_labelled",
    "check_labels",
    "check_mapping",
    "check_not_negative",
    "check_numbers",
    "check_pixels",
    "check_positive",
    "check_rows",
    "check_same_classes",
    "check_share",
    "check_target_labels",
    "check_tensor",
    "check_tensorflow",
    "check_whole",
    "draw_rows",
    "in_one_unit",
    "shown",
]
