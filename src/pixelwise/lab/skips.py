"""Why skip connections help: what gradients and details meet on their way, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from pixelwise.config import RunConfig
from pixelwise.data import Pictures
from pixelwise.labelspace import Palette
from pixelwise.losses import cross_entropy
from pixelwise.models import build
from pixelwise.runs import Model
from pixelwise.shapes import Grey

CELL = 4
"""Side in pixels of what becomes one place of the smallest map."""
_RIDGE = 1e-6  # of the mean square of the features: those that are always 0 get no weight


def gradient_norms(config: RunConfig, pictures: Pictures) -> dict[str, float]:
    """How long the gradient of each block's weights is, as a share of the weights, before the first step.

    Of the loss of the first batch, in training mode and fp32, with the initial weights that the run has.
    """
    torch.manual_seed(config.train.seed)
    net = build(config.net).train()
    palette = Palette.read(config.palette)
    batch = pictures.train[: config.train.batch_size]
    cross_entropy(net(palette.read_grey(batch)), palette.encode(batch)).backward()
    norms = {}
    for name, weight in net.named_parameters():
        if weight.ndim == 4:
            assert weight.grad is not None
            norms[name.split(".")[0]] = float(weight.grad.norm() / weight.detach().norm())
    return norms


def detail_left(model: Model, pictures: Pictures, num: int) -> dict[str, float]:
    """Which share of the finest detail can be read off what each block reads, in per cent.

    The detail is what a grey picture has beyond the means of its 4 x 4 cells, each of which becomes one place
    of the smallest map. At each place of a map a linear read-out, fitted on `num` training pictures, says
    what the pixels below it are; it is told the mean of their cell. The share is that of the detail's
    variance which it finds in as many validation pictures. 100: nothing is lost. 0: only the means are left.
    """
    fitted, scored = (
        _read_by_blocks(model, model.palette.read_grey(part[:num])) for part in (pictures.train, pictures.val)
    )
    return {name: 100 * _share_found(fitted[name], scored[name]) for name in fitted}


Readings = tuple[Float32[Tensor, "P F"], Float32[Tensor, "P D"], Float32[Tensor, "P D"]]
"""At each place of a map: its features, with 1 and the cell's mean; the pixels below; the mean for each."""


@torch.inference_mode()
def _read_by_blocks(model: Model, grey: Grey) -> dict[str, Readings]:
    """Readings at what every block reads, by the block's name."""
    with _inputs(model.net) as given:
        model.net(grey)
    means = nn.functional.avg_pool2d(grey, CELL).repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)
    return {name: _readings(maps, grey, means) for name, maps in given.items()}


@contextmanager
def _inputs(net: nn.Module) -> Iterator[dict[str, Tensor]]:
    """What every block is given, by its name, once the network has run."""
    given: dict[str, Tensor] = {}
    hooks = [
        block.register_forward_pre_hook(lambda _, args, name=name: given.update({name: args[0]}))
        for name, block in net.named_children()
    ]
    try:
        yield given
    finally:
        for hook in hooks:
            hook.remove()


def _readings(maps: Tensor, grey: Grey, means: Grey) -> Readings:
    side = grey.shape[-1] // maps.shape[-1]
    below, mean_below = (_by_place(nn.functional.pixel_unshuffle(one, side)) for one in (grey, means))
    features = torch.cat([_by_place(maps), mean_below[:, :1], torch.ones_like(mean_below[:, :1])], 1)
    return features, below, mean_below


def _by_place(maps: Tensor) -> Tensor:
    """Maps (N, C, H, W) as one row for each place, (N H W, C)."""
    return maps.movedim(1, -1).flatten(0, 2)


def _share_found(fitted: Readings, scored: Readings) -> float:
    """Share of what the pixels have beyond their mean that a read-out finds; none is counted as nothing."""
    features, pixels, _ = (one.double().numpy() for one in fitted)
    square = features.T @ features
    square += _RIDGE * np.trace(square) / len(square) * np.eye(len(square))
    weights = np.linalg.solve(square, features.T @ pixels)
    features, pixels, means = (one.double().numpy() for one in scored)
    missed = ((pixels - features @ weights) ** 2).sum()
    return max(0.0, 1 - float(missed / ((pixels - means) ** 2).sum()))
