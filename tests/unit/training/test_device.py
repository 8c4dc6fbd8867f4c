"""Device, precision, threads and memory."""

import threading

import pytest
import torch

from pixelwise.errors import ConfigError
from pixelwise.training.device import ONE_THREAD, choose_device

CPU = torch.device("cpu")


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_a_gpu_that_is_not_there_is_said_to_be_missing():
    assert choose_device("auto") == CPU
    with pytest.raises(ConfigError, match="cuda"):
        choose_device("cuda")


@pytest.mark.usefixtures("three_threads")
def test_two_callers_at_once_leave_torchs_threads_as_they_were():
    both_inside, one_out = threading.Barrier(2, timeout=60), threading.Event()
    counts = []

    def paint_first_in_last_out(first: bool) -> None:
        with ONE_THREAD:
            both_inside.wait()
            counts.append(torch.get_num_threads())
            if not first:
                one_out.wait(60)
        one_out.set()

    callers = [threading.Thread(target=paint_first_in_last_out, args=(first,)) for first in (True, False)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert counts == [1, 1]
    thread = threading.Thread(target=lambda: counts.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), counts[-1]] == [3, 3]
