"""The most useful hints, confidence and warnings."""

import math

import numpy as np
import pytest

from pixelwise.colour.palette import Palette
from pixelwise.colourising.known import KnownChroma
from pixelwise.colourising.next_hint import shown_at, suggest_hints
from pixelwise.colourising.prediction import Prediction
from pixelwise.colourising.run import photo_warnings

pytestmark = pytest.mark.core

RING = Palette(np.array([[60.0, 0], [0, 60], [-60, 0], [0, -60], [0, 0]]), "ab", "ring")


def sure_of(label: int, height: int = 1, width: int = 1, by: float = 50.0) -> np.ndarray:
    logits = np.zeros((RING.num_classes, height, width), np.float32)
    logits[label] = by
    return logits


def halves(doubtful: slice) -> tuple[np.ndarray, np.ndarray]:
    """A dark half and a light half; the network doubts some columns."""
    light = np.full((12, 24), 30.0, np.float32)
    light[:, 12:] = 70.0
    logits = sure_of(0, 12, 24)
    logits[:, :, doubtful] = np.log1p([1.0, 0, 0, 0, 0])[:, None, None]
    return logits, light


@pytest.mark.parametrize("doubtful", [slice(0, 12), slice(12, 24)])
def test_a_hint_goes_where_the_doubt_is(doubtful):
    logits, light = halves(doubtful)
    first, *others = suggest_hints(logits, light, RING, (1200, 2400), 3)
    assert doubtful.start * 100 <= first.column < doubtful.stop * 100
    assert 0.2 < first.cut < 1
    assert all(first.cut > other.cut for other in others)
    assert (
        first.colours[0].colour == shown_at(RING.class_chroma[:1], 30.0 if doubtful.start == 0 else 70.0)[0]
    )
    assert first.colours[0].chance == pytest.approx(2 / 6, abs=0.01)
    assert first.argument == f"{first.row},{first.column},{first.colours[0].colour}"


def test_doubt_that_cannot_be_seen_needs_no_hint():
    logits = np.zeros((5, 12, 24), np.float32)
    light = np.full((12, 24), 60.0, np.float32)
    light[:, :18] = 0.0  # any colour is black there
    first = suggest_hints(logits, light, RING, (12, 24), 1)[0]
    assert first.column >= 18


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (200, 300), (3, 5)])
def test_points_lie_in_the_photo_whatever_its_size(size):
    rng = np.random.default_rng(0)
    logits, light = rng.standard_normal((5, *size), np.float32), 100 * rng.random(size, np.float32)
    hints = suggest_hints(logits, light, RING, (31, 47), 4)
    assert hints
    assert len({(hint.row, hint.column) for hint in hints}) == len(hints)
    assert all(0 <= hint.row < 31 and 0 <= hint.column < 47 for hint in hints)
    assert sum(hint.cut for hint in hints) <= 1 + 1e-9


def flat(light: int, num: int = 100) -> np.ndarray:
    tones = np.zeros(101, int)
    tones[light] = num
    return tones


EVEN = np.ones(101, int)
GUESS = np.zeros((5, 1, 1), np.float32)
CANCELLED = sure_of(0) + sure_of(2)
ALL_KNOWN = KnownChroma(np.ones((1, 1)), np.zeros((2, 1, 1)))


@pytest.mark.parametrize(
    ("changed", "starts"),
    [
        ({}, []),
        ({"short_side": 31}, ["is only 31 pixels on its short side"]),
        ({"tones": flat(50)}, ["is nearly the same grey all over"]),
        ({"tones": flat(97, 70) + flat(3, 20) + flat(50, 10)}, ["is nearly all black and white"]),
        ({"tones": flat(97, 40) + flat(3, 30) + flat(50, 30)}, []),
        ({"logits": CANCELLED}, ["came out nearly grey"]),
        ({"logits": np.array([0.0, -50, -50, -50, 5])[:, None, None]}, []),  # sure that it is grey
        ({"logits": GUESS, "known": ALL_KNOWN}, []),
        (
            {"logits": GUESS, "tones": flat(50), "short_side": 1},
            ["is only", "is nearly", "is guessed", "came out"],
        ),
    ],
)
def test_warnings(changed, starts):
    usual = {"logits": sure_of(0), "known": None, "tones": EVEN, "short_side": 32} | changed
    prediction = Prediction(usual["logits"], RING, known=usual["known"])
    found = photo_warnings(prediction, 1.0, usual["tones"], usual["short_side"])
    assert len(found) == len(starts)
    assert all(one.startswith(start) for one, start in zip(found, starts, strict=True))


def test_confidence_is_one_when_sure_and_zero_when_even():
    logits = np.zeros((5, 1, 3), np.float32)
    logits[2, 0, 0] = 100.0
    logits[:2, 0, 2] = 50.0
    expected = [[1.0, 0.0, 1 - math.log(2) / math.log(5)]]
    np.testing.assert_allclose(Prediction(logits, RING).confidence(), expected, atol=1e-5, rtol=0)
