"""The verb colourise, through the command line, with a small network of random weights."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.photos.make import BAD, PHOTOS

pytestmark = pytest.mark.core


def test_a_folder_of_everything(pixelwise, model, everything, tmp_path):
    command = ("colourise", everything, tmp_path / "missing.jpg", "-o", tmp_path / "out", "--model", model)
    done = pixelwise(*command, "--json")
    assert done.returncode == 1, done.stderr
    (line,) = done.stdout.splitlines()
    result = json.loads(line)
    keys = "written failed megapixels seconds lightness_difference remarks warned hints"
    assert set(result) == set(keys.split())
    # A folder of that name is no file in the folder; photo.ppm and animation.webp meet others of their stem.
    failed = {Path(failure["path"]).name for failure in result["failed"]}
    assert failed == set(BAD) - {"folder.jpg"} | {"missing.jpg", "photo.ppm"}
    assert len(result["written"]) == len(PHOTOS) - 1
    assert sorted(result["written"]) == sorted(str(path) for path in (tmp_path / "out").iterdir())
    assert 0 < result["lightness_difference"] < 0.25
    for failure in result["failed"]:
        assert failure["error"] in done.stderr
    assert "animation.gif: took the first of 3 pictures" in done.stderr
    assert all(f"pixelwise: {remark}\n" in done.stderr for remark in result["remarks"])
    assert any("animation.gif: took the first" in remark for remark in result["remarks"])
    assert result["remarks"][-3:] == [
        "1 subfolder was left alone; --recursive takes subfolders in",
        f"17 of 22 photos were in colour already, such as {everything}/animation.gif; "
        "the copies have guessed colours in place of their own",
        "2 of 22 photos came with a warning: look at these first",
    ]
    assert {Path(one["path"]).name for one in result["warned"]} == {"onebit.png", "pixel.png"}
    assert "Traceback" not in done.stderr


def test_colour_arrives_and_saturation_takes_it_away(pixelwise, model, tmp_path):
    Image.fromarray(np.full((40, 40), 128, np.uint8)).save(tmp_path / "grey.png")
    spreads = []
    for saturation in ("1", "0"):
        args = ["--model", model, "--saturation", saturation, "--quiet"]
        out = tmp_path / saturation / "grey.png"
        done = pixelwise("colourise", tmp_path / "grey.png", "-o", out, *args)
        assert (done.returncode, done.stderr) == (0, "")
        assert "1 photo coloured" in done.stdout
        with Image.open(out) as coloured:
            codes = np.asarray(coloured).astype(int)
        spreads.append(np.ptp(codes, axis=2).max())
    assert spreads[0] > 10
    assert spreads[1] == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-o", "out", "--temperature", "0"], "temperature needs to be from 0.01 to 100, got 0"),
        (["-o", "out", "--saturation", "much"], "Invalid value for --saturation: "),
        (["-o", "out.gif"], "needed an output that ends in one of .jpg, "),
        (["-o", "out", "--model", "no-such-model"], "needed a model, but no-such-model is neither"),
        ([], "--out requires an argument. See pixelwise colourise --help."),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(refused, everything, args, message, model):
    default = [] if "--model" in args else ["--model", model]
    assert message in refused("colourise", everything / "colour.png", *default, *args)


def test_an_output_folder_that_cannot_be(refused, everything, model):
    photo = everything / "colour.png"
    told = refused("colourise", photo, "-o", photo / "below", "--model", model)
    assert f"cannot write into {photo / 'below'}: " in told
