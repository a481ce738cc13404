"""A model out in the world: images change, nobody labels, and it may adapt."""

from tl_helpers.streams.corruptions import CORRUPTIONS, corrupt
from tl_helpers.streams.signs import WarningSigns, warning_signs
from tl_helpers.streams.source_free import SourceFree, prototype_labels
from tl_helpers.streams.statistics import BatchStatistics, RunningStatistics
from tl_helpers.streams.stream import stream
from tl_helpers.streams.tent import Tent

__all__ = [
    "CORRUPTIONS",
    "BatchStatistics",
    "RunningStatistics",
    "SourceFree",
    "Tent",
    "WarningSigns",
    "corrupt",
    "prototype_labels",
    "stream",
    "warning_signs",
]
