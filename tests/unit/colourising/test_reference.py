"""Another photo's colours followed; other ways to colour one photo."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import log_softmax
from skimage.color import deltaE_ciede2000

from pixelwise.colour.palette import Palette, softmax
from pixelwise.colourising.alternatives import alternatives
from pixelwise.colourising.known import KnownChroma
from pixelwise.colourising.next_hint import shown_at, suggest_hints
from pixelwise.colourising.options import ColouriseOptions, Hint
from pixelwise.colourising.prediction import Prediction
from pixelwise.colourising.reference import Reference, follow
from pixelwise.colourising.run import photo_warnings
from pixelwise.errors import ConfigError

pytestmark = pytest.mark.core

ANGLES = np.arange(8) * math.pi / 4
PALETTE = Palette(np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1) * 40, "ab", "ring")


def logits(seed: int = 0, height: int = 16, width: int = 24) -> np.ndarray:
    """Those of a network that doubts: two regions, each with thoughts of its own."""
    rng = np.random.default_rng(seed)
    noise = 0.3 * rng.standard_normal((8, height, width), np.float32)
    left, right = rng.standard_normal((2, 8, 1, 1), np.float32)
    return noise + np.where(np.arange(width) < width // 2, left, right)


def coloured(path: Path, *colours: tuple[int, int, int]) -> Path:
    """A photo of stripes of these colours, each from dark to light."""
    stripes = [
        np.linspace(0.3, 1, 48)[:, None, None] * np.array(colour) * np.ones((48, 20, 1)) for colour in colours
    ]
    Image.fromarray(np.concatenate(stripes, axis=1).astype(np.uint8)).save(path)
    return path


def test_the_shares_of_a_reference_are_met_and_evidence_is_kept(tmp_path):
    reference = Reference.read(coloured(tmp_path / "a.png", (200, 60, 60), (70, 80, 200)), PALETTE)
    np.testing.assert_allclose(reference.shares.sum(1), 1, rtol=1e-5)
    before, light = logits(), np.full((16, 24), 50.0, np.float32)
    after = follow(before, light, reference)
    met = softmax(after).mean((1, 2))
    np.testing.assert_allclose(met, reference.shares[1], atol=0.02, rtol=0)
    # Which of two pixels is likelier to have a class rather than another stays as it was.
    gain = after - before
    np.testing.assert_allclose(gain, np.broadcast_to(gain[:, :1, :1], gain.shape), atol=1e-4, rtol=0)


def test_a_reference_is_followed_by_lightness(tmp_path):
    """Dark red and light blue there make dark parts red and light parts blue here."""
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[:20], picture[20:] = (90, 10, 20), (190, 210, 255)
    picture[:, :16] = picture[:, :16].mean(2, keepdims=True)
    picture[:, 16:24] = picture[:, 16:24, [1, 0, 2]]
    Image.fromarray(picture).save(tmp_path / "a.png")
    reference = Reference.read(tmp_path / "a.png", PALETTE)
    light = np.tile(np.where(np.arange(24) < 12, np.float32(15), np.float32(85)), (16, 1))
    a, b = PALETTE.chroma(follow(logits(), light, reference)[None], 1.0)[0]
    assert float(a[:, :12].mean()) > 15
    assert float(b[:, 12:].mean()) < -10


@pytest.mark.parametrize(("mode", "colour"), [("L", 128), ("RGB", (180, 150, 110))])
def test_a_grey_or_toned_reference_is_refused(mode, colour, tmp_path):
    Image.new(mode, (40, 30), colour).save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match=r"got .*a\.png, which is grey"):
        Reference.read(tmp_path / "a.png", PALETTE)
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(ConfigError, match=r"cannot be read: .*a\.png"):
        Reference.read(tmp_path / "a.png", PALETTE)


@pytest.mark.parametrize("num", [2, 3, 4, 6])
def test_alternatives_begin_with_the_usual_and_are_apart(num):
    usual = logits()
    found = alternatives(usual, PALETTE, num)
    assert len(found) == num
    assert all(
        np.array_equal(one, again)
        for one, again in zip(found, alternatives(usual, PALETTE, num), strict=True)
    )
    assert found[0] is usual
    light = np.full((1, 16, 24), 60.0, np.float32)
    labs = [np.moveaxis(np.concatenate([light, PALETTE.chroma(one[None], 1.0)[0]]), 0, -1) for one in found]
    apart = [deltaE_ciede2000(a, b).mean() for i, a in enumerate(labs) for b in labs[:i]]
    assert min(apart) > 4
    logs = log_softmax(usual, 0)
    for one in found[1:]:
        price = (softmax(one) * (log_softmax(one, 0) - logs)).sum(0).mean()
        assert 0.05 < float(price) < 0.8  # nats


def test_where_a_network_is_certain_alternatives_leave_it():
    sure = logits()
    sure[3, :, :12] += 30.0
    for one in alternatives(sure, PALETTE, 4):
        moved = PALETTE.chroma(one[None], 1.0)[0] - PALETTE.chroma(sure[None], 1.0)[0]
        assert np.abs(moved[:, :, :11]).max() < 0.5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": 0.0}, "temperature .* 0.01 to 100, got 0"),
        ({"saturation": -1.0}, "saturation .* 0 to 10, got -1"),
        ({"saturation": math.nan}, "got nan"),
        ({"alternatives": 0}, "alternatives .* 1 to 12, got 0"),
        ({"reference_strength": 1.5}, "reference-strength .* 0 to 1, got 1.5"),
        ({"num_hints": 101}, "suggest-hints .* 0 to 100, got 101"),
        ({"max_megapixels": 0.0}, "max-megapixels .* got 0"),
        ({"hints": (Hint(3, 4, "#c07030"), Hint(3, 4, "#308090"))}, "got #c07030 and #308090 at 3,4"),
    ],
)
def test_wrong_options(values, message):
    with pytest.raises(ConfigError, match=message):
        ColouriseOptions(**values)


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
