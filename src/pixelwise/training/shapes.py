"""Shapes as types: `N` batch, `C` channels, `K` classes, `H` rows, `W` columns. Checked while tests run."""

from __future__ import annotations

from torch import Tensor

from pixelwise.colour.arrays import Float, Int64, UInt8

Bytes = UInt8[Tensor, "N 3 H W"]  # sRGB as stored, 0 to 255
Grey = Float[Tensor, "N C H W"]  # read by networks, about [0, 1]
Labels = Int64[Tensor, "N H W"]  # a class 0..K-1 or `palette.IGNORE`
Logits = Float[Tensor, "N K H W"]
