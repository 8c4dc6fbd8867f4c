"""Why skip connections help: what gradients and details meet on their way, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn import functional

from pixelwise.config import HandoutConfig, RunConfig
from pixelwise.data import Pictures
from pixelwise.labelspace import Palette
from pixelwise.losses import cross_entropy
from pixelwise.models import HandoutNetwork, build
from pixelwise.runs import Model
from pixelwise.shapes import Grey

CELL = 4
"""Side in pixels of what becomes one place of the smallest map."""
_AT_ONCE = 50  # pictures, whose windows are held in memory
_RIDGE = 1e-6  # of the mean square of the features: those that are always 0 get no weight


def gradient_norms(config: RunConfig, pictures: Pictures) -> dict[str, float]:
    """How long the gradient of each block's weights is, as a share of the weights, before the first step.

    Of the loss of as many pictures as a batch has, the first of the data set, in training mode and fp32, with
    the initial weights that the run has.
    """
    net = initial_net(config).train()
    palette = Palette.read(config.palette)
    batch = pictures.train[: config.train.batch_size]
    cross_entropy(net(palette.read_grey(batch)), palette.encode(batch)).backward()
    norms = {}
    for name, weight in net.named_parameters():
        if weight.ndim == 4:
            assert weight.grad is not None
            norms[name.split(".")[0]] = float(weight.grad.norm() / weight.detach().norm())
    return norms


def initial_net(config: RunConfig) -> HandoutNetwork:
    """A network with the weights that a run begins with."""
    torch.manual_seed(config.train.seed)
    assert isinstance(config.net, HandoutConfig)
    return build(config.net)


def detail_left(model: Model, pictures: Pictures, num: int) -> dict[str, float]:
    """Which share of the finest detail can be read off what each block reads, in per cent.

    The detail is what a grey picture has beyond the means of its 4 x 4 cells, each of which becomes one place
    of the smallest map. At each place of a map a linear read-out of the window that the block's convolution
    reads there, fitted on `num` training pictures, says what the pixels below are; it is told the mean of
    their cell. The share is that of the detail's variance which it finds in as many validation pictures.
    100: nothing is lost. 0: only the means are left.
    """
    fitted, scored = (
        _read_by_blocks(model, model.palette.read_grey(part[:num])) for part in (pictures.train, pictures.val)
    )
    return {name: 100 * _share_found(fitted[name], scored[name]) for name in fitted}


@dataclass(frozen=True)
class _Readings:
    """What a block reads of pictures, beside the pictures."""

    maps: Float32[Tensor, "N C h w"]
    grey: Float32[Tensor, "N 1 H W"]
    window: int

    def by_place(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Rows for the places of some pictures: the window, the pixels below, the mean of their cell.

        The window comes with that mean and with 1.
        """
        side = self.grey.shape[-1] // self.maps.shape[-1]
        for maps, grey in zip(self.maps.split(_AT_ONCE), self.grey.split(_AT_ONCE), strict=True):
            cells = functional.avg_pool2d(grey, CELL).repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)
            pixels, means = (
                functional.pixel_unshuffle(one, side).movedim(1, -1).flatten(0, 2) for one in (grey, cells)
            )
            windows = functional.unfold(maps, self.window, padding=self.window // 2).mT.flatten(0, 1)
            yield torch.cat([windows, means[:, :1], torch.ones_like(means[:, :1])], 1), pixels, means


@torch.inference_mode()
def _read_by_blocks(model: Model, grey: Grey) -> dict[str, _Readings]:
    """What every block is given, by its name."""
    given: dict[str, Tensor] = {}
    hooks = [
        block.register_forward_pre_hook(lambda _, args, name=name: given.update({name: args[0]}))
        for name, block in model.net.named_children()
    ]
    try:
        model.net(grey)
    finally:
        for hook in hooks:
            hook.remove()
    assert isinstance(model.config, HandoutConfig)
    return {name: _Readings(maps, grey, model.config.kernel) for name, maps in given.items()}


def _share_found(fitted: _Readings, scored: _Readings) -> float:
    """Share of what the pixels have beyond their mean that a read-out finds; none is counted as nothing."""
    parts = [(windows.T @ windows, windows.T @ pixels) for windows, pixels, _ in fitted.by_place()]
    square, cross = (torch.stack(one).double().sum(0) for one in zip(*parts, strict=True))
    square += _RIDGE * square.trace() / len(square) * torch.eye(len(square), dtype=torch.float64)
    weights = torch.linalg.solve(square, cross).float()
    missed = there = 0.0
    for windows, pixels, means in scored.by_place():
        missed += float(((pixels - windows @ weights) ** 2).sum())
        there += float(((pixels - means) ** 2).sum())
    return max(0.0, 1 - missed / there)
