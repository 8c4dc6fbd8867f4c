"""Scores beside baselines, with intervals: of networks on pictures, of heads and colourisers on photos."""

from pixelwise.evaluate.pictures import evaluate, score

__all__ = ["evaluate", "score"]
