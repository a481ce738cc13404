"""Two domains: how far apart they lie, and each in its own unit."""

from tl_helpers.domains.batch_norm import adapt_batch_norm
from tl_helpers.domains.class_shift import class_shift
from tl_helpers.domains.coral import coral
from tl_helpers.domains.diagnosis import diagnose
from tl_helpers.domains.distance import mmd_test, proxy_a_distance
from tl_helpers.domains.draw import Draw, choose_block, draw

__all__ = [
    "Draw",
    "adapt_batch_norm",
    "choose_block",
    "class_shift",
    "coral",
    "diagnose",
    "draw",
    "mmd_test",
    "proxy_a_distance",
]
