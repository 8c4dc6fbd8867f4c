"""The verb segment, through the command line, with a head that tells red from blue on the true network."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from fixtures.coloured_head import CLASSES, HEIGHT, WIDTH, halves, red_head, with_classes
from fixtures.photos.make import BAD, PHOTOS, exif
from pixelwise.cli.app import run
from pixelwise.labels.class_names import ClassNames
from pixelwise.labels.read import read_mask
from pixelwise.segmenting.heads import write_head

pytestmark = pytest.mark.core

PIXELS, LABELS = halves()


@pytest.fixture(scope="module")
def heads(tmp_path_factory) -> Path:
    """red: background and flower; petals: the same numbers, and two classes that are both things."""
    folder = tmp_path_factory.mktemp("heads")
    head = red_head()
    write_head(folder / "red.head.safetensors", head)
    both = ClassNames(("blue", "red", "neither"))
    write_head(folder / "petals.safetensors", with_classes(head, both))
    write_head(folder / "foreign.safetensors", replace(head, backbone_checksum="0" * 64))
    return folder


@pytest.fixture
def segment(pixelwise, heads, tmp_path):
    """The verb with the head red, into OUT below the test's folder."""

    def run_verb(*args: object, head: str = "red.head") -> subprocess.CompletedProcess[str]:
        return pixelwise("segment", *args, "--head", heads / f"{head}.safetensors", "-o", tmp_path / "out")

    return run_verb


def test_a_folder_of_everything(segment, everything, tmp_path):
    done = segment(everything, tmp_path / "missing.jpg", "--overlay", "--probabilities", "--json")
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    keys = "written failed megapixels seconds overlays probabilities remarks cut_outs"
    assert set(result) == set(keys.split())
    # A folder of that name is no file in the folder; every mask is a PNG, so one of each stem remains.
    stems = [name.rpartition(".")[0] for name in sorted(PHOTOS)]
    twice = {name for at, name in enumerate(sorted(PHOTOS)) if stems[at] in stems[:at]}
    failed = {Path(failure["path"]).name for failure in result["failed"]}
    assert failed == set(BAD) - {"folder.jpg"} | {"missing.jpg"} | twice
    for failure in result["failed"]:
        assert failure["error"] in done.stderr
        if (name := Path(failure["path"]).name) in twice:
            assert f"{name}: its result would be {tmp_path}/out/" in failure["error"]
    assert len(result["written"]) == len(set(stems))
    listed = result["written"] + result["overlays"] + result["probabilities"]
    assert sorted(listed) == sorted(str(path) for path in (tmp_path / "out").iterdir())
    for path in result["written"]:
        with Image.open(path) as mask:
            assert mask.mode == "P"
            assert mask.size in ((56, 40), (1, 1))
    assert "animation.gif: took the first of 3 pictures" in done.stderr
    assert result["remarks"][-1] == "1 subfolder was left alone; --recursive takes subfolders in"
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def turned(heads, tmp_path_factory) -> Path:
    """1.png to 8.png, by their orientation; in out what segment makes of them."""
    folder = tmp_path_factory.mktemp("turned")
    for orientation in range(1, 9):
        Image.fromarray(PIXELS).save(folder / f"{orientation}.png", exif=exif(orientation))
    command = ["segment", folder, "--head", heads / "red.head.safetensors", "-o", folder / "out"]
    assert run([*map(str, command), "--overlay", "--opacity", "1", "--probabilities"]) == 0
    return folder


@pytest.mark.parametrize("orientation", range(1, 9))
def test_mask_overlay_and_probabilities_lie_as_the_photo_does(turned, orientation):
    with Image.open(turned / f"{orientation}.png") as photo:
        upright = np.asarray(ImageOps.exif_transpose(photo))
    expected = (upright[..., 0] > upright[..., 2]).astype(np.uint8)
    out = turned / "out"
    mask = read_mask(out / f"{orientation}.png")
    assert mask.shape == expected.shape
    assert float((mask == expected).mean()) > 0.93
    with Image.open(out / f"{orientation}.png") as stored:
        assert stored.size == (WIDTH, HEIGHT)
        assert stored.getexif().get(0x0112, 1) == orientation
        numbers = np.asarray(stored)
    with Image.open(out / f"{orientation}.overlay.png") as stored:
        over = np.asarray(ImageOps.exif_transpose(stored))
    in_colour, in_white = ((over == colour).all(2) for colour in (CLASSES.colours[1], 255))
    assert np.array_equal(in_colour | in_white, mask == 1)
    assert np.array_equal(over[mask == 0], upright[mask == 0])
    with tifffile.TiffFile(out / f"{orientation}.probabilities.tif") as file:
        assert [page.tags["PageName"].value for page in file.pages] == list(CLASSES.names)
        assert np.array_equal(file.asarray().argmax(0), numbers)
        assert file.pages[0].tags["Orientation"].value == orientation


def test_a_cut_out_is_clear_where_the_background_is(segment, tmp_path):
    photos = {mode: Image.fromarray(PIXELS).convert(mode) for mode in ("L", "RGB", "RGBA")}
    photos["RGBA"].putalpha(200)
    for mode, photo in photos.items():
        photo.save(tmp_path / f"{mode}.png")
    done = segment(tmp_path, "--cut-out", "--json")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    assert json.loads(done.stdout)["cut_outs"] == [str(out / f"{mode}.cut.png") for mode in photos]
    for mode, photo in photos.items():
        mask, cut = read_mask(out / f"{mode}.png"), np.asarray(Image.open(out / f"{mode}.cut.png"))
        assert cut.shape == (HEIGHT, WIDTH, 4)
        assert np.array_equal(cut[..., 3], np.where(mask == 1, 200 if mode == "RGBA" else 255, 0))
        assert np.array_equal(cut[..., :3], np.asarray(photo.convert("RGB")) * (mask == 1)[..., None])
    refused = segment(tmp_path / "L.png", "--cut-out", head="petals")
    assert refused.returncode == 2
    assert "first class is background to cut out what is not" in refused.stderr


def test_several_heads_each_write_a_mask(segment, heads, tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "photo.jpg", quality=95)
    done = segment(
        tmp_path / "photo.jpg", "--overlay", "--json", "--head", heads / "petals.safetensors", head="red.head"
    )
    result = json.loads(done.stdout)
    out = tmp_path / "out"
    assert result["written"] == [str(out / "photo.petals.png"), str(out / "photo.red.png")]
    assert {path.name for path in out.iterdir()} == {
        f"photo.{name}" for name in ("red.png", "petals.png", "red.overlay.jpg", "petals.overlay.jpg")
    }
    masks = [read_mask(Path(path)) for path in result["written"]]
    assert np.array_equal(*masks)
    with Image.open(out / "photo.petals.png") as mask:
        assert mask.getpalette()[:3] == list(ClassNames(("blue", "red")).colours[0])


@pytest.mark.parametrize(("verb", "done_to"), [("colourise", "coloured"), ("segment", "segmented")])
def test_inputs_are_never_replaced(verb, done_to, pixelwise, heads, model, tmp_path):
    PHOTOS["colour.png"](tmp_path / "colour.png")
    before = (tmp_path / "colour.png").read_bytes()
    by = ("--model", model) if verb == "colourise" else ("--head", heads / "red.head.safetensors")
    done = pixelwise(verb, tmp_path / "colour.png", "-o", tmp_path, *by)
    assert done.returncode == 1
    assert "its result would replace the input" in done.stderr
    assert (tmp_path / "colour.png").read_bytes() == before
    assert done.stdout == f"no photo was {done_to}; 1 failed\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--opacity", "1.5"], "opacity needs to be from 0 to 1, got 1.5"),
        (["--opacity", "nan"], "opacity needs to be from 0 to 1, got nan"),
        (["--max-megapixels", "0"], "max-megapixels needs to be above 0, got 0"),
        (["-o", "out.jpg"], "needed an output that ends in one of .png, got out.jpg"),
        (["--head", "nothing"], "needed a head, but nothing is neither a head file nor one of: "),
        (["--head", "HEADS/red.head.safetensors"] * 2, "needed heads of different names, got red twice"),
        (["--head", "HEADS/foreign.safetensors"], "efficientnet_lite0 with weights 000000000000"),
        (["--head", "HEADS/red.head.safetensors", "--weights", "none.pth"], "none.pth"),
        ([], "--head requires an argument. See pixelwise segment --help."),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(refused, everything, heads, tmp_path, args, message):
    args = [arg.replace("HEADS", str(heads)) for arg in args]
    head = [] if not args or "--head" in args else ["--head", heads / "red.head.safetensors"]
    out = [] if "-o" in args else ["-o", tmp_path / "out"]
    assert message in refused("segment", everything / "colour.png", *head, *out, *args)
    assert not (tmp_path / "out").exists()
