"""Which pixels a head is learned from: dense masks on a grid, scribbles wherever they are."""

import numpy as np
import pytest
from PIL import Image

from fixtures.photos.make import scene
from fixtures.tiny_backbone import tiny_backbone
from pixelwise.colour.palette import IGNORE
from pixelwise.errors import LabelError
from pixelwise.labels.labelled import LabelledPhoto
from pixelwise.network.config import FinetuneConfig
from pixelwise.segmenting.exact import places_of, solve_from_views, views_of
from pixelwise.segmenting.feature_cache import FeatureCache
from pixelwise.segmenting.linear_head import grid

pytestmark = pytest.mark.core

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
    """Learn from one photo for each of these labels."""
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
