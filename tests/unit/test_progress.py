"""Progress: silent in a library, on standard error once a door turns it on."""

import io
import re
import sys

import pytest

from pixelwise.cli.common import say
from pixelwise.progress import progress, show_progress


@pytest.fixture(autouse=True)
def _off_again():
    yield
    show_progress(False)


def count(total: int) -> None:
    with progress("counting", total) as advance:
        for step in range(total):
            advance(1, f"step {step}")


def test_it_is_silent_until_turned_on(capfd):
    count(3)
    assert capfd.readouterr() == ("", "")


def test_off_a_terminal_plain_lines_tell_time_left_on_standard_error(capfd, monkeypatch):
    from pixelwise import progress as module

    show_progress(True)
    with module._lines(_console(), "counting", 4, every_s=0.0) as advance:
        advance(1, "so far so good")
    out, err = capfd.readouterr()
    assert out == ""
    assert "counting: 1/4, 0 s left so far so good" in err


def _console():
    from rich.console import Console

    return Console(stderr=True)


def test_short_work_off_a_terminal_says_nothing(capfd):
    show_progress(True)
    count(3)
    assert capfd.readouterr() == ("", "")


def test_what_is_said_meanwhile_stands_above_the_bar_whole(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    show_progress(True)
    with progress("colouring", 2) as advance:
        advance(1, "")
        say("[red] album/[b].jpg: cut short", always=True)
        advance(1, "[red] album/[b].jpg")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).replace("\r", "\n").splitlines()
    assert "pixelwise: [red] album/[b].jpg: cut short" in lines
    assert any("[red] album/[b].jpg" in line for line in lines if line.startswith("colouring"))
