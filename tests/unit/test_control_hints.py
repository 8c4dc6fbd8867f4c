"""Hints: read, spread, told, and exact in the photo that is written."""

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixelwise.colour import srgb_to_lab
from pixelwise.colourising import colourise_photo
from pixelwise.control.hints import Hint, hint_chroma, tell_hints
from pixelwise.control.options import Control
from pixelwise.control.spread import spread
from pixelwise.control.told import Told
from pixelwise.errors import ConfigError, PhotoError
from pixelwise.labelspace import Palette
from pixelwise.photos.photo import open_photo
from pixelwise.predict import Prediction

make = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "photos" / "make.py"))
PALETTE = Palette(torch.tensor([[0.0, 0], [60, 0], [0, 60], [-60, 0], [0, -60]], dtype=torch.float64), "ab")
ORANGE, TEAL = "#c07030", "#308090"


def lab_of(path: Path) -> torch.Tensor:
    return srgb_to_lab(torch.from_numpy(np.array(Image.open(path).convert("RGB"))).movedim(-1, 0) / 255)


def guess(height: int = 10, width: int = 14, seed: int = 0) -> Prediction:
    logits = torch.randn(5, height, width, generator=torch.Generator().manual_seed(seed))
    return Prediction(logits, PALETTE)


def large_scene() -> Image.Image:
    rows, columns = np.mgrid[:300, :420]
    grey = 130 + 40 * np.sin(rows / 40) + 30 * np.cos(columns / 25) + 40 * (columns > 233)
    return Image.fromarray(grey.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("text", ["12,30,#C07030", " 12 , 30,c07030 "])
def test_a_hint_is_read(text):
    assert Hint.parse(text) == Hint(12, 30, "#c07030")


@pytest.mark.parametrize("text", ["", "12,30", "12,30,red", "-1,30,#c07030", "1.5,30,#c07030", "1,2,#c0703"])
def test_what_is_no_hint(text):
    needed = "needed a hint as row,column,#rrggbb, such as 120,80,#7a4b2c, got "
    with pytest.raises(ConfigError, match=f"^{needed}{text}$"):
        Hint.parse(text)


def test_a_hint_of_no_colour():
    with pytest.raises(ConfigError, match="got 1,2,red"):
        Hint(1, 2, "red")


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


def test_a_wall_keeps_a_hint_from_what_is_alike_behind_it():
    open_, walled = np.full((30, 41), 60.0), np.full((30, 41), 60.0)
    walled[:, 20] = 0.0
    (free,), (kept) = spread(open_, np.array([[15, 15]])), spread(walled, np.array([[15, 15]]))[0]
    assert kept[15, 25] < 0.7 * free[15, 25]
    assert kept[15, 10] == free[15, 10]


def test_one_pixel_and_one_row():
    assert spread(np.full((1, 1), 50.0), np.array([[0, 0]])).tolist() == [[[1.0]]]
    assert spread(np.full((1, 9), 50.0), np.array([[0, 4]]))[0, 0, 4] == pytest.approx(1.0)


def test_hints_are_exact_in_the_written_photo(tmp_path):
    large_scene().save(tmp_path / "grey.png")
    photo = open_photo(tmp_path / "grey.png")
    rng = np.random.default_rng(0)
    muted = ("#908070", "#708090") * 6  # in gamut, however light the photo is there
    hints = [Hint(int(rng.integers(300)), int(rng.integers(420)), colour) for colour in muted]
    for temperature, saturation in ((1.0, 1.0), (0.3, 2.0)):
        chroma = guess().with_hints(photo, hints).chroma(temperature, saturation)
        colourise_photo(photo, tmp_path / "out.png", chroma)
        written, grey = lab_of(tmp_path / "out.png"), lab_of(tmp_path / "grey.png")
        differences = [
            math.dist(written[:, hint.row, hint.column], (grey[0, hint.row, hint.column], *hint_chroma(hint)))
            for hint in hints
        ]
        assert np.mean(differences) < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_hints_are_where_the_photo_shows_them(orientation, tmp_path):
    large_scene().resize((90, 60)).save(tmp_path / "a.png", exif=make["exif"](orientation))
    photo = open_photo(tmp_path / "a.png")
    height, width = photo.upright_size
    told = tell_hints(photo, [Hint(height - 4, 7, ORANGE)])
    share = photo.upright(told.share)
    assert share.shape == (height, width)
    assert float(share[height - 4, 7]) == 1.0
    assert float(share[3, width - 7]) < 0.7


def test_a_hint_outside_the_photo(tmp_path):
    large_scene().save(tmp_path / "a.png")
    needed = "needed hints at rows 0 to 299 and columns 0 to 419, got 300,0"
    with pytest.raises(PhotoError, match=needed):
        tell_hints(open_photo(tmp_path / "a.png"), [Hint(299, 419, ORANGE), Hint(300, 0, ORANGE)])


def test_two_hints_of_one_pixel(tmp_path):
    large_scene().save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="one hint for each pixel, got #c07030 and #308090 at 3,4"):
        tell_hints(open_photo(tmp_path / "a.png"), [Hint(3, 4, ORANGE), Hint(3, 4, TEAL)])


def test_no_hints_change_nothing(tmp_path):
    large_scene().save(tmp_path / "a.png")
    prediction = guess()
    assert prediction.with_hints(open_photo(tmp_path / "a.png"), []) is prediction


def test_saturation_and_temperature_change_guesses_alone(tmp_path):
    large_scene().save(tmp_path / "a.png")
    photo = open_photo(tmp_path / "a.png")
    prediction = guess().with_hints(photo, [Hint(150, 100, ORANGE)])
    share = prediction.told.share
    row, column = divmod(int(share.argmax()), share.shape[1])
    far = divmod(int(share.argmin()), share.shape[1])
    for temperature, saturation in ((1.0, 1.0), (0.2, 3.0), (5.0, 0.0)):
        chroma = prediction.chroma(temperature, saturation)
        torch.testing.assert_close(chroma[:, row, column], hint_chroma(Hint(0, 0, ORANGE)), atol=0.05, rtol=0)
    bold, grey = prediction.chroma(1.0, 2.0), prediction.chroma(1.0, 0.0)
    assert float(bold[:, *far].norm()) > float(grey[:, *far].norm()) + 1


def test_a_hint_clamps_the_chances_and_makes_them_sure(tmp_path):
    large_scene().save(tmp_path / "a.png")
    photo = open_photo(tmp_path / "a.png")
    before, orange = guess(), Hint(150, 100, "#e04060")
    after = before.with_hints(photo, [orange, Hint(140, 95, "#e04060"), Hint(160, 105, "#e04060")])
    cell = 5, 3
    assert int(after.chances()[:, *cell].argmax()) == 1  # red
    assert float(after.confidence()[cell]) > float(before.confidence()[cell])
    torch.testing.assert_close(after.chances().sum(0), torch.ones(10, 14))
    torch.testing.assert_close(before.chances(), before.logits.softmax(0))


def test_what_was_told_last_wins():
    low = Told(torch.tensor([[1.0, 0.5]]), torch.tensor([[[10.0, 10.0]], [[0.0, 0.0]]]))
    high = Told(torch.tensor([[0.0, 1.0]]), torch.tensor([[[99.0, -20.0]], [[99.0, 5.0]]]))
    both = high.over(low)
    assert both.share.tolist() == [[1.0, 1.0]]
    assert both.chroma.tolist() == [[[10.0, -20.0]], [[0.0, 5.0]]]
    assert low.over(None) is low


def test_the_chances_of_a_colour_are_those_of_the_nearest_classes():
    chroma = torch.tensor([[[58.0, 1.0]], [[3.0, 1.0]]])
    assert PALETTE.soft_chances(chroma).argmax(0).tolist() == [[1, 0]]
    torch.testing.assert_close(PALETTE.class_chroma, PALETTE.colours.float())
    rgb = Palette(torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0.5]], dtype=torch.float64), "rgb")
    torch.testing.assert_close(rgb.class_chroma[1], torch.zeros(2), atol=0.05, rtol=0)
    assert float(rgb.class_chroma[0, 0]) == pytest.approx(80.1, abs=0.2)


def test_hints_that_share_a_cell_say_which_gives_way(tmp_path):
    large_scene().resize((4200, 3000)).save(tmp_path / "large.png")
    photo = open_photo(tmp_path / "large.png")
    told = tell_hints(photo, [Hint(1000, 1000, ORANGE), Hint(1001, 1001, TEAL), Hint(2000, 3000, ORANGE)])
    assert [note.partition(": ")[2] for note in told.notes] == [
        "the hint at 1000,1000 lies too near to that at 1001,1001 to be seen; hints 16 pixels apart all are"
    ]
    assert not tell_hints(photo, [Hint(1000, 1000, ORANGE), Hint(1016, 1000, TEAL)]).notes


def test_two_hints_of_one_pixel_are_refused_before_any_photo():
    with pytest.raises(ConfigError, match="one hint for each pixel, got #c07030 and #308090 at 3,4"):
        Control(hints=(Hint(3, 4, ORANGE), Hint(3, 4, TEAL)))
