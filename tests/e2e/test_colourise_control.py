"""Hints, references, alternatives and grey areas, through the command line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.colour.spaces import srgb_to_lab

pytestmark = pytest.mark.core


@pytest.fixture
def grey(tmp_path) -> Path:
    rows, columns = np.mgrid[:60, :90]
    picture = (110 + 40 * np.sin(rows / 9) + 30 * np.cos(columns / 7)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "ida.png")
    return tmp_path / "ida.png"


def lab_of(path: Path) -> np.ndarray:
    return srgb_to_lab(np.moveaxis(np.asarray(Image.open(path).convert("RGB")), -1, 0) / 255)


def test_a_hint_is_met_whatever_the_saturation(answer, model, grey, tmp_path):
    hints = ("--hint", "20,30,#806a60", "--hint", "50,80,#607080")
    answer("colourise", grey, "-o", tmp_path / "out", "--model", model, *hints, "--saturation", "0")
    lab = lab_of(tmp_path / "out" / "ida.png")
    for row, column, colour in ((20, 30, (128, 106, 96)), (50, 80, (96, 112, 128))):
        told = srgb_to_lab(np.array(colour)[:, None, None] / 255)[1:, 0, 0]
        assert np.linalg.norm(lab[1:, row, column] - told) < 2
    assert np.linalg.norm(lab[1:, 55, 3]) < 6


def test_alternatives_are_files_of_their_own(answer, model, grey, tmp_path):
    command = ("colourise", grey, "--model", model)
    answer(*command, "-o", tmp_path / "usual")
    told = answer(*command, "-o", tmp_path / "out", "--alternatives", 3, "--confidence")
    written = [Path(path) for path in told["written"]]
    assert [path.name for path in written] == ["ida.1.png", "ida.2.png", "ida.3.png"]
    assert (tmp_path / "out" / "ida.confidence.png").is_file()
    first, second, third = (np.array(Image.open(path)).astype(int) for path in written)
    assert (first == np.array(Image.open(tmp_path / "usual" / "ida.png"))).all()
    assert abs(first - second).mean() > 1
    assert abs(second - third).mean() > 1


def test_a_reference_is_not_written_over(pixelwise, model, grey, tmp_path):
    reference = tmp_path / "out" / "ida.png"
    reference.parent.mkdir()
    colours = np.random.default_rng(0).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(colours).save(reference)
    before = reference.read_bytes()
    done = pixelwise("colourise", grey, "-o", tmp_path / "out", "--model", model, "--reference", reference)
    assert done.returncode == 1
    assert "its result would replace the input" in done.stderr
    assert reference.read_bytes() == before


@pytest.mark.parametrize(
    ("said", "value"),
    [
        (("--hint", "20,30"), "got 20,30"),
        (("--keep-grey", "sky"), "got sky"),
        (("--alternatives", "0"), "got 0"),
        (("--reference", "{grey}"), "got {grey}"),
        (("--reference", "nothing.jpg"), "nothing.jpg"),
        (("--hint", "2,3,#806a60", "--hint", "2,3,#906a60"), "#806a60 and #906a60 at 2,3"),
    ],
)
def test_wrong_values_are_refused_before_anything_is_written(said, value, refused, model, grey, tmp_path):
    said = [one.format(grey=grey) for one in said]
    told = refused("colourise", grey, "-o", tmp_path / "out", "--model", model, *said)
    assert value.format(grey=grey) in told
    assert not (tmp_path / "out").exists()
