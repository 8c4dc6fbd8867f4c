"""The optimiser of training, and learning-rate schedules."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch._dynamo  # what torch imports with its first optimiser: 2 s that are no training
from torch import Tensor, nn

from pixelwise.network.config import TrainConfig

_MUON_ITERATIONS = 3  # torch's 5 take a quarter of a small step and score no better: docs/log.md


class Optimiser:
    """Adam for all weights, or Muon for those of convolutions and Adam for the rest, on one schedule.

    torch's Muon takes matrices only: it gets views of weights (O, I, k, k) as (O, I k k).
    Source: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024;
    D. Kingma, J. Ba, arXiv:1412.6980.
    """

    def __init__(self, net: nn.Module, config: TrainConfig, num_steps: int) -> None:
        self.net, self.config, self.num_steps = net, config, num_steps
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

    def step(self, step: int) -> None:
        """Move the weights along their gradients and clear these; `step` counts from 0 and sets the rate."""
        frac = 1.0
        if self.config.schedule == "one-cycle":
            frac = rate_frac((step + 1) / (self.num_steps + 1), self.config.warmup_frac)
        for weight, view in self._views:
            assert weight.grad is not None
            view.grad = weight.grad.flatten(1)
        for part, rate in self._parts:
            for group in part.param_groups:
                group["lr"] = rate * frac
            part.step()
        self.net.zero_grad()

    def state(self) -> dict[str, Tensor]:
        """Return momenta and counts by name."""
        return {
            f"optimiser{i}.{index}.{key}": torch.as_tensor(value)
            for i, (part, _) in enumerate(self._parts)
            for index, values in part.state_dict()["state"].items()
            for key, value in values.items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Load what `state` returned; missing momenta start at zero."""
        states: dict[str, dict[int, dict[str, Tensor]]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimiser"):
                place, index, key = name.split(".", 2)
                states.setdefault(place, {}).setdefault(int(index), {})[key] = tensor
        for i, (part, _) in enumerate(self._parts):
            groups = part.state_dict()["param_groups"]
            part.load_state_dict({"state": states.get(f"optimiser{i}", {}), "param_groups": groups})


def rate_frac(done: float, warmup_frac: float, decay: Literal["linear", "cosine"] = "linear") -> float:
    """Return the fraction of the peak learning rate when the fraction `done` of the steps is done.

    The rate climbs along a line until `warmup_frac`, then falls to 0 along a line or a half cosine.
    Source: L. Smith, N. Topin, arXiv:1708.07120; I. Loshchilov, F. Hutter, arXiv:1608.03983.
    """
    if done < warmup_frac:
        return done / warmup_frac
    if decay == "linear":
        return (1 - done) / (1 - warmup_frac)
    return (1 + math.cos(math.pi * (done - warmup_frac) / (1 - warmup_frac))) / 2
