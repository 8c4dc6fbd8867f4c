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
from pixelwise.colourising.options import ColouriseOptions, Hint
from pixelwise.colourising.reference import Reference, follow
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
