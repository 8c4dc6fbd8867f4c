"""The verb colourise, through the command line, with a small network of random weights."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from fixtures.foreign import ddcolor, write
from fixtures.photos.make import BAD, PHOTOS, lab_of, scene
from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.files import checksum
from pixelwise.photos.provenance import read_provenance

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
    assert result["megapixels"] == pytest.approx(((len(PHOTOS) - 2) * 40 * 56 + 1) / 1e6)
    assert result["seconds"] > 0
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


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-o", "out", "--temperature", "0"], "temperature needs to be from 0.01 to 100, got 0"),
        (["-o", "out", "--saturation", "much"], "Invalid value for --saturation: "),
        (["-o", "out", "--alternatives", "2.9"], "needed a whole number, got 2.9"),
        (["-o", "out.gif", "--alternatives", "2.0"], "needed an output that ends in one of .jpg, "),
        (["-o", "PHOTO/below"], "cannot write into PHOTO/below: "),
        (["-o", "out.gif"], "needed an output that ends in one of .jpg, "),
        (["-o", "out", "--model", "no-such-model"], "needed a model, but no-such-model is neither"),
        ([], "--out requires an argument. See pixelwise colourise --help."),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(refused, everything, args, message, model):
    photo = str(everything / "colour.png")
    default = [] if "--model" in args else ["--model", model]
    told = refused("colourise", photo, *default, *(arg.replace("PHOTO", photo) for arg in args))
    assert message.replace("PHOTO", photo) in told


@pytest.fixture
def grey(tmp_path) -> Path:
    rows, columns = np.mgrid[:60, :90]
    picture = (110 + 40 * np.sin(rows / 9) + 30 * np.cos(columns / 7)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "ida.png")
    return tmp_path / "ida.png"


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


@pytest.fixture
def small(tmp_path):
    Image.fromarray(scene(90, 120)).convert("L").save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_hints_for_people(pixelwise, small, tmp_path):
    done = pixelwise("colourise", small, "-o", tmp_path / "out", "--suggest-hints", 3)
    assert done.returncode == 0, done.stderr
    first, *hints, last = done.stdout.splitlines()
    assert first == f"{tmp_path}/out/a.png: the true colours here would help most:"
    assert len(hints) == 3
    pattern = (
        r"  --hint \d+,\d+,#[0-9a-f]{6}   settles \d+% of all doubt; guessed by \d+%, or #[0-9a-f]{6} \("
    )
    assert all(re.match(pattern, hint) for hint in hints)
    assert last.startswith("1 photo coloured in ")


def test_of_a_photo_that_fails_nothing_is_left(pixelwise, model, small, tmp_path):
    out = tmp_path / "out"
    cut = tmp_path / "cut.png"
    cut.write_bytes(small.read_bytes()[:-2000])
    options = ("-o", out, "--model", model, "--confidence", "--alternatives", 2)
    done = pixelwise("colourise", cut, *options)
    assert done.returncode == 1, done.stderr
    assert not out.exists()
    (out / "a.2.png").mkdir(parents=True)  # the second copy has no place
    done = pixelwise("colourise", small, *options)
    assert done.returncode == 1, done.stderr
    assert [path.name for path in out.iterdir()] == ["a.2.png"]


def test_the_reference_is_held_to_the_same_limit(refused, model, small, tmp_path):
    Image.new("RGB", (400, 300), "#c03030").save(tmp_path / "red.png")
    args = ["colourise", small, "-o", tmp_path / "out", "--model", model, "--reference", tmp_path / "red.png"]
    told = refused(*args, "--max-megapixels", 0.1)
    assert "red.png: needed a photo of at most 0.1 megapixels" in told


def test_a_copy_says_that_it_is_one_unless_told_not_to(pixelwise, model, small, tmp_path):
    pixelwise("colourise", small, "-o", tmp_path / "out", "--temperature", 0.5)
    record = read_provenance(tmp_path / "out" / "a.png")
    assert (record.model, record.licence) == ("photo", "MIT")
    assert len(record.model_sha256) == 64
    assert (record.settings["temperature"], record.settings["saturation"]) == (0.5, 1.0)
    again = pixelwise("colourise", tmp_path / "out" / "a.png", "-o", tmp_path / "again", "--model", model)
    assert f"a.png: warning: was colourised already, by {record.software} with photo\n" in again.stderr
    assert "in colour already" not in again.stderr
    pixelwise("colourise", small, "-o", tmp_path / "bare", "--model", model, "--no-provenance")
    assert read_provenance(tmp_path / "bare" / "a.png") is None
    with Image.open(tmp_path / "bare" / "a.png") as bare:
        assert "XML:com.adobe.xmp" not in bare.info


@pytest.mark.parametrize("verb", ["colourise", "segment"])
@pytest.mark.slow
def test_an_interrupt_leaves_no_part_of_a_photo(verb, program, model, tmp_path):
    noise = pyvips.Image.gaussnoise(4000, 500, mean=128, sigma=60).cast("uchar")
    noise.replicate(1, 6).pngsave(str(tmp_path / "large.png"), compression=1)
    (tmp_path / "out").mkdir()
    options = ["--model", str(model)] if verb == "colourise" else ["--head", "flower", "--overlay"]
    command = [*program, verb, str(tmp_path / "large.png"), "-o", str(tmp_path / "out"), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in (tmp_path / "out").iterdir()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err == "pixelwise: interrupted; what was finished is kept\n"
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_names_that_are_not_utf8(program, model, tmp_path):
    folder = os.fsencode(tmp_path)
    for name, content in (("camera.jpg", None), ("cut.jpg", b"\xff\xd8\xff\xe0")):
        if content is None:
            PHOTOS[name](tmp_path / name)
        else:
            (tmp_path / name).write_bytes(content)
        os.rename(tmp_path / name, folder + b"/Gro\xdf [b] " + name.encode())  # noqa: PTH104 - bytes
    command = [*program, "colourise", folder, "-o", folder + b"/out \xdf", "--model", model]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "Gro\\udcdf [b] cut.jpg: damaged or cut short" in done.stderr
    assert "1 photo coloured" in done.stdout
    assert os.listdir(folder + b"/out \xdf") == [b"Gro\xdf [b] camera.jpg"]  # noqa: PTH208 - bytes


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    return ddcolor(tmp_path_factory.mktemp("models") / "ddcolor.onnx", model_license="Apache-2.0")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for seed in range(2):
        Image.fromarray(scene(60 + 8 * seed, 90, seed)).save(tmp_path / "in" / f"photo{seed}.png")
    return tmp_path / "in"


def test_a_folder_is_coloured_with_hints_and_a_record(answer, theirs, folder, tmp_path):
    told = answer("colourise", folder, "-o", tmp_path / "out", "--model", theirs, "--keep-grey", "0,0,9,9")
    assert (len(told["written"]), told["failed"]) == (2, [])
    assert told["lightness_difference"] < 0.25
    record = read_provenance(tmp_path / "out" / "photo0.png")
    assert (record.model, record.model_sha256) == ("ddcolor.onnx", checksum(theirs))
    assert record.licence == "Apache-2.0"


def test_what_it_cannot_do_is_one_clear_line(refused, theirs, folder, tmp_path):
    arguments = ("colourise", folder, "-o", tmp_path / "out", "--model")
    assert "ddcolor.onnx does not give, are needed by confidence" in refused(
        *arguments, theirs, "--confidence"
    )
    other = write(tmp_path / "depth.onnx", np.ones((1, 3)), [0], 64)
    assert "output [1, 1, 64, 64] tensor(float)" in refused(*arguments, other)
    assert "temperature" in refused("evaluate", theirs, f"folder:{folder}", "--temperature", 2)


def test_it_is_scored_as_far_as_no_classes_are_needed(answer, theirs, folder, tmp_path):
    pytest.importorskip("matplotlib")
    told = answer("evaluate", theirs, f"folder:{folder}", "--size", 48, "--page", tmp_path / "page.html")
    assert told["ciede2000"]["value"] > 0
    assert told["cross_entropy"]["value"] is None
    assert told["model"]["sha256"] == checksum(theirs)
    assert "classes" not in told["protocol"]
    page = (tmp_path / "page.html").read_text()
    assert "Calibration" not in page
    assert "photo1.png" in page
