"""Items made ahead of their use."""

import threading
import time

import pytest

from pixelwise.photos.read_ahead import Ahead, worked_ahead

pytestmark = pytest.mark.core


def counted(num, made):
    for number in range(num):
        made.append(number)
        yield number


def test_items_are_made_before_they_are_asked_for_but_no_more_than_the_depth():
    made: list[int] = []
    items = Ahead(counted(20, made), 4)
    deadline = time.monotonic() + 30
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert made == [0, 1, 2, 3]
    items.close()
    assert list(items) == []


def test_a_failure_comes_where_its_item_would_have_been():
    def fails():
        yield 1
        raise ValueError("no more")

    items = Ahead(fails(), 4)
    assert next(items) == 1
    with pytest.raises(ValueError, match="no more"):
        next(items)
    assert list(items) == []


def test_work_is_done_by_several_threads_and_given_in_order():
    both = threading.Barrier(2, timeout=60)

    def work(number):
        if number < 2:
            both.wait()  # which one thread alone would wait for in vain
        time.sleep(0.002 if number % 2 else 0)
        return number * number

    assert list(worked_ahead(work, iter(range(9)), 2)) == [number * number for number in range(9)]
