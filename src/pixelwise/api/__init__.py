"""From Python: pictures in, results that show themselves, heads learned in scikit-learn's manner."""

from pixelwise.api.colour import ColouredImage, colourise
from pixelwise.api.learning import Segmenter
from pixelwise.api.segmentation import Segmentation, segment

__all__ = ["ColouredImage", "Segmentation", "Segmenter", "colourise", "segment"]
