"""What holds for scores whatever is scored: parts add up, names and order of classes do not matter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pixelwise.colour.palette import IGNORE
from pixelwise.evaluate.segmentation import boundary_f1
from pixelwise.labels.confusion import Confusion

pytestmark = pytest.mark.core

K = 4
shapes = array_shapes(min_dims=2, max_dims=2, max_side=12)


@st.composite
def pairs(draw):
    shape = draw(shapes)
    labels = draw(arrays(np.uint8, shape, elements=st.sampled_from([*range(K), IGNORE])))
    return draw(arrays(np.uint8, shape, elements=st.integers(0, K - 1))), labels


@given(pairs(), st.integers(0, 12))
def test_the_score_of_two_parts_is_the_score_of_the_whole(pair, row):
    given, labels = pair
    top, bottom = (Confusion.of(given[part], labels[part], K) for part in (np.s_[:row], np.s_[row:]))
    merged, whole = top + bottom, Confusion.of(given, labels, K)
    assert (merged.counts == whole.counts).all()
    np.testing.assert_array_equal(merged.iou, whole.iou)


@given(pairs(), st.permutations(range(K)))
def test_renaming_classes_leaves_scores(pair, order):
    renamed = np.full(256, IGNORE, np.uint8)
    renamed[:K] = order
    before = Confusion.of(*pair, K)
    after = Confusion.of(*(renamed[image] for image in pair), K)
    np.testing.assert_array_equal(after.iou[list(order)], before.iou)
    assert after.miou == pytest.approx(before.miou, nan_ok=True)
    outlines = boundary_f1(*(renamed[image] for image in pair), K)
    np.testing.assert_array_equal(outlines[list(order)], boundary_f1(*pair, K))


@given(pairs(), st.data())
def test_what_void_pixels_are_given_changes_nothing(pair, data):
    given, labels = pair
    void = labels == IGNORE
    other = np.where(void, data.draw(arrays(np.uint8, given.shape)), given)
    assert (Confusion.of(other, labels, K).counts == Confusion.of(given, labels, K).counts).all()
