"""Networks that look at several requests' photos at once, where these wait anyway.

A request that comes while a processor is free has its photo looked at immediately. Those that have to wait
are looked at together, as many as are of one size: each answer is the same to the last bit, since torch
computes in one thread here, and the order of its sums does not depend on how many photos there are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pixelwise.predict import forward
from pixelwise.runs import Model
from pixelwise.shapes import Grey


@dataclass(eq=False)
class _Asked:
    """A grey picture that somebody waits for a word on."""

    model: Model
    grey: Grey
    logits: Future[Tensor] = field(default_factory=Future)
    is_taken: bool = False

    def fits(self, other: _Asked) -> bool:
        """Whether the same network can look at both at once."""
        return self.model is other.model and self.grey.shape[1:] == other.grey.shape[1:]


class Together:
    """Has networks look at what several threads ask of them."""

    def __init__(self, num_lanes: int, most: int) -> None:
        """`num_lanes` looks at a time, each at `most` photos at most."""
        self.num_lanes, self.most = num_lanes, most
        self.tell: Callable[[int], None] = lambda _num: None
        """Called with the number of photos of each look."""
        self._changed = threading.Condition()
        self._waiting: list[_Asked] = []
        self._num_looking = 0

    def ask(self, model: Model, grey: Grey) -> Tensor:
        """A model's logits (1, K, h, w) of one grey picture, by whichever thread comes to it."""
        mine = _Asked(model, grey)
        with self._changed:
            self._waiting.append(mine)
            self._changed.wait_for(lambda: mine.is_taken or self._num_looking < self.num_lanes)
            batch = [] if mine.is_taken else self._take(mine)
        if batch:
            self._look(batch)
        return mine.logits.result()

    def _take(self, mine: _Asked) -> list[_Asked]:
        """Mine and others that fit it, those that wait longest."""
        others = [one for one in self._waiting if one is not mine and one.fits(mine)][: self.most - 1]
        batch = [mine, *others]
        for one in batch:
            one.is_taken = True
            self._waiting.remove(one)
        self._num_looking += 1
        self._changed.notify_all()  # the others wait for an answer now, no longer for a lane
        return batch

    def _look(self, batch: list[_Asked]) -> None:
        try:
            logits = forward(batch[0].model, torch.cat([one.grey for one in batch]))
            for one, found in zip(batch, logits.split(1), strict=True):
                one.logits.set_result(found.clone() if len(batch) > 1 else found)
        except BaseException as error:
            for one in batch:
                one.logits.set_exception(error)
        finally:
            with self._changed:
                self._num_looking -= 1
                self._changed.notify_all()
        self.tell(len(batch))
