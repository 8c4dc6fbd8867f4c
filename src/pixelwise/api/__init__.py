"""From Python: pictures in, results that show themselves, heads learned in scikit-learn's manner."""

from pixelwise.api.colour import ColouredImage, colourise
from pixelwise.api.segmentation import Segmentation, Segmenter, segment

__all__ = ["ColouredImage", "Segmentation", "Segmenter", "colourise", "segment"]
