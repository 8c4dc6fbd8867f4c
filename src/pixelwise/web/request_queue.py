"""Bounds how many requests are let in, wait, and are worked on."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from pixelwise.errors import PixelwiseError, is_of_memory
from pixelwise.network.session import give_back_memory, usable_processors
from pixelwise.web.limits import Limits
from pixelwise.web.problems import Refusal, busy

T = TypeVar("T")
_TRIM_EVERY_S = 5.0


class RequestQueue:
    """Lets requests in while there is room; a bounded number of threads do their work."""

    def __init__(self, limits: Limits, folder: Path) -> None:
        """Requests get folders of their own below `folder`."""
        self.limits, self.folder = limits, folder
        workers = limits.workers or 2 * usable_processors()  # while one waits for a disk, another computes
        self.pool = ThreadPoolExecutor(workers, thread_name_prefix="photo")
        self._most = workers + limits.queue
        self._inside: set[Slot] = set()
        self._trimmed_s = time.monotonic()
        self._lock = threading.Lock()

    @property
    def num_running(self) -> int:
        """Requests that a thread works on."""
        return sum(slot.is_running for slot in self._inside.copy())

    @property
    def num_waiting(self) -> int:
        """Requests that no thread works on: they arrive, wait or are answered."""
        return sum(not slot.is_running for slot in self._inside.copy())

    def enter(self) -> Slot:
        """Let a request in; Refusal if there are too many."""
        with self._lock:
            if len(self._inside) >= self._most:
                there = "there are as many; try again soon"
                raise busy(f"needed fewer than {self._most} requests at a time, {there}")
            slot = Slot(self, Path(tempfile.mkdtemp(dir=self.folder)))
            self._inside.add(slot)
        return slot

    def leave(self, slot: Slot) -> None:
        """Count a request as done; every few seconds, and when nobody is inside, hand memory back.

        Photos of many sizes in many threads leave free memory in pieces that no other photo fits in.
        """
        with self._lock:
            self._inside.discard(slot)
            if self._inside and time.monotonic() - self._trimmed_s < _TRIM_EVERY_S:
                return
            self._trimmed_s = time.monotonic()
        with contextlib.suppress(RuntimeError):  # closed
            self.pool.submit(give_back_memory)

    def close(self) -> None:
        """Begin nothing more."""
        self.pool.shutdown(wait=False, cancel_futures=True)


class Slot:
    """A request that was let in: its own folder, and its turn with the threads."""

    def __init__(self, queue: RequestQueue, folder: Path) -> None:
        self.folder = folder
        self._queue = queue
        self._work: Future[Any] | None = None

    @property
    def is_running(self) -> bool:
        """Whether a thread works on it."""
        return self._work is not None and self._work.running()

    async def run(self, work: Callable[[], T], upload: Path) -> T:
        """Return what `work` does in a thread; errors call the uploaded file "photo", not by our name.

        Raises:
            Refusal: it did not begin, or was not done, in time.
            PixelwiseError: what `work` raises.
        """
        seconds = self._queue.limits.seconds
        future = self._work = self._queue.pool.submit(work)
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), seconds)
        except TimeoutError:
            if future.cancel():
                raise busy(f"waited {seconds:g} s for its turn; try again later") from None
            raise Refusal(504, f"needed more than {seconds:g} s; send a smaller photo") from None
        except PixelwiseError as error:
            raise type(error)(str(error).replace(str(upload), "photo")) from error
        except (MemoryError, RuntimeError) as error:
            if is_of_memory(error):
                raise busy("needed more memory than there is; try again later, or a smaller photo") from error
            raise

    def leave(self) -> None:
        """Give the slot back; once its work is done, where that was given up on."""
        if self._work is None:
            self._left(None)
        else:
            self._work.cancel()  # unless it has begun
            self._work.add_done_callback(self._left)

    def _left(self, work: Future[Any] | None) -> None:
        if work is not None and not work.cancelled():
            _let_go(work.exception())  # nobody waits for it any more
        shutil.rmtree(self.folder, ignore_errors=True)
        self._queue.leave(self)


def _let_go(error: BaseException | None) -> None:
    """Drop what an error's frames hold: Windows removes no photo that one of them has open."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
