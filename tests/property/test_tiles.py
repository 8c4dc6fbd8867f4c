"""Tiles with their margin give the features of the whole photo, wherever they are cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.tiny_backbone import MARGIN, tiny_backbone
from pixelwise.colour.palette import softmax
from pixelwise.errors import ShapeError
from pixelwise.network.backbone import open_backbone
from pixelwise.network.linear import logits_of_maps
from pixelwise.segmenting.extraction import Span, Tile, split, stitch
from pixelwise.segmenting.linear_head import EnlargedLogits, Weights

pytestmark = pytest.mark.core

EMBEDDED = open_backbone()
steps = st.sampled_from([1, 8, 32])


def enlarge(weights: Weights, *args) -> EnlargedLogits:
    return EnlargedLogits.of([weights], *args)[0]


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


sides = st.integers(1, 40)


def case(seed: int, sizes: list[tuple[int, int]], num_classes: int) -> tuple[Weights, list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    maps = [rng.standard_normal((3, *size), np.float32) for size in sizes]
    weight = rng.standard_normal((num_classes, 3 * len(maps)), np.float32)
    return Weights(weight, rng.standard_normal(num_classes, np.float32)), maps


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
