"""Stopping between two steps."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator

_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def finish_step_first() -> Iterator[Callable[[], bool]]:
    """Hold back the first Ctrl-C or SIGTERM, and yield whether one came; a second one stops at once.

    Signals reach the main thread only: in another thread nothing is held back.
    """
    was_asked = False

    def note(_number: int, _frame: object) -> None:
        nonlocal was_asked
        if was_asked:
            raise KeyboardInterrupt
        was_asked = True
        _logger.warning("stopping after this step and saving; once more stops at once")

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: was_asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
