"""A picture in tiles is the picture: every place once, and the same maps."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.tiny_backbone import MARGIN, tiny_backbone
from pixelwise.features.tiling import split, stitch

steps = st.sampled_from([1, 8, 32])


@given(st.integers(1, 40), st.integers(1, 40), steps, st.integers(0, 5), st.integers(1, 4000))
def test_tiles_cover_a_picture_once_at_multiples_of_the_step(rows, columns, step, margins, max_pixels):
    height, width, margin = rows * step, columns * step, margins * step
    covered = torch.zeros(height, width, dtype=torch.int64)
    for tile in split(height, width, step=step, margin=margin, max_pixels=max_pixels):
        for span, side in ((tile.rows, height), (tile.columns, width)):
            assert span.start % step == 0
            assert span.seen_start == max(0, span.start - margin)
            assert span.seen_stop == min(side, span.stop + margin)
        assert tile.num_seen <= max(max_pixels, (4 * margin) ** 2, (2 * margin + step) ** 2)
        covered[tile.rows.own(1), tile.columns.own(1)] += 1
    assert bool((covered == 1).all())


@given(st.integers(1, 30), st.integers(1, 30), st.integers(4000, 40_000))
def test_a_picture_that_fits_is_left_whole(rows, columns, max_pixels):
    tiles = split(rows * 8, columns * 8, step=8, margin=8, max_pixels=max_pixels)
    assert (len(tiles) == 1) == (rows * columns * 64 <= max(max_pixels, 32 * 32))


@settings(max_examples=25)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**31))
def test_tiled_equals_whole(rows, columns, seed):
    """With the margin that the network needs; with less it does not, or the test would show nothing."""
    backbone = tiny_backbone()
    picture = torch.rand(3, rows * 8, columns * 8, generator=torch.Generator().manual_seed(seed))
    tiles = split(rows * 8, columns * 8, step=8, margin=MARGIN, max_pixels=600)
    strides = [level.stride for level in backbone.levels]

    def look(part):
        return tuple(one[0] for one in backbone(part[None]))

    for whole, stitched in zip(look(picture), stitch(picture, tiles, strides, look), strict=True):
        torch.testing.assert_close(stitched, whole, rtol=0, atol=1e-6)


def test_with_a_smaller_margin_it_does_not():
    backbone = tiny_backbone()
    picture = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    tiles = split(64, 64, step=8, margin=0, max_pixels=600)
    assert len(tiles) > 1

    def look(part):
        return tuple(one[0] for one in backbone(part[None]))

    stitched = stitch(picture, tiles, [4, 8], look)
    assert (stitched[1] - look(picture)[1]).abs().max() > 1e-3
