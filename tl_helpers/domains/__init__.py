"""Two domains: how far apart they lie, and each in its own unit."""

from tl_helpers.domains.batch_norm import adapt_batch_norm
from tl_helpers.domains.class_shift import class_shift
from tl_helpers.domains.diagnosis import diagnose
from tl_helpers.domains.distance import mmd_test, proxy_a_distance

__all__ = [
    "adapt_batch_norm",
    "class_shift",
    "diagnose",
    "mmd_test",
    "proxy_a_distance",
]
