"""Scores beside what needs no network, with intervals: of networks on pictures, of heads on photos."""

from pixelwise.evaluate.pictures import evaluate, score

__all__ = ["evaluate", "score"]  # heads.py is imported by name: OpenCV is none of a training's business
