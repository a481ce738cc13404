"""What can be said before any training: which backbone, which source, if any."""

from tl_helpers.choosing.should_transfer import (
    Evidence,
    Verdict,
    should_transfer,
)
from tl_helpers.choosing.transferability import (
    Rank,
    h_score,
    leep,
    logme,
    nce,
    rank,
    shrunk_h_score,
)

__all__ = [
    "Evidence",
    "Rank",
    "Verdict",
    "h_score",
    "leep",
    "logme",
    "nce",
    "rank",
    "should_transfer",
    "shrunk_h_score",
]
