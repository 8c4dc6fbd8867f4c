"""Scores of a segmentation, as counts that merge, with intervals over images."""

from pixelwise.scores.boundary import Boundary, boundary_f1
from pixelwise.scores.calibration import Calibration
from pixelwise.scores.confusion import Confusion
from pixelwise.scores.intervals import Interval, crossed_sums, interval, resampled_sums
from pixelwise.scores.segmentation import ImageCounts, SegmentationScores, miou_gain

__all__ = [
    "Boundary",
    "Calibration",
    "Confusion",
    "ImageCounts",
    "Interval",
    "SegmentationScores",
    "boundary_f1",
    "crossed_sums",
    "interval",
    "miou_gain",
    "resampled_sums",
]
