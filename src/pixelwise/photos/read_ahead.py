"""Items made ahead of their use, by other threads, in order: photos are read, painted and encoded at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
S = TypeVar("S")


class Ahead(Iterator[T], Generic[T]):
    """Items of an iterator, made from now on by another thread, `depth` of them before they are asked for.

    A failure is raised where its item would have come. To stop early, `close`.
    """

    def __init__(self, items: Iterator[T], depth: int) -> None:
        self._items = items
        self._pool = ThreadPoolExecutor(1)
        self._waiting = deque(self._pool.submit(next, items) for _ in range(depth))

    def __next__(self) -> T:
        if not self._waiting:
            raise StopIteration
        try:
            item = self._waiting.popleft().result()
        except BaseException:  # a failure, or the StopIteration of the items
            self.close()
            raise
        self._waiting.append(self._pool.submit(next, self._items))
        return item

    def close(self) -> None:
        """Make no more; returns when the item in the making is done."""
        self._waiting.clear()
        self._pool.shutdown(cancel_futures=True)


def worked_ahead(work: Callable[[S], T], items: Iterator[S], num_threads: int) -> Generator[T]:
    """Yield `work` of each item, in order, by `num_threads` threads; one more result than threads may wait.

    Items are taken in the caller's thread.
    """
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > num_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
