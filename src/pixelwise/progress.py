"""Progress with time left, on standard error; silent in a library, shown once a door turns it on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

Advance = Callable[[int, str], None]
"""Called with the number of steps just done and a short note on how it goes."""

_SHOW_AFTER_S = 0.5  # shorter work needs no bar

_shown = False


def show_progress(shown: bool) -> None:
    """Turn progress on or off for this process; it starts off, so that an embedding program stays quiet."""
    global _shown  # noqa: PLW0603 - one switch for one terminal
    _shown = shown


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Advance]:
    """Show `what` with a bar, the note of the last step, time spent and time left.

    On a terminal the bar moves in place; elsewhere a plain line appears about every ten seconds.
    """
    if not _shown:
        yield lambda _num, _note: None
        return
    from rich.console import Console

    console = Console(stderr=True)
    drawing = _bar(console, what, total) if console.is_terminal else _lines(console, what, total)
    with drawing as advance:
        yield advance


@contextlib.contextmanager
def _bar(console: object, what: str, total: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    assert isinstance(console, Console)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}", markup=False),  # a file may be called [red]
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total, note="")
        yield lambda num, note: bar.update(task, advance=num, note=note)


@contextlib.contextmanager
def _lines(console: object, what: str, total: int, every_s: float = 10.0) -> Iterator[Advance]:
    from rich.console import Console

    assert isinstance(console, Console)
    start = last = time.monotonic()
    done = 0

    def advance(num: int, note: str) -> None:
        nonlocal done, last
        done += num
        now = time.monotonic()
        if now - last >= every_s:
            last = now
            left_s = (now - start) / max(done, 1) * (total - done)
            console.print(f"{what}: {done}/{total}, {left_s:.0f} s left {note}", highlight=False)

    yield advance
