"""Logits enlarged strip by strip are those of the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.colour.palette import softmax
from pixelwise.errors import ShapeError
from pixelwise.network.linear import logits_of_maps
from pixelwise.segmenting.linear_head import EnlargedLogits, Weights

pytestmark = pytest.mark.core

sides = st.integers(1, 40)


def case(seed: int, sizes: list[tuple[int, int]], num_classes: int) -> tuple[Weights, list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    maps = [rng.standard_normal((3, *size), np.float32) for size in sizes]
    weight = rng.standard_normal((num_classes, 3 * len(maps)), np.float32)
    return Weights(weight, rng.standard_normal(num_classes, np.float32)), maps


def enlarge(weights: Weights, *args) -> EnlargedLogits:
    return EnlargedLogits.of([weights], *args)[0]


@given(
    seed=st.integers(0, 2**31),
    sizes=st.lists(st.tuples(sides, sides), min_size=1, max_size=3),
    size=st.tuples(sides, st.integers(1, 60)),
    num_rows=st.integers(1, 45),
    num_classes=st.integers(2, 5),
)
def test_strips_are_the_whole(seed, sizes, size, num_rows, num_classes):
    weights, maps = case(seed, sizes, num_classes)
    enlarged = enlarge(weights, maps, size)
    spans = [(row, min(num_rows, size[0] - row)) for row in range(0, size[0], num_rows)]
    whole = logits_of_maps(maps, weights.weight, weights.bias, size)
    probs = np.concatenate([enlarged.probs(*span) for span in spans], axis=1)
    np.testing.assert_allclose(probs, softmax(whole), atol=1e-5, rtol=1e-4)
    labels = np.concatenate([enlarged.labels(*span) for span in spans])
    second, highest = np.sort(whole, axis=0)[-2:]
    sure = highest - second > 1e-4  # elsewhere rounding decides
    assert np.array_equal(labels[sure], whole.argmax(0)[sure])
    assert sure.mean() > 0.9 or sure.size < 100


@given(seed=st.integers(0, 2**31), size=st.tuples(sides, sides))
def test_turning_the_small_maps_turns_the_whole(seed, size):
    weights, maps = case(seed, [(5, 9), (3, 4)], 3)

    def turn(planes):
        return np.rot90(planes, -1, axes=(1, 2))

    turned = enlarge(weights, maps, size[::-1], turn).probs(0, size[1])
    upright = enlarge(weights, maps, size).probs(0, size[0])
    np.testing.assert_allclose(turned, turn(upright), atol=1e-5, rtol=1e-4)


def zeros(num_features, *biases):
    return Weights(np.zeros((len(biases), num_features), np.float32), np.array(biases, np.float32))


MAPS = [np.random.default_rng(0).random((2, 2, 2), np.float32)]


def test_a_tie_is_the_first_class():
    assert enlarge(zeros(2, 1, 1, 1), MAPS, (4, 4)).labels(0, 4).max() == 0
    assert enlarge(zeros(2, 0, 1, 1), MAPS, (4, 4)).labels(1, 2).tolist() == [[1] * 4] * 2


def test_maps_of_another_backbone():
    with pytest.raises(ShapeError, match="needed maps of 3 channels together, got 2"):
        enlarge(zeros(3, 0, 0), MAPS, (4, 4))
