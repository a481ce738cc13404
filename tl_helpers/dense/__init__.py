"""Where in the image: a class for every pixel, a box for every object."""

from tl_helpers.dense.average_precision import average_precision
from tl_helpers.dense.boxes import assign, box_overlaps, cell_centres, giou
from tl_helpers.dense.detector import Detection, Detector, detect, detector
from tl_helpers.dense.losses import DiceLoss, FocalLoss
from tl_helpers.dense.pixels import PixelScores, boundary_score, score_pixels
from tl_helpers.dense.segmenter import Segmenter, segmenter

__all__ = [
    "Detection",
    "Detector",
    "DiceLoss",
    "FocalLoss",
    "PixelScores",
    "Segmenter",
    "assign",
    "average_precision",
    "boundary_score",
    "box_overlaps",
    "cell_centres",
    "detect",
    "detector",
    "giou",
    "score_pixels",
    "segmenter",
]
