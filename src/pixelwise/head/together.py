"""A head solved over what several processes have, each of which sees its own pixels alone.

A mean loss is a sum over pixels, and so is its gradient: whoever solves asks all processes for theirs at the
same weights, adds them up, and takes the steps that one process with all the pixels would take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from pixelwise.head.objective import Objective
from pixelwise.processes import Processes

T = TypeVar("T")

_ENDED, _SINGLE, _DOUBLE, _SAMPLE = range(4)
_PRECISION = {torch.float32: _SINGLE, torch.float64: _DOUBLE}


@dataclass(frozen=True, eq=False)
class Share:
    """What one process has of an objective."""

    num_classes: int
    num_features: int
    own: Objective | None
    """None: it has no labelled pixel."""
    group: Processes

    def sums(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Its pixels' weight, their loss and its gradients, one after the other, in double precision."""
        if self.own is None:
            return torch.zeros(2 + weight.numel() + bias.numel(), dtype=torch.float64)
        total = torch.tensor([self.own.total_weight], dtype=torch.float64)
        value, by_weight, by_bias = self.own.value_and_gradient(weight, bias)
        means = torch.cat((total.new_tensor([value]), by_weight.flatten(), by_bias))
        return torch.cat((total, means * total))

    @property
    def total_weight(self) -> float:
        """As `Objective`, of its own pixels."""
        return self.own.total_weight if self.own else 0.0

    def value_and_gradient(self, weight: Tensor, bias: Tensor) -> tuple[float, Tensor, Tensor]:
        """As `Objective`, over all processes; of the first one, while the others `answer`."""
        self._tell(_PRECISION[weight.dtype])
        self._as_first(weight, bias)
        return self._added_up(weight, bias)

    def sample(self, num_rows: int) -> Float[Tensor, "P D"]:
        """As `Objective`, over all processes; of the first one, while the others `answer`."""
        self._tell(_SAMPLE, num_rows)
        return self._sampled(num_rows)

    def answer(self) -> None:
        """Give what the first process asks for, until it asks no more."""
        while True:
            what, num_rows = self._tell(_ENDED)
            if what == _ENDED:
                return
            if what == _SAMPLE:
                self._sampled(num_rows)
                continue
            kind = torch.float32 if what == _SINGLE else torch.float64
            weight = torch.empty(self.num_classes, self.num_features, dtype=kind)
            bias = torch.empty(self.num_classes, dtype=kind)
            self._as_first(weight, bias)
            self._added_up(weight, bias)

    def end(self) -> None:
        """Ask no more."""
        self._tell(_ENDED)

    def _tell(self, what: int, num_rows: int = 0) -> tuple[int, int]:
        told = torch.tensor([what, num_rows])
        self.group.as_first(told)
        return int(told[0]), int(told[1])

    def _sampled(self, num_rows: int) -> Tensor:
        of_each = -(-num_rows // self.group.num)
        own = self.own.sample(of_each) if self.own else torch.empty(0, self.num_features)
        return torch.cat(self.group.each(own))

    def _as_first(self, *tensors: Tensor) -> None:
        for tensor in tensors:
            self.group.as_first(tensor)

    def _added_up(self, weight: Tensor, bias: Tensor) -> tuple[float, Tensor, Tensor]:
        sums = self.sums(weight, bias)
        self.group.add_up(sums)
        value, by_weight, by_bias = (sums[1:] / sums[0]).split([1, weight.numel(), bias.numel()])
        return float(value), by_weight.view_as(weight).to(weight), by_bias.to(bias)


def over_all(
    own: Objective | None,
    num_features: int,
    num_classes: int,
    group: Processes,
    solve: Callable[[Objective], T],
) -> T:
    """What `solve` makes of the objective over all processes' own, in all of them.

    It runs in the first process alone, so that all have the same answer to the last bit.

    Raises:
        ProcessLostError: one of them is gone.
        PixelwiseError: whatever `solve` raises, in all of them.
    """
    if group.num == 1:
        assert own is not None
        return solve(own)
    share = Share(num_classes, num_features, own, group)

    def lead() -> T:
        try:
            return solve(share)
        finally:
            share.end()

    if not group.leads:
        share.answer()
    return group.by_first(lead)
