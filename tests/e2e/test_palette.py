"""The verb palette, through the command line."""

import json

import pytest
from PIL import Image

from pixelwise.cli.app import run
from pixelwise.labelspace import Palette


@pytest.mark.parametrize("space", ["rgb", "ab"])
def test_a_palette_is_learned_written_and_shown(tmp_path, capsys, space):
    file = tmp_path / "new" / "four.json"
    assert run(["palette", "synthetic:shapes", "-k", "4", "--space", space, "-o", str(file), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {"k": 4, "space": space}.items() <= result.items()
    assert result["distortion"] > 0
    palette = Palette.read(file)
    assert (palette.num_classes, palette.space, palette.name) == (4, space, "four")
    with Image.open(result["picture"]) as picture:
        assert picture.size == (8 * 32, 32)


def test_the_seed_decides_the_palette(tmp_path):
    for name, seed in (("a", "1"), ("b", "1")):
        options = ["-k", "5", "--space", "rgb", "-o", str(tmp_path / name), "--seed", seed, "--quiet"]
        assert run(["palette", "synthetic:shapes", *options]) == 0
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
