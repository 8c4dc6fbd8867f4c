"""Heads learned from a few masks, on a backbone that others trained."""

from pixelwise.finetune.run import FinetuneResult, finetune

__all__ = ["FinetuneResult", "finetune"]
