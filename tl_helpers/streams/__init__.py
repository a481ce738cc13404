"""A model out in the world: images change, nobody labels, and it may adapt."""

from tl_helpers.streams.corruptions import CORRUPTIONS, corrupt
from tl_helpers.streams.stream import stream

__all__ = [
    "CORRUPTIONS",
    "corrupt",
    "stream",
]
