"""Which photos to label next: against brute force, and what must come of plain cases."""

import numpy as np
import pytest
from PIL import Image

from fixtures.tiny_backbone import tiny_backbone
from pixelwise.colour.palette import softmax
from pixelwise.errors import CheckpointError, ConfigError
from pixelwise.labels.class_names import ClassNames
from pixelwise.segmenting.feature_cache import FeatureCache
from pixelwise.segmenting.heads import Head
from pixelwise.segmenting.linear_head import Weights
from pixelwise.segmenting.suggest import choose, doubt, suggest

pytestmark = pytest.mark.core

RIDGE = 0.1


def made(num_photos: int, num_pixels: int = 4, num_directions: int = 6, seed: int = 0):
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((num_photos, num_pixels, num_directions), np.float32)
    return points, 0.01 + 0.24 * rng.random((num_photos, num_pixels), np.float32)


def mean_variance(points, doubts, labelled, total):
    """By the definition, over every candidate's pixels, once these photos are labelled."""
    rows, weights = (
        np.concatenate([part.reshape(-1, part.shape[2]) for part in parts]).astype(np.float64)
        for parts in labelled
    )
    covariance = np.linalg.inv((rows * weights).T @ rows + RIDGE * total * np.eye(rows.shape[1]))
    every = points.reshape(-1, points.shape[2]).astype(np.float64)
    return float(np.einsum("pi,ij,pj->p", every, covariance, every).mean())


def test_each_photo_is_the_one_after_which_logits_vary_least_by_brute_force():
    points, doubts = made(7)
    known, known_doubts = made(2, seed=1)
    chosen = choose(points, doubts, known, known_doubts, ridge=RIDGE, num=3)
    total = (2 + 3) * 4
    before = now = mean_variance(points, doubts, ([known], [known_doubts[..., None]]), total)
    taken = []
    for index, gain in chosen:
        after = {
            one: mean_variance(
                points,
                doubts,
                (
                    [known, *(points[i : i + 1] for i in [*taken, one])],
                    [known_doubts[..., None], *(doubts[i : i + 1, :, None] for i in [*taken, one])],
                ),
                total,
            )
            for one in range(7)
            if one not in taken
        }
        assert index == min(after, key=after.get)
        assert gain == pytest.approx((now - after[index]) / before, rel=1e-3)
        taken.append(index)
        now = after[index]


def test_doubt_is_that_of_two_classes_and_of_more_and_flat_without_a_head():
    rng = np.random.default_rng(0)
    pixels, weight, bias = (rng.standard_normal(size, np.float32) for size in ((5, 3), (2, 3), 2))
    p = softmax(pixels @ weight.T + bias, axis=-1)[:, 0]
    np.testing.assert_allclose(doubt(pixels, Weights(weight, bias)), (p * (1 - p)).clip(1e-3), rtol=1e-4)
    alike = Weights(np.zeros((4, 3), np.float32), np.zeros(4, np.float32))
    np.testing.assert_allclose(doubt(pixels, alike), np.full(5, (1 - 1 / 4) / 2), rtol=1e-6)
    assert len(np.unique(doubt(pixels, None))) == 1


@pytest.fixture
def photos(tmp_path):
    """Five near copies of a photo, and one that is nothing like it."""
    rng = np.random.default_rng(0)
    plain = np.full((32, 40, 3), 90) + rng.integers(0, 20, (32, 40, 3))
    wild = rng.integers(0, 256, (32, 40, 3))
    paths = []
    for number in range(6):
        pixels = wild if number == 4 else plain + rng.integers(0, 3, plain.shape)
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels.astype(np.uint8)).save(paths[-1])
    return paths


def test_the_photo_unlike_those_labelled_comes_first_and_what_is_known_decides(photos, tmp_path):
    cache, backbone = FeatureCache(tmp_path / "cache"), tiny_backbone()
    plain, wild = [*photos[:4], photos[5]], photos[4]
    suggested = suggest([*plain[1:], wild], plain[:1], backbone, num=2, cache=cache)
    assert suggested[0].photo == wild
    assert suggested[0].gain > suggested[1].gain > 0
    again = suggest(plain, [wild], backbone, num=5, cache=cache)
    assert {one.photo for one in again} == set(plain)
    assert again[0].gain > 1.5 * again[1].gain  # copies say it once


def test_what_cannot_be_chosen_from_is_refused(photos, tmp_path):
    cache, backbone = FeatureCache(tmp_path / "cache"), tiny_backbone()
    with pytest.raises(ConfigError, match=r"at least 1 to choose, got 6 and 0"):
        suggest(photos, [], backbone, num=0, cache=cache)
    head = Head(
        name="other",
        classes=ClassNames(("background", "disc")),
        weights=Weights(np.zeros((2, 30), np.float32), np.zeros(2, np.float32)),
        backbone="tiny",
        backbone_checksum="0" * 64,
        sizes=(16, 32),
    )
    with pytest.raises(CheckpointError, match="the head other was learned on tiny with weights 000000000000"):
        suggest(photos, [], backbone, head, cache=cache)
