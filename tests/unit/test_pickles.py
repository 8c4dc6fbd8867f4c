"""Pickles read without running what they name; the hostile ones are the known ways to misuse a pickle."""

import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest

from pixelwise.data.pickles import byte_array, read_plain
from pixelwise.errors import DataError

ARRAY = np.arange(12, dtype=np.uint8).reshape(3, 4)


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_plain_values_come_as_they_were(protocol):
    value = {"numbers": [1, -2, 2**40, 3.5, True, None], "text": "äöü", "pair": (1, (2, 3))}
    assert read_plain(pickle.dumps(value, protocol=protocol)) == value


def test_strings_of_python_2_come_as_bytes():
    assert read_plain(b"\x80\x02U\x03abc.") == b"abc"


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_come_with_their_shape_and_order(protocol, order):
    array = np.asarray(ARRAY, order=order)
    assert np.array_equal(byte_array(read_plain(pickle.dumps(array, protocol=protocol))), ARRAY)


def test_names_of_numpy_1_are_taken_too():
    content = pickle.dumps(ARRAY, protocol=3).replace(b"cnumpy._core.", b"cnumpy.core.")
    assert b"cnumpy.core.multiarray" in content
    assert np.array_equal(byte_array(read_plain(content)), ARRAY)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.mkdir, "posix.mkdir"),
        (eval, "builtins.eval"),
        (getattr, "builtins.getattr"),
        (np.load, "numpy.load"),
    ],
)
def test_nothing_else_is_called(function, name, tmp_path):
    content = pickle.dumps(Call(function, str(tmp_path / "made")), protocol=2, fix_imports=False)
    with pytest.raises(
        DataError, match=f"needed a pickle of plain values and numpy arrays, got one that asks for {name}"
    ):
        read_plain(content)
    assert not list(tmp_path.iterdir())


def test_a_real_unpickler_would_have_run_it(tmp_path):
    """The pickle of the test above is a live one."""
    pickle.loads(pickle.dumps(Call(os.mkdir, str(tmp_path / "made")), protocol=2))
    assert (tmp_path / "made").is_dir()


def test_dotted_names_do_not_climb_out_of_an_allowed_module():
    content = b"\x80\x04\x8c\x05numpy\x8c\x19ndarray.__class__.__mro__\x93."
    with pytest.raises(DataError, match=r"asks for numpy\.ndarray\.__class__\.__mro__"):
        read_plain(content)


def test_state_given_to_a_stand_in_changes_nothing_for_the_next_pickle():
    setting = b"\x80\x02cnumpy\nndarray\n(NU\x04nameU\x01xd\x86b."
    with pytest.raises(DataError):
        read_plain(setting + b"rest")
    assert np.array_equal(byte_array(read_plain(pickle.dumps(ARRAY, protocol=3))), ARRAY)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text, no pickle",
        b"\x80\x02K",
        b"\x80\x63.",
        pickle.dumps({"data": ARRAY}, protocol=3)[:-20],
        b"\x80\x02]q\x00h\x07.",  # asks for a memo that is not there
        b"\x80\x02}]K\x01s.",  # a list as a key
        b"\x80\x02K\x01K\x02R.",  # calls a number
        b"\x80\x02K\x01)\x81.",  # makes a new object of a number
        b"\x80\x02T\xff\xff\xff\x7f.",  # a string of two gigabytes
        b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b".",  # an array of 4 exabytes
        b"\x80\x02(((.",
    ],
)
def test_damaged_pickles_are_data_errors(content):
    with pytest.raises(DataError, match="needed a whole pickle of plain values, got a damaged one"):
        read_plain(content)


def test_a_large_memo_index_takes_no_memory():
    """In C's unpickler these bytes take 1.6 GB."""
    tracemalloc.start()
    try:
        assert read_plain(b"\x80\x02Nr" + struct.pack("<I", 100_000_000) + b".") is None
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", [5, [1, 2], b"bytes", {"data": 1}])
def test_what_is_no_array_is_named(value):
    with pytest.raises(DataError, match=f"needed a numpy array, got {type(value).__name__}"):
        byte_array(value)


@pytest.mark.parametrize(
    "array", [ARRAY.astype(np.float32), ARRAY.astype(">u2"), np.array([[1], "x"], dtype=object)]
)
def test_arrays_of_other_types_are_refused(array):
    with pytest.raises(DataError, match="needed an array of bytes"):
        byte_array(read_plain(pickle.dumps(array, protocol=3)))


def test_a_shape_that_the_content_does_not_fill_is_refused():
    content = pickle.dumps(ARRAY, protocol=3)
    shape = b"K\x03K\x04\x86"
    assert content.count(shape) == 1
    for wrong in (
        b"K\x03K\x05\x86",
        b"J\xff\xff\xff\xffJ\xf4\xff\xff\xff\x86",
        b"K\x03J\xff\xff\xff\x7f\x86",
    ):
        with pytest.raises(DataError, match="whose content fills its shape"):
            byte_array(read_plain(content.replace(shape, wrong)))
