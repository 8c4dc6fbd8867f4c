"""Which pixels a head is learned from: dense masks on a grid, scribbles wherever they are."""

import pytest
import torch

from pixelwise.colour.palette import IGNORE
from pixelwise.errors import LabelError
from pixelwise.segmenting.objective import grid
from pixelwise.segmenting.pixel_sample import LabelledCrop, learn_exactly, places_of

SIDE = 200
GENERATOR = torch.Generator().manual_seed(0)


def nothing_labelled():
    return torch.full((SIDE, SIDE), IGNORE, dtype=torch.uint8)


def classes_at(labels, places):
    return torch.bincount(labels[places[:, 0], places[:, 1]], minlength=IGNORE + 1)


def test_dense_masks_are_gathered_on_the_grid():
    labels = torch.zeros(SIDE, SIDE, dtype=torch.uint8)
    labels[:100] = IGNORE
    places = grid(SIDE, SIDE, 10)
    assert torch.equal(places_of(labels, 400), places[places[:, 0] >= 100])


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
    assert len(places.unique(dim=0)) == len(places)


def crops(*labels):
    return [
        LabelledCrop(n, (torch.randn(5, 8, 8, generator=GENERATOR),), one) for n, one in enumerate(labels)
    ]


def test_what_has_no_label_at_all_is_refused():
    with pytest.raises(LabelError, match="got none"):
        learn_exactly(crops(nothing_labelled()), 1, 2)


def test_a_class_that_is_nowhere_is_named():
    labels = nothing_labelled()
    labels[0, 0], labels[5, 5] = 0, 3
    learned = learn_exactly(crops(labels, labels), 2, 4, ridge=0.1)
    assert learned.missing_classes == (1, 2)
