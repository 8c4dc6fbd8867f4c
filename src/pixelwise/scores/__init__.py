"""Scores of segmentations and of coloured photos, with bootstrap intervals over images."""

from pixelwise.scores.colours import ciede2000
from pixelwise.scores.confusion import Confusion
from pixelwise.scores.intervals import Interval, crossed_sums, interval, resampled_sums
from pixelwise.scores.segmentation import ImageCounts, SegmentationScores, miou_gain

__all__ = [
    "Confusion",
    "ImageCounts",
    "Interval",
    "SegmentationScores",
    "ciede2000",
    "crossed_sums",
    "interval",
    "miou_gain",
    "resampled_sums",
]
