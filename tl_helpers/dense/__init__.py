"""Where in the image: a class for every pixel, a box for every object."""

from tl_helpers.dense import boxes
from tl_helpers.dense.average_precision import AveragePrecision, average_precision
from tl_helpers.dense.detector import (
    Detection,
    Detector,
    answer,
    detect,
    detector,
    suppress,
)
from tl_helpers.dense.errors import Judged, judge
from tl_helpers.dense.losses import DiceLoss, FocalLoss
from tl_helpers.dense.pixels import PixelScores, boundary_score, score_pixels
from tl_helpers.dense.segmenter import Segmenter, segmenter

__all__ = [
    "AveragePrecision",
    "Detection",
    "Detector",
    "DiceLoss",
    "FocalLoss",
    "Judged",
    "PixelScores",
    "Segmenter",
    "answer",
    "average_precision",
    "boundary_score",
    "boxes",
    "detect",
    "detector",
    "judge",
    "score_pixels",
    "segmenter",
    "suppress",
]
