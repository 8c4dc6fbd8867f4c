"""Scores of segmentations as counts that merge, and of coloured photos, with intervals over images."""

from pixelwise.scores.boundary import Boundary, boundary_f1
from pixelwise.scores.calibration import Calibration
from pixelwise.scores.colours import Original, PhotoColours, colour_scores
from pixelwise.scores.confusion import Confusion
from pixelwise.scores.difference import ciede2000, colourfulness
from pixelwise.scores.intervals import Interval, crossed_sums, interval, resampled_sums
from pixelwise.scores.probs import ClassScores, class_scores, fit_temperature
from pixelwise.scores.segmentation import ImageCounts, SegmentationScores, miou_gain

__all__ = [
    "Boundary",
    "Calibration",
    "ClassScores",
    "Confusion",
    "ImageCounts",
    "Interval",
    "Original",
    "PhotoColours",
    "SegmentationScores",
    "boundary_f1",
    "ciede2000",
    "class_scores",
    "colour_scores",
    "colourfulness",
    "crossed_sums",
    "fit_temperature",
    "interval",
    "miou_gain",
    "resampled_sums",
]
