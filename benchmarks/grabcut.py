"""How well GrabCut cuts out flowers, which needs no masks and no network: README's comparison.

    PIXELWISE_DATA=... python benchmarks/grabcut.py [--seed 0]

Prints the intersection over union of flower on the test photos of flowers17, over all labelled pixels, with
its interval (bootstrap over photos). Everything within a rectangle in the middle of the photo may be flower;
photos are cut at a short side of 128 pixels.

Source: Rother, Kolmogorov, Blake 2004, GrabCut, doi:10.1145/1015706.1015720; OpenCV's, of the extra `dev`.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from pixelwise.evaluate.heads import read_pixels
from pixelwise.evaluate.segmentation import ImageCounts, SegmentationScores
from pixelwise.labels.sources import load_labelled

MARGIN_FRAC = 0.05  # how far the rectangle stays away from each side, as a share of it
SIDE = 128
NUM_ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    labelled = load_labelled("flowers17")
    counts = [ImageCounts.of(grabcut(read_pixels(one.photo)), one.read_labels(), 2) for one in labelled.test]
    flower = SegmentationScores.of(counts, labelled.classes, options.seed).iou["flower"]
    print(
        f"GrabCut: flower IoU {flower.value:.4f} ({flower.low:.4f} to {flower.high:.4f}), n = {len(counts)}"
    )


def grabcut(photo: UInt8[ndarray, "H W 3"]) -> UInt8[ndarray, "H W"]:
    """Return 1 where the foreground is, 0 elsewhere."""
    height, width = photo.shape[:2]
    shrink = min(1.0, SIDE / min(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    rows, columns = small.shape[:2]
    top, left = (max(1, round(side * MARGIN_FRAC)) for side in (rows, columns))
    marks = np.full((rows, columns), cv2.GC_BGD, np.uint8)
    marks[top : rows - top, left : columns - left] = cv2.GC_PR_FGD
    cv2.setRNGSeed(0)  # its k-means draws from OpenCV's own generator
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, marks, (0, 0, 1, 1), *models, NUM_ROUNDS, cv2.GC_INIT_WITH_MASK)
    cut = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return cv2.resize(cut, (width, height), interpolation=cv2.INTER_NEAREST)


if __name__ == "__main__":
    main()
