"""Tiles with their margin give the features of the whole photo, wherever they are cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.tiny_backbone import MARGIN, tiny_backbone
from pixelwise.network.backbone import open_backbone
from pixelwise.segmenting.extraction import Span, Tile, split, stitch

pytestmark = pytest.mark.core

EMBEDDED = open_backbone()
steps = st.sampled_from([1, 8, 32])


@given(st.integers(1, 40), st.integers(1, 40), steps, st.integers(0, 5), st.integers(1, 4000))
def test_tiles_cover_a_picture_once_at_multiples_of_the_step(rows, columns, step, margins, max_pixels):
    height, width, margin = rows * step, columns * step, margins * step
    covered = np.zeros((height, width), np.uint8)
    picture = np.broadcast_to(np.uint8(0), (3, height, width))
    limit = max(max_pixels, (4 * margin) ** 2, (2 * margin + step) ** 2)
    tiles = split(height, width, step=step, margin=margin, max_pixels=max_pixels)
    assert (len(tiles) == 1) == (height * width <= limit)
    for tile in tiles:
        for span, side in ((tile.rows, height), (tile.columns, width)):
            assert span.start % step == 0
            assert span.seen_start == max(0, span.start - margin)
            assert span.seen_stop == min(side, span.stop + margin)
        assert tile.crop(picture)[0].size <= limit
        covered[tile.rows.at(1), tile.columns.at(1)] += 1
    assert bool((covered == 1).all())


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
def test_tiled_equals_whole(rows, columns, seed):
    backbone = tiny_backbone()
    picture = np.random.default_rng(seed).random((3, rows * 8, columns * 8), np.float32)
    tiles = split(rows * 8, columns * 8, step=8, margin=MARGIN, max_pixels=600)

    def forward(part):
        return tuple(one[0] for one in backbone(part[None]))

    for whole, stitched in zip(forward(picture), stitch(picture, tiles, [4, 8], forward), strict=True):
        np.testing.assert_allclose(stitched, whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("place", [0, 1, 15])
def test_the_embedded_backbones_margin_suffices_and_half_of_it_does_not(axis, place):
    size = [3, 32, 32]
    size[axis] = 2 * EMBEDDED.margin + 3 * 32
    picture = np.random.default_rng(place).random(size, np.float32)
    start = 32 * place

    def own_features(margin):
        other = Span(0, 32, 0, 32)
        span = Span(start, start + 32, max(0, start - margin), min(size[axis], start + 32 + margin))
        tile = Tile(span, other) if axis == 1 else Tile(other, span)
        for level, whole, part in zip(EMBEDDED.levels, expected, forward(tile.crop(picture)), strict=True):
            needed = whole[:, tile.rows.at(level.stride), tile.columns.at(level.stride)]
            read = (
                tile.rows.at(level.stride, tile.rows.seen_start),
                tile.columns.at(level.stride, tile.columns.seen_start),
            )
            found = part[:, *read]
            yield needed, found

    def forward(part):
        return tuple(one[0] for one in EMBEDDED(part[None]))

    expected = forward(picture)
    for needed, found in own_features(EMBEDDED.margin):
        np.testing.assert_allclose(found, needed, rtol=1e-5, atol=1e-5)
    halved = own_features(EMBEDDED.margin // 64 * 32)
    assert max(np.abs(needed - found).max() for needed, found in halved) > 1e-4
