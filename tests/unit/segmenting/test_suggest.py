"""Which photos to label next: against brute force, and what must come of plain cases."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fixtures.photos.make import scene
from fixtures.tiny_backbone import tiny_backbone, tiny_head
from pixelwise.colour.palette import IGNORE, softmax
from pixelwise.errors import CheckpointError, ConfigError, LabelError
from pixelwise.labels.labelled import LabelledPhoto, file_checksums
from pixelwise.labels.sources import load_labelled
from pixelwise.network.config import FinetuneConfig
from pixelwise.segmenting.exact import places_of, solve_from_views, views_of
from pixelwise.segmenting.feature_cache import FeatureCache
from pixelwise.segmenting.heads import photo_mark
from pixelwise.segmenting.linear_head import Weights, grid
from pixelwise.segmenting.suggest import candidates, choose, doubt, suggest

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
    head = tiny_head(backbone, "other", backbone_checksum="0" * 64)
    with pytest.raises(CheckpointError, match="the head other was learned on tiny with weights 000000000000"):
        suggest(photos, [], backbone, head, cache=cache)


SIDE = 200


def nothing_labelled():
    return np.full((SIDE, SIDE), IGNORE, np.uint8)


def classes_at(labels, places):
    return np.bincount(labels[places[:, 0], places[:, 1]], minlength=IGNORE + 1)


def test_dense_masks_are_gathered_on_the_grid():
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[:100] = IGNORE
    places = grid(SIDE, SIDE, 10)
    assert np.array_equal(places_of(labels, 400), places[places[:, 0] >= 100])


def test_thin_scribbles_and_single_points_are_found():
    labels = nothing_labelled()
    labels[3, 3:180] = 0
    labels[8:160, 11] = 1
    labels[77, 77] = 2
    counts = classes_at(labels, places_of(labels, 400))
    assert counts[:3].tolist() == [177, 152, 1]
    assert counts[IGNORE] == 0


def test_of_many_scribbled_pixels_as_many_are_taken_as_were_asked_for_and_some_of_each_class():
    labels = nothing_labelled()
    labels[:16] = 0
    labels[20, :60] = 1
    places = places_of(labels, 400)
    counts = classes_at(labels, places)
    assert 400 <= len(places) < 450
    assert counts[1] >= 20
    rows, columns = places[:, 0] * 1.0, places[:, 1] * 1.0
    assert rows[rows < 16].mean() == pytest.approx(7.5, abs=0.5)  # evenly
    assert columns[rows < 16].mean() == pytest.approx(SIDE / 2, abs=8)
    assert len(np.unique(places, axis=0)) == len(places)


def solved(folder, labels, num_classes):
    shots = []
    for number, one in enumerate(labels):
        path = folder / f"{number}.png"
        Image.fromarray(scene(SIDE, SIDE, seed=number)).save(path)
        shots.append(LabelledPhoto(path, path, one.copy))
    views = views_of([shot.photo for shot in shots], 2)
    features = FeatureCache(folder / "cache").maps(views, tiny_backbone())
    return solve_from_views(FinetuneConfig(source="photos", ridge=0.1), num_classes, shots, features)


def test_what_has_no_label_at_all_is_refused(tmp_path):
    with pytest.raises(LabelError, match="got none"):
        solved(tmp_path, [nothing_labelled()], 2)


def test_a_class_that_is_nowhere_is_named(tmp_path):
    labels = nothing_labelled()
    labels[0, 0], labels[5, 5] = 0, 3
    assert solved(tmp_path, [labels, labels], 4).missing_classes == (1, 2)


def test_a_ridge_that_single_precision_cannot_see_chooses_each_photo_once():
    rng = np.random.default_rng(0)
    points, doubts = rng.standard_normal((8, 9, 40), np.float32), np.full((8, 9), 0.2, np.float32)
    chosen = choose(points, doubts, points[:0], doubts[:0], ridge=1e-10, num=8)
    assert sorted(index for index, _ in chosen) == list(range(8))
    assert all(0 <= gain <= 1 for _, gain in chosen)


def test_what_the_head_learned_from_is_known_of_whatever_part_it_is(photos, tmp_path):
    folder = tmp_path / "labelled"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for photo in photos:
        (folder / "images" / photo.name).write_bytes(photo.read_bytes())
        Image.fromarray(np.eye(32, 40, dtype=np.uint8)).save(folder / "masks" / photo.name)
    source = f"folder:{folder}"
    labelled = load_labelled(source, None, 0)
    assert labelled.val
    seen = labelled.train + labelled.val
    marks = tuple(photo_mark(digest) for digest in file_checksums(one.photo for one in seen).values())
    head = tiny_head(tiny_backbone())
    for photos_marked, expected in ((marks, seen), ((), labelled.train)):
        facts = replace(head.facts, source=source, photos=photos_marked)
        _, known, _ = candidates(str(tmp_path), replace(head, facts=facts))
        assert {*known} == {one.photo for one in expected}
