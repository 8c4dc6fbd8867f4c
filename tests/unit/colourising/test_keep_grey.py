"""What stays grey: paper, boxes, what is grey anyway."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pixelwise.colour.palette import Palette
from pixelwise.colour.spaces import lightness
from pixelwise.colourising.keep_grey import grey_areas, likely_grey, paper
from pixelwise.colourising.known import hint_chroma
from pixelwise.colourising.options import Box, Hint, parse_area
from pixelwise.colourising.prediction import Prediction
from pixelwise.errors import ConfigError, PhotoError
from pixelwise.photos.photo import open_photo

pytestmark = pytest.mark.core

PALETTE = Palette(np.array([[2.0, 1], [60, 0], [0, 60], [0, -60]]), "ab")


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """Something with light and dark in it, and a sky as light as paper."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(20, 200, (6, 8), dtype=np.uint8))
    picture = coarse.resize((width, height), Image.Resampling.BICUBIC)
    ImageDraw.Draw(picture).rectangle((width // 5, 0, width * 3 // 5, height // 6), fill=235)
    return picture


def album_page(paper_code: int = 235, tilt: float = 0, captions: bool = True) -> Image.Image:
    page = Image.new("L", (180, 140), paper_code)
    page.paste(photograph(120, 80), (30, 20))
    if captions:
        ImageDraw.Draw(page).text((50, 115), "Aunt Ida, 1931", fill=255 - paper_code)
    return page.rotate(tilt, fillcolor=paper_code, resample=Image.Resampling.BICUBIC)


def light_of(page: Image.Image, grain: float = 3.0) -> np.ndarray:
    codes = np.asarray(page) + np.random.default_rng(1).normal(0, grain, page.size[::-1])
    return lightness(codes.clip(0, 255)[None].repeat(3, 0) / 255)[0]


@pytest.mark.parametrize("code", [235, 30, 150])
@pytest.mark.parametrize("tilt", [0, 2.5])
def test_paper_is_found_with_its_writing_and_without_the_photo(code, tilt):
    found = paper(light_of(album_page(code, tilt)))
    truth = np.asarray(
        Image.fromarray(
            np.pad(np.zeros((80, 120), np.uint8), ((20, 40), (30, 30)), constant_values=255)
        ).rotate(tilt, fillcolor=255)
    )
    assert (found == (truth > 127)).mean() > 0.97
    assert found[112:130, 50:130].all()  # the caption


@pytest.mark.parametrize("kind", ["photo", "sky and sea", "bird in the sky"])
def test_a_photo_without_paper_has_none(kind):
    picture = {
        "photo": photograph(180, 140),
        "sky and sea": Image.new("L", (180, 140), 230),
        "bird in the sky": Image.new("L", (180, 140), 230),
    }[kind]
    draw = ImageDraw.Draw(picture)
    if kind == "sky and sea":
        draw.rectangle((0, 60, 180, 140), fill=90)
    if kind == "bird in the sky":
        draw.polygon([(30, 70), (85, 60), (150, 20), (100, 75), (160, 110), (80, 80)], fill=60)
    assert not paper(light_of(picture)).any()


@pytest.mark.parametrize("text", ["sky", "1,2,3", "10,2,10,4"])
def test_another_text_is_no_area(text):
    with pytest.raises(ConfigError, match=f"got {text}"):
        parse_area(text)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    large = album_page().resize((720, 560))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    large.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "page.png", exif=exif)
    return tmp_path / "page.png"


def prediction_of(label: int) -> Prediction:
    logits = np.zeros((4, 12, 9), np.float32)
    logits[label] = 9.0
    return Prediction(logits, PALETTE)


def test_boxes_and_paper_are_grey_where_the_photo_shows_them(page):
    photo, prediction = open_photo(page), prediction_of(1)
    assert photo.upright_size == (560, 720)
    share = photo.upright(prediction.with_grey(photo, [Box(200, 300, 300, 400)]).known.share)
    height, width = share.shape
    assert float(share[int(0.45 * height), int(0.49 * width)]) == 1.0
    assert float(share.mean()) == pytest.approx(100 * 100 / (560 * 720), rel=0.1)
    chroma = photo.upright(prediction.with_grey(photo, ["paper"]).chroma(saturation=2.0))
    assert chroma[:, 2, 2].tolist() == [0.0, 0.0]
    assert float(chroma[0, height // 2, width // 2]) == pytest.approx(120, abs=1)
    assert prediction.with_grey(photo, []) is prediction


def test_a_hint_on_paper_gives_all_of_it_its_colour(page):
    photo, cream = open_photo(page), Hint(10, 10, "#e8dcc0")
    known = grey_areas(photo, ["paper"], [cream, Hint(250, 350, "#3050a0")])
    chroma = photo.upright(known.chroma)
    for corner in ((1, 1), (-2, -2), (1, -2)):
        np.testing.assert_allclose(chroma[:, *corner], hint_chroma(cream), rtol=1.3e-6)


def test_likely_grey_is_grey(page):
    logits = np.zeros((4, 1, 3), np.float32)
    even = math.log(3)  # as probable as the three other classes together
    logits[0, 0, 0], logits[0, 0, 1], logits[1, 0, 2] = 5.0, even, 5.0
    known = likely_grey(open_photo(page), logits, PALETTE)
    assert known.share[0].tolist() == pytest.approx([1.0, 0.5, 0.0], abs=1e-5)
    assert not known.notes


def test_a_box_outside_the_photo_is_refused(page):
    with pytest.raises(PhotoError, match="560 rows and 720 columns, got 600,0,700,9"):
        grey_areas(open_photo(page), [Box(600, 0, 700, 9)])
