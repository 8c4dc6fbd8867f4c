"""Which photos to label next: what holds for any photos."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.segmenting.suggest import choose


@given(
    num_photos=st.integers(1, 8),
    num_known=st.integers(0, 3),
    num=st.integers(1, 10),
    ridge=st.floats(0.01, 1),
    seed=st.integers(0, 2**16),
)
def test_gains_are_positive_and_each_photo_comes_once_in_any_order_of_the_photos(
    num_photos, num_known, num, ridge, seed
):
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(num_photos, 3, 5, generator=generator)
    doubts = 0.01 + 0.24 * torch.rand(num_photos, 3, generator=generator)
    known = torch.randn(num_known, 3, 5, generator=generator), torch.full((num_known, 3), 0.2)
    chosen = choose(points, doubts, *known, ridge=ridge, num=num)
    assert len({index for index, _ in chosen}) == len(chosen) == min(num, num_photos)
    assert all(gain > 0 for _, gain in chosen)
    assert sum(gain for _, gain in chosen) < 1
    order = torch.randperm(num_photos, generator=generator)
    shuffled = choose(points[order], doubts[order], *known, ridge=ridge, num=num)
    for (index, gain), (other, other_gain) in zip(chosen, shuffled, strict=True):
        assert int(order[other]) == index
        assert abs(gain - other_gain) < 1e-4
