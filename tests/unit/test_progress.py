"""Progress: silent in a library, on standard error once a door turns it on."""

import io
import re
import sys
import time

import pytest

from pixelwise.cli.common import say
from pixelwise.progress import _lines, progress, show_progress


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


def test_off_a_terminal_plain_lines_tell_time_left_on_standard_error(capfd):
    with _lines("training on cifar10:horse", 100, done=90, every_s=0.01) as advance:
        time.sleep(0.05)
        advance(5, "so far so good")
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "training on cifar10:horse: 95/100, 0 s left, so far so good\n"


def test_time_left_follows_from_the_pace_of_this_run_alone(capfd, monkeypatch):
    now = iter([0.0, 60.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    with _lines("training", 1000, done=900, every_s=0.0) as advance:
        advance(10, "")
    assert "910/1000, 540 s left" in capfd.readouterr().err


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
    with progress("colouring :horse:", 2) as advance:
        advance(1, "")
        say("[red] album/[b].jpg: cut short", always=True)
        advance(1, "[red] album/[b].jpg")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).replace("\r", "\n").splitlines()
    assert "pixelwise: [red] album/[b].jpg: cut short" in lines
    assert any("[red] album/[b].jpg" in line for line in lines if line.startswith("colouring :horse:"))
