"""Whatever bytes come as a pickle, the answer is plain values or a DataError, and nothing is run."""

import contextlib
import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pixelwise.data.pickles import byte_array, read_plain
from pixelwise.errors import DataError

WHOLE = pickle.dumps({"data": np.arange(12, dtype=np.uint8).reshape(3, 4), "labels": [1, 2, 3]}, protocol=2)

atoms = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
plain = st.recursive(
    atoms, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner)
)


@given(plain, st.integers(0, 4))
def test_plain_values_survive(value, protocol):
    assert read_plain(pickle.dumps(value, protocol=protocol)) == value


@given(arrays.arrays(np.uint8, arrays.array_shapes(max_dims=4)))
def test_byte_arrays_survive(array):
    assert np.array_equal(byte_array(read_plain(pickle.dumps(array, protocol=4))), array)


@given(st.binary(max_size=60), st.sampled_from([b"", b"\x80\x02", b"\x80\x04", b"\x80\x02cnumpy\nndarray\n"]))
def test_any_bytes_are_read_or_refused(tail, head):
    with contextlib.suppress(DataError):
        read_plain(head + tail)


@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=4))
def test_a_spoilt_pickle_is_read_or_refused(at, spoilt):
    with contextlib.suppress(DataError):
        record = read_plain(WHOLE[:at] + spoilt + WHOLE[at + len(spoilt) :])
        byte_array(record["data"] if isinstance(record, dict) and "data" in record else None)
