import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyvips
import torch
from PIL import Image, ImageOps

from fixtures.photos import make
from pixelwise.colour.palette import Palette
from pixelwise.colourising.options import ColouriseOptions
from pixelwise.colourising.prediction import predict
from pixelwise.colourising.run import colourise_files, colourise_photo
from pixelwise.network.config import UNetConfig
from pixelwise.photos.formats import VIPS_FORMATS
from pixelwise.photos.paint import paint
from pixelwise.photos.photo import open_photo
from pixelwise.training.models import build
from pixelwise.training.runs import TorchModel

PHOTOS, BAD, scene = make.PHOTOS, make.BAD, make.scene


@pytest.fixture(scope="module")
def model() -> TorchModel:
    torch.manual_seed(0)
    config = UNetConfig(num_filters=8, num_colours=6)
    angles = np.arange(6) * math.pi / 3
    palette = Palette(np.stack([np.cos(angles), np.sin(angles)], axis=1) * 60, "ab", "ring")
    net = build(config).eval()
    with torch.no_grad():
        net.classes.weight.mul_(10)  # sure of itself, as no network of random weights is
    return TorchModel.of(name="random", net=net, palette=palette, size=32, checksum="")


def write(folder: Path, *names: str) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (PHOTOS[name] if name in PHOTOS else BAD[name][0])(folder / name)
    return [str(folder / name) for name in names]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_network_sees_photos_upright(orientation, model, tmp_path):
    Image.fromarray(scene()).save(tmp_path / "stored.png", exif=make.exif(orientation))
    upright = ImageOps.exif_transpose(Image.open(tmp_path / "stored.png"))
    upright.save(tmp_path / "upright.png", exif=b"")
    for name in ("stored", "upright"):
        photo = open_photo(tmp_path / f"{name}.png")
        colourise_photo(photo, tmp_path / f"{name}-out.png", predict(photo, model).chroma())
    turned, expected = (
        pyvips.Image.new_from_file(str(tmp_path / f"{name}-out.png")).autorot().numpy().astype(int)
        for name in ("stored", "upright")
    )
    assert turned.shape == expected.shape == (*upright.size[::-1], 3)
    assert abs(turned - expected).mean() < 0.1  # resampling rounds differently on turned rows


def test_a_batch_does_what_it_can_and_names_the_rest(model, tmp_path):
    inputs = write(tmp_path / "in", "camera.jpg", "cut.jpg", "rgba.png", "text.jpg", "animation.gif")
    result = colourise_files([*inputs, str(tmp_path / "nothing.jpg")], tmp_path / "out", model)
    assert [one.path.name for one in result.written] == ["camera.jpg", "rgba.png", "animation.png"]
    assert [failure.path.name for failure in result.failed] == ["cut.jpg", "text.jpg", "nothing.jpg"]
    assert result.megapixels == pytest.approx(3 * 40 * 56 / 1e6)
    assert 0 < result.lightness_difference < 0.25
    assert result.seconds > 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"animation.png", "camera.jpg", "rgba.png"}


def test_inputs_are_never_replaced(model, tmp_path):
    inputs = write(tmp_path / "in", "colour.png")
    before = Path(inputs[0]).read_bytes()
    result = colourise_files(inputs, tmp_path / "in", model)
    assert [failure.path for failure in result.failed] == [Path(inputs[0])]
    assert Path(inputs[0]).read_bytes() == before


@pytest.mark.parametrize("source", ["camera.jpg", "rgba.png", "colour16.png", "scan.tif", "cmyk.jpg"])
@pytest.mark.parametrize(
    "suffix", [".JPG", ".png", ".tif", ".webp", pytest.param(".avif", marks=pytest.mark.slow)]
)
def test_a_single_files_name_decides_its_format(source, suffix, model, tmp_path):
    (photo,) = write(tmp_path, source)
    out = tmp_path / ("new" + suffix)
    result = colourise_files([photo], out, model, ColouriseOptions(confidence=True))
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


@pytest.mark.parametrize("name", ["colour.png", "scan.tif", "camera.jpg", "photo.webp"])
def test_a_disk_that_fills_up_fails_that_photo_and_leaves_nothing(name, model, tmp_path, short_disk):
    inputs = write(tmp_path / "in", name)
    with short_disk(700):
        result = colourise_files(inputs, tmp_path / "out", model)
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
    result = colourise_files(inputs, tmp_path / "out", model)
    assert [failure.error for failure in result.failed] == [f"{inputs[0]}: {message}"]
    assert [one.path.name for one in result.written] == ["rgba.png"]


def test_two_inputs_of_one_name(model, tmp_path):
    inputs = write(tmp_path / "a", "colour.png") + write(tmp_path / "b", "colour.png")
    result = colourise_files(inputs, tmp_path / "out", model)
    assert len(result.written) == 1
    (failure,) = result.failed
    assert f"{tmp_path}/out/colour.png, which {inputs[0]} has taken" in failure.error


def test_a_recursive_search_keeps_its_folders_apart(model, tmp_path):
    write(tmp_path / "in" / "a", "colour.png")
    write(tmp_path / "in" / "b", "colour.png")
    result = colourise_files([str(tmp_path / "in")], tmp_path / "in" / "out", model, recursive=True)
    assert [one.path.relative_to(tmp_path) for one in result.written] == [
        Path("in/out/a/colour.png"),
        Path("in/out/b/colour.png"),
    ]
    again = colourise_files([str(tmp_path / "in")], tmp_path / "in" / "out", model, recursive=True)
    assert len(again.written) == 2


@pytest.mark.slow
def test_memory_does_not_grow_with_the_photo(model, tmp_path):
    image = pyvips.Image.gaussnoise(6000, 100, mean=128, sigma=20).cast("uchar")
    peaks = []
    for height in (1000, 6000):
        image.replicate(1, height // 100).tiffsave(str(tmp_path / f"{height}.tif"))
        code = f"""
import resource
import numpy as np
from pathlib import Path
from pixelwise.photos.photo import open_photo
from pixelwise.colourising.run import colourise_photo
photo = open_photo(Path({str(tmp_path / f"{height}.tif")!r}))
colourise_photo(photo, Path({str(tmp_path / "out.tif")!r}), np.zeros((2, 8, 8), np.float32))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] < peaks[0] + 60  # MB, where the larger photo has 90 MB more pixels
