import math
import resource
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import pyvips
import torch
from PIL import Image

from pixelwise.colour.palette import Palette
from pixelwise.colourising.options import ColouriseOptions
from pixelwise.colourising.prediction import Prediction, predict
from pixelwise.colourising.run import colourise, colourise_photo
from pixelwise.errors import ConfigError
from pixelwise.network import models
from pixelwise.network.config import UNetConfig
from pixelwise.network.runs import Model
from pixelwise.photos.crop_view import reading_size
from pixelwise.photos.formats import VIPS_FORMATS
from pixelwise.photos.paint import paint
from pixelwise.photos.photo import open_photo

make = runpy.run_path(str(Path(__file__).parents[2] / "fixtures" / "photos" / "make.py"))
PHOTOS, BAD, scene = make["PHOTOS"], make["BAD"], make["scene"]


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    config = UNetConfig(num_filters=8, num_colours=6)
    angles = torch.arange(6, dtype=torch.float64) * math.pi / 3
    palette = Palette(torch.stack([angles.cos(), angles.sin()], dim=1) * 60, "ab", "ring")
    net = models.build(config).eval()
    with torch.no_grad():
        net.classes.weight.mul_(10)  # sure of itself, as no network of random weights is
    return Model(name="random", net=net, config=config, palette=palette, size=32, checksum="")


def write(folder: Path, *names: str) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (PHOTOS[name] if name in PHOTOS else BAD[name][0])(folder / name)
    return [str(folder / name) for name in names]


@pytest.mark.parametrize(
    ("photo", "short_side", "expected"),
    [
        ((4000, 6000), 32, (32, 48)),
        ((6000, 4000), 32, (48, 32)),
        ((20, 30), 32, (32, 48)),
        ((1, 1), 32, (32, 32)),
        ((100, 100_000), 32, (4, 256)),
    ],
)
def test_reading_size(photo, short_side, expected):
    assert reading_size(*photo, short_side, 4) == expected


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_network_sees_photos_upright(orientation, model, tmp_path):
    upright = Image.fromarray(scene())
    # What turns the upright picture into the rows that a camera held this way stores.
    turns = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    upright.save(tmp_path / "upright.png")
    stored = upright
    for turn in turns.get(orientation, []):
        stored = stored.transpose(turn)
    stored.save(tmp_path / "stored.png", exif=make["exif"](orientation))
    written = tmp_path / "out.png"
    photo = open_photo(tmp_path / "stored.png")
    assert photo.orientation == orientation
    colourise_photo(photo, written, predict(photo, model).chroma())
    expected = tmp_path / "expected.png"
    straight = open_photo(tmp_path / "upright.png")
    colourise_photo(straight, expected, predict(straight, model).chroma())
    turned = pyvips.Image.new_from_file(str(written)).autorot().numpy().astype(int)
    difference = abs(turned - pyvips.Image.new_from_file(str(expected)).numpy())
    assert turned.shape == (40, 56, 3)
    assert difference.mean() < 0.1  # resampling rounds differently on turned rows


def test_temperature_and_saturation_need_no_network(model, tmp_path):
    photo = open_photo(Path(write(tmp_path, "colour.png")[0]))
    prediction = predict(photo, model)
    dull, bold = prediction.chroma(temperature=5.0), prediction.chroma(temperature=0.1)
    assert float(bold.norm(dim=0).mean()) > float(dull.norm(dim=0).mean())
    torch.testing.assert_close(prediction.chroma(saturation=2.0), 2 * prediction.chroma())


def test_a_batch_does_what_it_can_and_names_the_rest(model, tmp_path):
    inputs = write(tmp_path / "in", "camera.jpg", "cut.jpg", "rgba.png", "text.jpg", "animation.gif")
    result = colourise([*inputs, str(tmp_path / "nothing.jpg")], tmp_path / "out", model)
    assert [one.path.name for one in result.written] == ["camera.jpg", "rgba.png", "animation.png"]
    assert [failure.path.name for failure in result.failed] == ["cut.jpg", "text.jpg", "nothing.jpg"]
    assert result.megapixels == pytest.approx(3 * 40 * 56 / 1e6)
    assert 0 < result.lightness_difference < 0.25
    assert result.seconds > 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "animation.png",
        "camera.jpg",
        "rgba.png",
    ]


def test_a_photo_that_was_in_colour_is_said_to_be(model, tmp_path):
    inputs = write(tmp_path / "in", "camera.jpg", "grey.jpg")
    result = colourise(inputs, tmp_path / "out", model)
    assert [one.in_colour for one in result.written] == [Path(inputs[0]), None]
    assert [one.notes for one in result.written] == [(), ()]
    assert "1 of 2 photos were in colour already" in result.remarks[0]
    assert colourise(inputs[1:], tmp_path / "grey", model).remarks == []


def test_two_inputs_of_one_name(model, tmp_path):
    inputs = write(tmp_path / "a", "colour.png") + write(tmp_path / "b", "colour.png")
    result = colourise(inputs, tmp_path / "out", model)
    assert len(result.written) == 1
    (failure,) = result.failed
    assert f"{tmp_path}/out/colour.png, which {inputs[0]} has taken" in failure.error


def test_a_recursive_search_keeps_its_folders_apart(model, tmp_path):
    write(tmp_path / "in" / "a", "colour.png")
    write(tmp_path / "in" / "b", "colour.png")
    result = colourise([str(tmp_path / "in")], tmp_path / "in" / "out", model, recursive=True)
    assert [one.path.relative_to(tmp_path) for one in result.written] == [
        Path("in/out/a/colour.png"),
        Path("in/out/b/colour.png"),
    ]
    again = colourise([str(tmp_path / "in")], tmp_path / "in" / "out", model, recursive=True)
    assert len(again.written) == 2


def test_inputs_are_never_replaced(model, tmp_path):
    inputs = write(tmp_path / "in", "colour.png")
    before = Path(inputs[0]).read_bytes()
    result = colourise(inputs, tmp_path / "in", model)
    assert [failure.path for failure in result.failed] == [Path(inputs[0])]
    assert Path(inputs[0]).read_bytes() == before


@pytest.mark.parametrize("source", ["camera.jpg", "rgba.png", "colour16.png", "scan.tif", "cmyk.jpg"])
@pytest.mark.parametrize("suffix", [".JPG", ".png", ".tif", ".webp", ".avif"])
def test_a_single_files_name_decides_its_format(source, suffix, model, tmp_path):
    (photo,) = write(tmp_path, source)
    out = tmp_path / ("new" + suffix)
    result = colourise([photo], out, model, ColouriseOptions(confidence=True))
    assert result.failed == []
    (done,) = result.written
    assert done.path == out
    assert {path.name for path in tmp_path.iterdir()} == {source, out.name, "new.confidence.png"}
    copy = open_photo(out)
    assert suffix.lower() in VIPS_FORMATS[copy.format]
    assert (copy.width, copy.height) == (56, 40)
    lost = [note.removeprefix(f"{photo}: ") for note in done.notes]
    assert f"{photo} was in colour already" in result.remarks[0]
    flat, deep = suffix == ".JPG", suffix in (".JPG", ".webp")
    assert lost == (
        ["laid on white, since JPEG has no transparency"] * (flat and source == "rgba.png")
        + [f"cut to 8 bit, since {suffix} holds no more"] * (deep and source == "colour16.png")
    )
    assert copy.alpha == (source == "rgba.png" and not flat)


@pytest.mark.parametrize("name", ["out.gif", "out.bmp", "out.heic"])
def test_a_single_file_of_a_format_that_cannot_be_written(name, model, tmp_path):
    (photo,) = write(tmp_path, "colour.png")
    with pytest.raises(ConfigError, match=f"got .*{name}"):
        colourise([photo], tmp_path / name, model)


def test_each_photo_is_reported_when_it_is_done(model, tmp_path):
    inputs = write(tmp_path / "in", "camera.jpg", "text.jpg", "animation.gif")
    reported = []
    result = colourise(
        [str(tmp_path / "*.gif"), *inputs],
        tmp_path / "out",
        model,
        on_result=lambda done: reported.append((done, len(list((tmp_path / "out").iterdir())))),
    )
    assert [num_written for _, num_written in reported] == [0, 1, 1, 2]
    assert [done for done, _ in reported] == [
        result.failed[0],
        result.written[0],
        result.failed[1],
        result.written[1],
    ]


@pytest.mark.parametrize("name", ["colour.png", "scan.tif", "camera.jpg", "photo.webp"])
def test_a_disk_that_fills_up_fails_that_photo_and_leaves_nothing(name, model, tmp_path):
    inputs = write(tmp_path / "in", name)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, before[1]))
    try:
        result = colourise(inputs, tmp_path / "out", model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert result.written == []
    assert f"cannot write {tmp_path}/out/{name}: " in result.failed[0].error
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "needed more memory than there is"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "needed more memory than there is"),
        (ZeroDivisionError("by zero"), "could not be done: ZeroDivisionError: by zero"),
    ],
)
def test_whatever_one_photo_does_the_others_are_coloured(error, message, model, tmp_path, monkeypatch):
    inputs = write(tmp_path / "in", "colour.png", "rgba.png")

    def fail_without_alpha(strips, chroma, size, alpha, drift):
        if not alpha:
            raise error
        return paint(strips, chroma, size, alpha, drift)

    monkeypatch.setattr("pixelwise.colourising.run.paint", fail_without_alpha)
    result = colourise(inputs, tmp_path / "out", model)
    assert [failure.error for failure in result.failed] == [f"{inputs[0]}: {message}"]
    assert [one.path.name for one in result.written] == ["rgba.png"]


def test_painting_leaves_torchs_threads_as_they_were(model, tmp_path):
    inputs = write(tmp_path / "in", "colour.png")
    before = torch.get_num_threads()
    colourise(inputs, tmp_path / "out", model)
    assert torch.get_num_threads() == before


@pytest.mark.slow
def test_memory_does_not_grow_with_the_photo(model, tmp_path):
    image = pyvips.Image.gaussnoise(6000, 100, mean=128, sigma=20).cast("uchar")
    peaks = []
    for height in (1000, 6000):
        image.replicate(1, height // 100).tiffsave(str(tmp_path / f"{height}.tif"))
        code = f"""
import resource, torch
from pathlib import Path
from pixelwise.photos.photo import open_photo
from pixelwise.colourising.run import colourise_photo
photo = open_photo(Path({str(tmp_path / f"{height}.tif")!r}))
colourise_photo(photo, Path({str(tmp_path / "out.tif")!r}), torch.zeros(2, 8, 8))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] < peaks[0] + 60  # MB, where the larger photo has 90 MB more pixels


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_suggested_hints_are_where_the_photo_shows_them(orientation, tmp_path):
    """The network doubts one displayed corner; the point is there, whatever the camera stored."""
    Image.fromarray(scene()).save(tmp_path / "a.png", exif=make["exif"](orientation))
    photo = open_photo(tmp_path / "a.png")
    palette = Palette(torch.eye(4, 2, dtype=torch.float64) * 50, "ab", "four")
    height, width = photo.upright_size
    upright = torch.zeros(4, height // 2, width // 2)
    upright[0] = 50.0
    upright[:, -6:, :6] = 0.0
    (hint,) = Prediction(photo.as_stored(upright), palette).next_hints(photo, 1)
    assert height - 13 <= hint.row < height
    assert hint.column <= 13
