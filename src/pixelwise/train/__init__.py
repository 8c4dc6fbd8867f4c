"""Training of networks on pictures, in one process or in several."""

from pixelwise.train.loop import TrainResult, train, train_source

__all__ = ["TrainResult", "train", "train_source"]
