"""The likeliest colours of each pixel, with their probabilities, and the file that keeps them beside a photo.

The file is safetensors, at the logits' own size, rows and columns as the photo is displayed:

* ``classes``, uint8 (k, h, w): positions in the palette, the likeliest first;
* ``probs``, float16 (k, h, w): probabilities from 0 to 1, at temperature 1; the rest is all other classes';
* the header's value ``pixelwise`` is JSON with the ``palette``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from pixelwise.colour import lightness_to_luminance, recolour
from pixelwise.errors import CheckpointError, ConfigError, LabelError
from pixelwise.labelspace import Palette
from pixelwise.tensors import read_tensors, write_tensors


@dataclass(frozen=True)
class Likeliest:
    """The k likeliest classes of each pixel, the likeliest first."""

    classes: UInt8[Tensor, "k h w"]
    probs: Float32[Tensor, "k h w"]
    palette: Palette


def likeliest(logits: Float[Tensor, "K h w"], palette: Palette, k: int) -> Likeliest:
    """Return the `k` likeliest classes of each pixel and their probabilities.

    Raises:
        ConfigError: `k` is not 1 to K.
    """
    require_top_k(k, palette)
    probs, classes = logits.float().softmax(0).topk(k, dim=0)
    return Likeliest(classes.byte(), probs, palette)


def require_top_k(k: int, palette: Palette) -> None:
    """Refuse to name more colours than there are.

    Raises:
        ConfigError: `k` is not 1 to K.
    """
    if not 1 <= k <= palette.num_classes:
        raise ConfigError(f"top-k needs to be from 1 to {palette.num_classes}, the model's colours, got {k}")


def write_likeliest(path: Path, found: Likeliest) -> None:
    """Write the likeliest classes as one file that describes itself.

    Raises:
        OutputError: the file cannot be written.
    """
    tensors = {"classes": found.classes, "probs": found.probs.half()}
    write_tensors(path, tensors, {"palette": found.palette.to_dict()})


def read_likeliest(path: Path) -> Likeliest:
    """Read a file of `write_likeliest`; probabilities come back to three digits.

    Raises:
        CheckpointError: the file is damaged or foreign.
    """
    tensors, about = read_tensors(path)
    try:
        classes, probs = tensors["classes"], tensors["probs"]
        palette = Palette.from_dict(about["palette"])
        fits = classes.shape == probs.shape and classes.ndim == 3 and classes.dtype == torch.uint8
        if not (fits and int(classes.max()) < palette.num_classes):
            raise LabelError("its classes, probabilities and palette do not belong together")
    except (KeyError, TypeError, RuntimeError, LabelError) as error:
        raise CheckpointError(
            f"{path} holds no likeliest colours ({error}); write it with --top-k"
        ) from error
    return Likeliest(classes, probs.float(), palette)


def shown_at(chroma: Float[Tensor, "n 2"], lightness: float) -> list[str]:
    """Return colours as #rrggbb, each drawn into the gamut at this L, 0 to 100."""
    luminance = lightness_to_luminance(torch.full_like(chroma[:, 0], lightness))
    codes = recolour(luminance, *chroma.T).mul(255).round().int().T.tolist()
    return ["#{:02x}{:02x}{:02x}".format(*code) for code in codes]
