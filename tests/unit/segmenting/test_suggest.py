"""Which photos to label next: against brute force, and what must come of plain cases."""

import numpy as np
import pytest
import torch
from PIL import Image

from fixtures.tiny_backbone import tiny_backbone
from pixelwise.errors import CheckpointError, ConfigError
from pixelwise.labels.class_names import ClassNames
from pixelwise.segmenting.feature_cache import FeatureCache
from pixelwise.segmenting.heads import Head
from pixelwise.segmenting.linear_head import Weights
from pixelwise.segmenting.suggest import choose, doubt, suggest

RIDGE = 0.1


def made(num_photos: int, num_pixels: int = 4, num_directions: int = 6, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(num_photos, num_pixels, num_directions, generator=generator)
    return points, 0.01 + 0.24 * torch.rand(num_photos, num_pixels, generator=generator)


def mean_variance(points, doubts, labelled, total):
    """By the definition, over every candidate's pixels, once these photos are labelled."""
    rows, weights = (torch.cat([part.flatten(0, 1) for part in parts]) for parts in labelled)
    curvature = (rows.double() * weights.double()).T @ rows.double()
    covariance = torch.linalg.inv(curvature + RIDGE * total * torch.eye(rows.shape[1]).double())
    every = points.flatten(0, 1).double()
    return float(torch.einsum("pi,ij,pj->p", every, covariance, every).mean())


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
    pixels = torch.randn(5, 3)
    two = Weights(torch.randn(2, 3), torch.randn(2))
    p = (pixels @ two.weight.T + two.bias).softmax(-1)[:, 0]
    torch.testing.assert_close(doubt(pixels, two), (p * (1 - p)).clamp_min(1e-3))
    alike = Weights(torch.zeros(4, 3), torch.zeros(4))
    torch.testing.assert_close(doubt(pixels, alike), torch.full((5,), (1 - 1 / 4) / 2))
    assert len(doubt(pixels, None).unique()) == 1


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
        weights=Weights(torch.zeros(2, 30), torch.zeros(2)),
        backbone="tiny",
        backbone_checksum="0" * 64,
        sizes=(16, 32),
    )
    with pytest.raises(CheckpointError, match="the head other was learned on tiny with weights 000000000000"):
        suggest(photos, [], backbone, head, cache=cache)
