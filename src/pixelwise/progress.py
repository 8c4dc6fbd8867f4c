"""Progress with time left, on standard error; silent in a library, shown once a program turns it on."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

Advance = Callable[[int, str], None]  # takes the number of steps just done and a note on how it goes

_LINE_EVERY_S = 10.0  # off a terminal: often enough to see life, seldom enough for a log

_shown = False


def show_progress(shown: bool) -> None:
    """Turn progress on or off for this process; it starts off, so that an embedding program stays quiet."""
    global _shown  # noqa: PLW0603 - one switch for one terminal
    _shown = shown


def progress_is_shown() -> bool:
    """Return whether progress is turned on, for code that shows a bar of its own."""
    return _shown


def announce(stage: str) -> None:
    """Print the stage that a long job has reached, on a line that stays."""
    if _shown:
        print(stage, file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(what: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Show `what` with the note of the last step and time left, as a bar or, off a terminal, in plain lines.

    Give what each step calls. `done` of the `total` steps were done before and do not count towards the pace.
    """
    if not _shown or sys.stderr is None:
        yield lambda _num, _note: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),  # a source may be called [red], a file :horse:
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[note]}", markup=False),
        )
        with Progress(*columns, console=Console(stderr=True, emoji=False)) as bar:
            task = bar.add_task(what, total=total, completed=done, note="")
            yield lambda num, note: bar.update(task, advance=num, note=note)
    else:
        yield _lines(what, total, done)


def _lines(what: str, total: int, done: int) -> Advance:
    start = last = time.monotonic()
    new = 0

    def advance(num: int, note: str) -> None:
        nonlocal new, last
        new += num
        now = time.monotonic()
        if now - last >= _LINE_EVERY_S:
            last = now
            left_s = (now - start) / max(new, 1) * (total - done - new)
            print(f"{what}: {done + new}/{total}, {left_s:.0f} s left, {note}", file=sys.stderr, flush=True)

    return advance
