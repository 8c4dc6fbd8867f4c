"""Tiles with their margin give the features of the whole photo, wherever they are cut."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.backbones import open_backbone

BACKBONE = open_backbone()
STEP, MARGIN = BACKBONE.multiple, BACKBONE.margin
LONG = 2 * MARGIN + 3 * STEP  # so that a tile can have its margin on both sides, and photo beyond


def tile_of_maps(maps, start, stop, axis):
    """The part of each map that stands for the pixels from start to stop."""
    return [
        one.narrow(2 + axis, start // level.stride, (stop - start) // level.stride)
        for one, level in zip(maps, BACKBONE.levels, strict=True)
    ]


@settings(max_examples=12)
@given(
    seed=st.integers(0, 2**16),
    axis=st.sampled_from([0, 1]),
    places=st.lists(st.integers(0, LONG // STEP), min_size=2, max_size=2, unique=True).map(sorted),
)
def test_a_tile_with_its_margin_has_the_features_of_the_whole(seed, axis, places):
    size = (LONG, STEP) if axis == 0 else (STEP, LONG)
    photo = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed))
    start, stop = (place * STEP for place in places)
    begin, end = max(0, start - MARGIN), min(LONG, stop + MARGIN)
    with torch.inference_mode():
        whole = tile_of_maps(BACKBONE(photo), start, stop, axis)
        read = BACKBONE(photo.narrow(2 + axis, begin, end - begin))
    for needed, got in zip(whole, tile_of_maps(read, start - begin, stop - begin, axis), strict=True):
        torch.testing.assert_close(got, needed, rtol=1e-5, atol=1e-5)


def test_a_tile_in_a_corner_needs_a_margin_on_its_inner_sides_alone():
    size = MARGIN + 3 * STEP
    photo = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole, read = BACKBONE(photo), BACKBONE(photo[..., : size - STEP, STEP:])
    for needed, got in zip(whole, read, strict=True):
        num = 2 * STEP * needed.shape[-1] // size  # places that stand for the tile
        torch.testing.assert_close(got[..., :num, -num:], needed[..., :num, -num:], rtol=1e-5, atol=1e-5)


def test_half_the_margin_is_not_enough():
    """What is seen beyond it has its weight: a smaller margin is near, and not the same."""
    photo = torch.rand(1, 3, LONG, STEP, generator=torch.Generator().manual_seed(0))
    start, margin = MARGIN + STEP, MARGIN // 2 // STEP * STEP
    with torch.inference_mode():
        whole = tile_of_maps(BACKBONE(photo), start, start + STEP, 0)
        read = tile_of_maps(
            BACKBONE(photo[:, :, start - margin : start + STEP + margin]), margin, margin + STEP, 0
        )
    assert max(float((a - b).abs().max()) for a, b in zip(whole, read, strict=True)) > 1e-4
