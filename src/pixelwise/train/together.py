"""Layers that see a whole batch, though each process, or each part in turn, holds a share of it."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pixelwise.config import TrainConfig
from pixelwise.errors import ConfigError
from pixelwise.processes import Processes, told_when_lost

_OVER = (0, 2, 3)  # all but the channels


class BatchNormTogether(nn.BatchNorm2d):
    """Batch norm by mean and deviation of all processes' shares; torch's own of that kind needs GPUs."""

    group: Processes

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """As `nn.BatchNorm2d`."""
        if not self.training:
            return super().forward(x)
        y, mean, var, count = _Normalised.apply(x, self.weight, self.bias, self.eps, self.group)
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            self.running_var.lerp_((var * count / (count - 1)).to(self.running_var), self.momentum)
            self.num_batches_tracked += 1
        return y


class _Normalised(torch.autograd.Function):
    """One question to the other processes on the way there, one on the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, group: Processes) -> Any:
        """The batch normalised; its mean, variance and number of values a channel."""
        exact = x if x.dtype == torch.float64 else x.float()
        own = torch.zeros(2 * x.shape[1] + 1, dtype=torch.float64, device=x.device)
        if x.numel():
            var, mean = torch.var_mean(exact, _OVER, correction=0)
            own[:-1], own[-1] = torch.cat((mean, var)).double(), x.numel() / x.shape[1]
        every = [torch.empty_like(own) for _ in range(group.num)]
        with told_when_lost():
            dist.all_gather(every, own)
        means, variances, counts = _split(torch.stack(every))
        count = counts.sum()
        mean = (counts * means).sum(0) / count
        var = (counts * (variances + (means - mean).square())).sum(0) / count
        ctx.save_for_backward(x, weight, mean.to(exact), (var + eps).rsqrt().to(exact), count.to(exact))
        ctx.group = group
        y = F.batch_norm(x, mean.to(weight), var.to(weight), weight, bias, training=False, eps=eps)
        ctx.mark_non_differentiable(mean, var, count)
        return y, mean, var, count

    @staticmethod
    def backward(ctx: Any, *by: Tensor) -> Any:
        """Gradients by x, weight and bias; the last two of this process's share, which are added up later."""
        x, weight, mean, scale, count = ctx.saved_tensors
        by_y = by[0] if x.dtype == torch.float64 else by[0].float()
        normal = (x - mean[:, None, None]) * scale[:, None, None]
        by_bias, by_weight = by_y.sum(_OVER), (by_y * normal).sum(_OVER)
        both = torch.stack((by_bias, by_weight))
        ctx.group.add_up(both)
        both /= count
        by_x = by_y - both[0][:, None, None] - normal * both[1][:, None, None]
        by_x *= (weight * scale)[:, None, None]
        return by_x.to(x.dtype), by_weight.to(weight), by_bias.to(weight), None, None


def _split(every: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    means, variances = every[:, :-1].chunk(2, 1)
    return means, variances, every[:, -1:]


class DropoutTogether(nn.Dropout2d):
    """Leaves out of a share of a batch what would be left out of the same pictures in the whole batch."""

    start, num, seed = 0, 0, 0

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """As `nn.Dropout2d`, which draws from torch's own generator."""
        if not self.training or self.p == 0:
            return x
        torch.manual_seed(self.seed)
        kept = x.new_empty(self.num, x.shape[1], 1, 1).bernoulli_(1 - self.p).div_(1 - self.p)
        return x * kept[self.start : self.start + len(x)]


def shared(net: nn.Module, train: TrainConfig, group: Processes) -> nn.Module:
    """The network, which in a group sees whole batches and averages its gradients with the others'.

    Raises:
        ConfigError: there are more processes and parts of a batch than pictures in it.
    """
    if group.num * train.accumulate > train.batch_size:
        raise ConfigError(
            f"needed a picture at least for each of {group.num} processes and {train.accumulate} parts of a "
            f"batch, got a batch of {train.batch_size}; give a larger --batch-size or fewer --workers"
        )
    see_whole_batches(net, group, shared_norm=train.shared_norm, in_parts=train.accumulate > 1)
    if group.num == 1:
        return net
    with told_when_lost():
        return DistributedDataParallel(net, gradient_as_bucket_view=True)


def gradients_kept_back(net: nn.Module, *, kept: bool) -> contextlib.AbstractContextManager[None]:
    """Gradients go to the other processes with those of a batch's last part."""
    return net.no_sync() if kept and isinstance(net, DistributedDataParallel) else contextlib.nullcontext()


def parts_of(num: int, num_parts: int, group: Processes) -> list[slice]:
    """A process's share of each part of a batch of `num` pictures."""
    ends = [num * part // num_parts for part in range(num_parts + 1)]
    return [group.part(*part) for part in itertools.pairwise(ends)]


def see_whole_batches(net: nn.Module, group: Processes, *, shared_norm: bool, in_parts: bool) -> None:
    """Exchange a network's layers for those that see whole batches, their weights and names kept.

    Frozen batch norm, which learns nothing, stays as it is; so does each process's own, unless shared.
    """
    for module in net.modules():
        if type(module) is nn.BatchNorm2d and shared_norm and group.num > 1 and _learns(module):
            module.__class__ = BatchNormTogether
            cast(BatchNormTogether, module).group = group
        elif type(module) is nn.Dropout2d and (group.num > 1 or in_parts):
            module.__class__ = DropoutTogether


def _learns(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def draw_as_whole(net: nn.Module, seed: int, part: slice, num: int) -> None:
    """Tell a network's dropout which part of a batch of `num` pictures comes next."""
    for module in net.modules():
        if isinstance(module, DropoutTogether):
            module.start, module.num, module.seed = part.start, num, seed
