"""Hints: read, spread, and exact in the photo that is written."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.photos import make
from pixelwise.colour.palette import Palette
from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.colourising.known import hint_chroma, known_from_hints, spread
from pixelwise.colourising.options import Hint
from pixelwise.colourising.prediction import Prediction
from pixelwise.colourising.run import colourise_photo
from pixelwise.errors import ConfigError, PhotoError
from pixelwise.photos.photo import open_photo

pytestmark = pytest.mark.core

PALETTE = Palette(np.array([[0.0, 0], [60, 0], [0, 60], [-60, 0], [0, -60]]), "ab")
ORANGE = "#c07030"


def lab_of(path: Path) -> np.ndarray:
    return srgb_to_lab(np.moveaxis(np.asarray(Image.open(path).convert("RGB")), -1, 0) / 255)


def guess(height: int = 10, width: int = 14, seed: int = 0) -> Prediction:
    return Prediction(np.random.default_rng(seed).standard_normal((5, height, width), np.float32), PALETTE)


def large_scene() -> Image.Image:
    rows, columns = np.mgrid[:300, :420]
    grey = 130 + 40 * np.sin(rows / 40) + 30 * np.cos(columns / 25) + 40 * (columns > 233)
    return Image.fromarray(grey.clip(0, 255).astype(np.uint8))


@pytest.fixture
def photo(tmp_path):
    large_scene().save(tmp_path / "grey.png")
    return open_photo(tmp_path / "grey.png")


@pytest.mark.parametrize("text", ["12,30,#C07030", " 12 , 30,c07030 "])
def test_a_hint_is_read(text):
    assert Hint.parse(text) == Hint(12, 30, "#c07030")


@pytest.mark.parametrize("text", ["", "12,30", "12,30,red", "-1,30,#c07030", "1.5,30,#c07030"])
def test_another_text_is_no_hint(text):
    with pytest.raises(ConfigError, match=f"got {text}$"):
        Hint.parse(text)


def test_hints_spread_to_what_is_alike_and_connected():
    light = np.full((30, 41), 60.0)
    light[:, 20] = 10.0  # a wall
    light[:10, 30:] = 90.0
    first, second = spread(light, np.array([[15, 5], [15, 35]]))
    assert [first[15, 5], second[15, 35]] == pytest.approx([1.0, 1.0], abs=1e-5)
    assert [first[15, 35], second[15, 5]] == pytest.approx([0.0, 0.0], abs=1e-5)
    assert first[15, 18] > 2 * second[15, 18]  # beside the wall: each its own side
    assert second[15, 22] > 2 * first[15, 22]
    assert second[12, 36] > 5 * second[8, 36]  # as near, but not alike
    assert bool((first + second <= 1 + 1e-9).all())
    open_, walled = (spread(one, np.array([[15, 15]]))[0] for one in (np.full((30, 41), 60.0), light))
    assert walled[15, 25] < 0.7 * open_[15, 25]
    assert walled[15, 10] == open_[15, 10]


@pytest.mark.parametrize(("temperature", "saturation"), [(1.0, 1.0), (0.3, 2.0)])
def test_hints_are_exact_in_the_written_photo(photo, tmp_path, temperature, saturation):
    rng = np.random.default_rng(0)
    muted = ("#908070", "#708090") * 6  # in gamut, however light the photo is there
    hints = [Hint(int(rng.integers(300)), int(rng.integers(420)), colour) for colour in muted]
    chroma = guess().with_hints(photo, hints).chroma(temperature, saturation)
    colourise_photo(photo, tmp_path / "out.png", chroma)
    written, grey = lab_of(tmp_path / "out.png"), lab_of(photo.path)
    differences = [
        math.dist(written[:, hint.row, hint.column], (grey[0, hint.row, hint.column], *hint_chroma(hint)))
        for hint in hints
    ]
    assert np.mean(differences) < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_hints_are_where_the_photo_shows_them(orientation, tmp_path):
    large_scene().resize((90, 60)).save(tmp_path / "a.png", exif=make.exif(orientation))
    turned = open_photo(tmp_path / "a.png")
    height, width = turned.upright_size
    share = turned.upright(known_from_hints(turned, [Hint(height - 4, 7, ORANGE)]).share)
    assert share.shape == (height, width)
    assert float(share[height - 4, 7]) == 1.0
    assert float(share[3, width - 7]) < 0.7


def test_a_hint_that_a_later_one_hides_is_named(photo):
    hints = [Hint(101, 101, "#908070"), Hint(5, 5, "#708090"), Hint(100, 100, ORANGE), Hint(99, 110, ORANGE)]
    (note,) = known_from_hints(photo, hints).notes
    assert "101,101 is too near to that at 100,100" in note
    assert "at least 2 pixels" in note
    assert known_from_hints(photo, hints[1:]).notes == ()


def test_a_hint_outside_the_photo(photo):
    with pytest.raises(PhotoError, match="rows 0 to 299 and columns 0 to 419, got 300,0"):
        known_from_hints(photo, [Hint(299, 419, ORANGE), Hint(300, 0, ORANGE)])
