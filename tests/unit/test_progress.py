"""Progress: silent in a library, on standard error once a door turns it on."""

import pytest

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
