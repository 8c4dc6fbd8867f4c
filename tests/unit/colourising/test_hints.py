"""What is known of colours: hints, exact in the photo that is written, and what stays grey."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fixtures.photos import make
from pixelwise.colour.palette import Palette
from pixelwise.colour.spaces import lightness
from pixelwise.colourising.keep_grey import grey_areas, likely_grey, paper
from pixelwise.colourising.known import hint_chroma, known_from_hints, spread
from pixelwise.colourising.options import Box, Hint, parse_area
from pixelwise.colourising.prediction import Prediction
from pixelwise.colourising.run import colourise_photo
from pixelwise.errors import ConfigError, PhotoError
from pixelwise.photos.photo import open_photo

pytestmark = pytest.mark.core

CROSS = Palette(np.array([[0.0, 0], [60, 0], [0, 60], [-60, 0], [0, -60]]), "ab")
ORANGE = "#c07030"


def guess(height: int = 10, width: int = 14, seed: int = 0) -> Prediction:
    return Prediction(np.random.default_rng(seed).standard_normal((5, height, width), np.float32), CROSS)


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


HINTS = ["", "12,30", "12,30,red", "-1,30,#c07030", "1.5,30,#c07030"]
AREAS = ["sky", "1,2,3", "10,2,10,4"]


@pytest.mark.parametrize(
    ("parse", "text"), [*((Hint.parse, text) for text in HINTS), *((parse_area, text) for text in AREAS)]
)
def test_another_text_is_no_hint_and_no_area(parse, text):
    with pytest.raises(ConfigError, match=f"got {text}$"):
        parse(text)


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
    written, grey = make.lab_of(tmp_path / "out.png"), make.lab_of(photo.path)
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
