"""Networks trained on pictures, and what that will cost."""

from pixelwise.train.loop import TrainResult, train, train_source, with_palette
from pixelwise.train.saved import goes_on

__all__ = ["TrainResult", "goes_on", "train", "train_source", "with_palette"]
