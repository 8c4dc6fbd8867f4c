"""Progress: silent in a library, on standard error once a program turns it on."""

import io
import re
import sys
import time

import pytest

from pixelwise.cli.common import say
from pixelwise.progress import progress, show_progress

pytestmark = pytest.mark.core


@pytest.fixture(autouse=True)
def _off_again():
    yield
    show_progress(False)


@pytest.mark.parametrize("shown", [False, True])
def test_short_work_off_a_terminal_says_nothing(capfd, shown):
    show_progress(shown)
    with progress("counting", 3) as advance:
        for step in range(3):
            advance(1, f"step {step}")
    assert capfd.readouterr() == ("", "")


def test_time_left_follows_from_the_pace_of_this_run_alone(capfd, monkeypatch):
    show_progress(True)
    now = iter([0.0, 60.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    with progress("training", 1000, done=900) as advance:
        advance(10, "so far so good")
    assert capfd.readouterr() == ("", "training: 910/1000, 540 s left, so far so good\n")


def test_what_is_said_meanwhile_stands_above_the_bar_whole(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    show_progress(True)
    with progress("colouring :horse:", 2) as advance:
        advance(1, "")
        say("[red] album/[b].jpg: cut short")
        advance(1, "[red] album/[b].jpg")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).replace("\r", "\n").splitlines()
    assert "pixelwise: [red] album/[b].jpg: cut short" in lines
    assert any("[red] album/[b].jpg" in line for line in lines if line.startswith("colouring :horse:"))
