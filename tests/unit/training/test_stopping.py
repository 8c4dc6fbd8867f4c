"""Stopping between steps."""

import os
import signal

import pytest

from pixelwise.training.stopping import finish_step_first


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
