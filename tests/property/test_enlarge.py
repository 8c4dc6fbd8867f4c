"""Logits enlarged strip by strip are those of the whole."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.errors import ShapeError
from pixelwise.segmenting.enlarge import EnlargedLogits
from pixelwise.segmenting.linear_head import Weights

sides = st.integers(1, 40)


def case(seed: int, sizes: list[tuple[int, int]], num_classes: int) -> tuple[Weights, list[torch.Tensor]]:
    torch.manual_seed(seed)
    maps = [torch.randn(3, *size) for size in sizes]
    return Weights(torch.randn(num_classes, 3 * len(maps)), torch.randn(num_classes)), maps


@given(
    seed=st.integers(0, 2**31),
    sizes=st.lists(st.tuples(sides, sides), min_size=1, max_size=3),
    size=st.tuples(sides, st.integers(1, 60)),
    num_rows=st.integers(1, 45),
    num_classes=st.integers(2, 5),
)
def test_strips_are_the_whole(seed, sizes, size, num_rows, num_classes):
    weights, maps = case(seed, sizes, num_classes)
    enlarged = EnlargedLogits(weights, maps, size)
    spans = [(row, min(num_rows, size[0] - row)) for row in range(0, size[0], num_rows)]
    whole = weights.logits(maps, size)
    probs = np.concatenate([enlarged.probs(*span) for span in spans], axis=1)
    np.testing.assert_allclose(probs, whole.softmax(0), atol=1e-5, rtol=1e-4)
    labels = np.concatenate([enlarged.labels(*span) for span in spans])
    highest = whole.topk(2, dim=0).values.numpy()
    sure = highest[0] - highest[1] > 1e-4  # elsewhere rounding decides
    assert np.array_equal(labels[sure], weights.labels(maps, size).numpy()[sure])
    assert sure.mean() > 0.9 or sure.size < 100


@given(seed=st.integers(0, 2**31), size=st.tuples(sides, sides))
def test_turning_the_small_maps_turns_the_whole(seed, size):
    weights, maps = case(seed, [(5, 9), (3, 4)], 3)

    def turn(planes):
        return np.rot90(planes, -1, axes=(1, 2))

    turned = EnlargedLogits(weights, maps, size[::-1], turn).probs(0, size[1])
    upright = EnlargedLogits(weights, maps, size).probs(0, size[0])
    np.testing.assert_allclose(turned, turn(upright), atol=1e-5, rtol=1e-4)


def test_a_tie_is_the_first_class():
    weights = Weights(torch.zeros(3, 2), torch.tensor([1.0, 1.0, 1.0]))
    assert EnlargedLogits(weights, [torch.rand(2, 2, 2)], (4, 4)).labels(0, 4).max() == 0
    later = Weights(torch.zeros(3, 2), torch.tensor([0.0, 1.0, 1.0]))
    assert EnlargedLogits(later, [torch.rand(2, 2, 2)], (4, 4)).labels(1, 2).tolist() == [[1] * 4] * 2


def test_maps_of_another_backbone():
    with pytest.raises(ShapeError, match="needed maps of 3 channels together, got 2"):
        EnlargedLogits(Weights(torch.zeros(2, 3), torch.zeros(2)), [torch.rand(2, 2, 2)], (4, 4))
