"""The verb palette, through the command line."""

import json

import pytest
from PIL import Image

from fixtures.drawn import scene
from pixelwise.cli.app import run
from pixelwise.colour import srgb_to_lab
from pixelwise.data import load_pictures
from pixelwise.labelspace import Palette


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder of small photos."""
    folder = tmp_path_factory.mktemp("palette") / "photos"
    folder.mkdir()
    for seed in range(20):
        Image.fromarray(scene(seed, 32, 32)).save(folder / f"{seed}.png")
    return f"folder:{folder}"


@pytest.mark.parametrize(("space", "unit"), [("rgb", "sRGB, 0 to 1"), ("ab", "CIE Lab a and b, D65")])
def test_a_palette_is_learned_written_and_shown(source, tmp_path, capsys, space, unit):
    file = tmp_path / "new" / "four.json"
    assert run(["palette", source, "-k", "4", "--space", space, "-o", str(file), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {"k": 4, "space": space, "unit": unit}.items() <= result.items()
    assert result["distortion"] > 0
    palette = Palette.read(file)
    assert (palette.num_classes, palette.space, palette.name) == (4, space, "four")
    with Image.open(result["picture"]) as picture:
        assert picture.size == (8 * 32, 32)


@pytest.mark.parametrize(
    ("space", "axes", "told"),
    [
        ("rgb", lambda codes: codes, "it is {:.1f} codes of sRGB on average"),
        ("ab", lambda codes: srgb_to_lab(codes / 255)[:, 1:], "it is {:.1f} in Lab's a and b on average"),
    ],
)
def test_the_mean_distance_is_told_in_its_unit(source, tmp_path, capsys, space, axes, told):
    """One colour is the mean of all pixels, so that the mean distance from it is known."""
    options = ["-k", "1", "--space", space, "-o", str(tmp_path / "one.json")]
    assert run(["palette", source, *options]) == 0
    points = axes(load_pictures(source).train.double()).movedim(1, -1).flatten(0, -2)
    mean_distance = float((points - points.mean(0)).norm(dim=1).mean())
    assert told.format(mean_distance) in capsys.readouterr().out


def test_the_seed_decides_the_palette(source, tmp_path):
    for name, seed in (("a", "1"), ("b", "1")):
        options = ["-k", "5", "--space", "rgb", "-o", str(tmp_path / name), "--seed", seed, "--quiet"]
        assert run(["palette", source, *options]) == 0
    colours = [json.loads((tmp_path / name).read_text())["colours"] for name in "ab"]
    assert colours[0] == colours[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-k", "256"], "needed 1 to 255 colours, got 256"),
        (["-k", "two"], "-k needs a whole number, got two. See pixelwise palette --help."),
        (["-k"], "-k needs a value. See pixelwise palette --help."),
        (["--space", "hsv"], "hsv"),
        (["-o", "palette.png"], "-o names the palette's file, such as palette.json, got palette.png"),
    ],
)
def test_wrong_use_is_one_clear_line(capsys, options, message):
    assert run(["palette", "synthetic:shapes", *options]) == 2
    told = capsys.readouterr().err.strip()
    assert message in told
    assert "\n" not in told
