"""How weights move: the optimiser and its schedule."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch._dynamo  # what torch imports with its first optimiser: 2 s that are no training
from torch import Tensor, nn

from pixelwise.config import TrainConfig
from pixelwise.runs import flatten_state, unflatten_state

_MUON_ITERATIONS = 3  # torch's 5 take a quarter of a small step and score no better: docs/log.md


class Optimiser:
    """Adam for every weight, or Muon for the convolutions' and Adam for the rest, on one schedule.

    Muon moves each weight matrix along its momentum made orthogonal, so that every direction of the matrix
    learns at the same pace. A convolution's weight (O, I, k, k) is the matrix (O, I k k) of its unfolded
    product; torch's Muon takes matrices only, so it is handed views of that shape.

    Source: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024;
    D. Kingma, J. Ba, arXiv:1412.6980; the schedule after L. Smith, N. Topin, arXiv:1708.07120.
    """

    def __init__(self, net: nn.Module, config: TrainConfig, num_steps: int) -> None:
        self.config, self.num_steps = config, num_steps
        self.net = net
        weights = [p for p in net.parameters() if p.ndim == 4] if config.optimiser == "muon" else []
        rest = [p for p in net.parameters() if not any(p is w for w in weights)]
        self._views = [(weight, nn.Parameter(weight.detach().flatten(1))) for weight in weights]
        adam = torch.optim.AdamW(rest, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
        self._parts: list[tuple[torch.optim.Optimizer, float]] = [(adam, config.learning_rate)]
        if weights:
            muon = torch.optim.Muon(
                [view for _, view in self._views],
                lr=config.muon_rate,
                momentum=config.momentum,
                weight_decay=config.weight_decay,
                ns_steps=_MUON_ITERATIONS,
            )
            self._parts.append((muon, config.muon_rate))

    def step(self, loss: Tensor, step: int) -> None:
        """Move the weights one step down the gradient of `loss`; `step` counts from 0 and sets the rate.

        Gradients of other parts of the batch that are there already are added to it.
        """
        loss.backward()
        for weight, view in self._views:
            assert weight.grad is not None
            view.grad = weight.grad.flatten(1)
        for part, rate in self._parts:
            for group in part.param_groups:
                group["lr"] = rate * self.rate_frac(step)
            part.step()
        self.net.zero_grad()

    def rate_frac(self, step: int) -> float:
        """Share of the peak learning rate at a step."""
        if self.config.schedule == "constant":
            return 1.0
        return rate_frac((step + 1) / (self.num_steps + 1), self.config.warmup_frac, "linear")

    def state(self) -> dict[str, Tensor]:
        """Momenta and counts, by name."""
        parts = enumerate(part.state_dict()["state"] for part, _ in self._parts)
        return {
            name: value for i, state in parts for name, value in flatten_state(state, f"optimiser{i}").items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go on from what `state` gave; momenta that are not there start at nothing."""
        for i, (part, _) in enumerate(self._parts):
            groups = part.state_dict()["param_groups"]
            part.load_state_dict({"state": unflatten_state(tensors, f"optimiser{i}"), "param_groups": groups})


def rate_frac(done: float, warmup_frac: float, fall: Literal["linear", "cosine"]) -> float:
    """Return the share of the peak learning rate once a share of the steps is done.

    It climbs along a line, then falls to nothing along a line or half a cosine.

    Source: I. Loshchilov, F. Hutter, arXiv:1608.03983, without restarts.
    """
    if done < warmup_frac:
        return done / warmup_frac
    if fall == "linear":
        return (1 - done) / (1 - warmup_frac)
    return (1 + math.cos(math.pi * (done - warmup_frac) / (1 - warmup_frac))) / 2
