"""Networks trained on pictures, and what that will cost."""

from pixelwise.train.loop import train, train_source, with_palette
from pixelwise.train.run import TrainResult
from pixelwise.train.saved import goes_on

__all__ = ["TrainResult", "goes_on", "train", "train_source", "with_palette"]
