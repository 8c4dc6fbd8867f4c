"""Networks trained on pictures, and what that will cost."""

from pixelwise.train.loop import TrainResult, train, train_source, with_palette

__all__ = ["TrainResult", "train", "train_source", "with_palette"]
