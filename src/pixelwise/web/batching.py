"""Runs networks on the photos of several requests at once, where these wait anyway.

A request that comes while a processor is free runs at once. Those that have to wait are run as one batch, as
many as are of one size: each result is the same to the last bit, since the order of sums does not depend on
how many there are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float32
from pixelwise.network.model import Colouriser

_MAX_BATCH = 8  # photos in one forward pass
Grey = Float32[ndarray, "1 1 H W"]
Answer = Float32[ndarray, "1 C h w"]


@dataclass(eq=False)
class _Job:
    """A grey picture whose answer a thread waits for."""

    model: Colouriser
    grey: Grey
    answer: Future[Answer] = field(default_factory=Future)


class Batcher:
    """Runs networks for several threads."""

    def __init__(self, num_lanes: int) -> None:
        """At most `num_lanes` batches run at a time."""
        self.num_lanes = num_lanes
        self.on_batch: Callable[[int], None] = lambda _num: None  # called with the size of each batch
        self._changed = threading.Condition()
        self._waiting: list[_Job] = []
        self._num_running = 0

    def forward(self, model: Colouriser, grey: Grey) -> Answer:
        """Return a model's answer (1, C, h, w) to one grey picture, computed by whichever thread is free."""
        own = _Job(model, grey)
        with self._changed:
            self._waiting.append(own)
            self._changed.wait_for(lambda: own not in self._waiting or self._num_running < self.num_lanes)
            batch = self._take(own) if own in self._waiting else []
        if batch:
            self._run(batch)
        return own.answer.result()

    def _take(self, own: _Job) -> list[_Job]:
        """Return own job and others that fit it, those that wait longest."""
        of_model = [job for job in self._waiting if job.model is own.model and job is not own]
        others = [job for job in of_model if job.grey.shape[1:] == own.grey.shape[1:]]
        batch = [own, *others[: _MAX_BATCH - 1]]
        self._waiting = [job for job in self._waiting if job not in batch]
        self._num_running += 1
        self._changed.notify_all()  # the others wait for a result now, no longer for a lane
        return batch

    def _run(self, batch: list[_Job]) -> None:
        try:
            answers = batch[0].model(np.concatenate([job.grey for job in batch]))
            for index, job in enumerate(batch):
                job.answer.set_result(answers[index : index + 1].copy() if len(batch) > 1 else answers)
        except BaseException as error:
            for job in batch:
                job.answer.set_exception(error)
        finally:
            with self._changed:
                self._num_running -= 1
                self._changed.notify_all()
        self.on_batch(len(batch))
