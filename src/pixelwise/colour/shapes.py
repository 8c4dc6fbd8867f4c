"""Shapes as types: `N` batch, `C` channels, `K` classes, `H` rows, `W` columns. Checked while tests run.

Ranges are stated once, here:

* `Bytes`: sRGB as stored, 0 to 255;
* `Grey`: what a network reads, float, about [0, 1];
* `Labels`: a class 0..K-1 or `pixelwise.colour.palette.IGNORE`;
* `Logits`: any real number; softmax over K gives probabilities.
"""

from __future__ import annotations

from jaxtyping import Float, Int64, UInt8
from torch import Tensor

Bytes = UInt8[Tensor, "N 3 H W"]
Grey = Float[Tensor, "N C H W"]
Labels = Int64[Tensor, "N H W"]
Logits = Float[Tensor, "N K H W"]
