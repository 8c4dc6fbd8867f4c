"""Stopping between steps, and the stopwatch."""

import os
import signal
import time

import pytest

from pixelwise.training.stopping import Stopwatch, finish_step_first


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_waits_and_the_second_stops(number):
    before = signal.getsignal(number)
    with finish_step_first() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_what_happens_while_paused_does_not_count():
    clock = Stopwatch(already_s=100.0)
    with clock.paused():
        time.sleep(0.05)
    assert 100.0 <= clock.seconds() < 100.04
