"""Colours of a photo's own are told from tones, whatever made these."""

import numpy as np
import pytest
from PIL import Image

from fixtures.photos.make import scene
from fixtures.sunsets import sunset
from pixelwise.photos.tone import has_own_colours, is_grey, is_sepia

pytestmark = pytest.mark.core


def codes_of(values: np.ndarray) -> np.ndarray:
    return np.moveaxis((values.clip(0, 1) * 255).round().astype(np.uint8), -1, 0)


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    return np.asarray(Image.fromarray(scene(64, 96)).convert("L"))[..., None] / 255


def sepia(grey: np.ndarray) -> np.ndarray:
    return grey * [1.0, 0.85, 0.62] + (1 - grey) * [0.08, 0.04, 0.0]


def fade(grey: np.ndarray) -> np.ndarray:
    """Sepia on the left, half of which is gone on the right."""
    share = np.linspace(1, 0.5, grey.shape[1])[:, None]
    return share * sepia(grey) + (1 - share) * grey


TONES = {
    "grey": lambda grey: grey.repeat(3, 2),
    "sepia": sepia,
    "cyanotype": lambda grey: grey * [0.9, 1.0, 1.0] + (1 - grey) * [0.0, 0.15, 0.4],
    "split": lambda grey: np.concatenate([grey**0.9, grey, grey * 0.75 + 0.15], 2),
    "faded": fade,
    "one pixel": lambda _: np.array([[[1.0, 0.0, 0.0]]]),
}


@pytest.mark.parametrize("tone", TONES)
def test_a_tone_is_no_colour(grey, tone):
    noise = np.random.default_rng(0).normal(0, 0.01, (*grey.shape[:2], 3))
    toned = TONES[tone](grey)
    assert not has_own_colours(codes_of(toned + noise[: len(toned), : toned.shape[1]]))


@pytest.mark.parametrize(
    ("tone", "needed"), [("sepia", True), ("faded", False), ("cyanotype", False), ("grey", False)]
)
def test_sepia_is_one_warm_tone(grey, tone, needed):
    noise = np.random.default_rng(0).normal(0, 0.01, (*grey.shape[:2], 3))
    assert is_sepia(codes_of(TONES[tone](grey) + noise)) == needed
    assert is_grey(codes_of(TONES[tone](grey) + noise / 2)) == (tone == "grey")


def test_photos_in_colour_are_no_sepia_even_where_warm():
    codes = np.moveaxis(scene(64, 96), -1, 0)
    assert has_own_colours(codes)
    assert not is_sepia(codes)
    warm = (codes * np.array([1.0, 0.8, 0.5])[:, None, None]).astype(np.uint8)
    assert not is_sepia(warm)
    assert not is_sepia(np.moveaxis(sunset(0), -1, 0))  # two hues that go with lightness
    assert not is_sepia(np.array([120, 80, 40], np.uint8)[:, None, None] + np.zeros((4, 4), np.uint8))
