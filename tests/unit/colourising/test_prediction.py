"""Photos to colours, with networks that give classes and with other people's, which give a and b."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageOps

from fixtures.foreign import deoldify, write, zhang
from fixtures.networks import colouriser, random_weight
from fixtures.photos.make import BAD, PHOTOS, exif, lab_of, scene
from pixelwise import colourise
from pixelwise.colour.palette import Palette
from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.colourising.options import ColouriseOptions
from pixelwise.colourising.prediction import predict, require_possible
from pixelwise.colourising.reference import Reference, follow_chroma
from pixelwise.colourising.run import colourise_files, colourise_photo
from pixelwise.errors import ConfigError, PhotoError
from pixelwise.network.model import model_of, open_model
from pixelwise.network.session import OnnxNetwork
from pixelwise.photos.formats import VIPS_FORMATS
from pixelwise.photos.paint import paint
from pixelwise.photos.photo import open_photo

pytestmark = pytest.mark.core


@pytest.fixture(scope="module")
def model():
    palette = Palette(np.array([[60.0, 0], [0, 60], [-60, 0], [0, -60]]), "ab", "ring")
    return model_of("random", OnnxNetwork(colouriser(random_weight(4), palette)))


def put_photos(folder: Path, *names: str) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (PHOTOS[name] if name in PHOTOS else BAD[name][0])(folder / name)
    return [str(folder / name) for name in names]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_network_sees_photos_upright(orientation, model, tmp_path):
    Image.fromarray(scene()).save(tmp_path / "stored.png", exif=exif(orientation))
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


@pytest.mark.parametrize("source", ["camera.jpg", "rgba.png", "colour16.png", "scan.tif", "cmyk.jpg"])
@pytest.mark.parametrize(
    "suffix", [".JPG", ".png", ".tif", ".webp", pytest.param(".avif", marks=pytest.mark.slow)]
)
def test_a_single_files_name_decides_its_format(source, suffix, model, tmp_path):
    (photo,) = put_photos(tmp_path, source)
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
    inputs = put_photos(tmp_path / "in", name)
    with short_disk(700):
        result = colourise_files(inputs, tmp_path / "out", model)
    assert result.written == []
    assert f"cannot write {tmp_path}/out/{name}: " in result.failed[0].error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "needed more memory than there is"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "needed more memory than there is"),
        (ZeroDivisionError("by zero"), "could not be done: ZeroDivisionError: by zero"),
    ],
)
def test_whatever_one_photo_does_the_others_are_coloured(error, message, model, tmp_path, monkeypatch):
    inputs = put_photos(tmp_path / "in", "colour.png", "rgba.png")

    def fail_without_alpha(strips, chroma, size, alpha, drift):
        if not alpha:
            raise error
        return paint(strips, chroma, size, alpha, drift)

    monkeypatch.setattr("pixelwise.colourising.run.paint", fail_without_alpha)
    result = colourise_files(inputs, tmp_path / "out", model)
    assert [failure.error for failure in result.failed] == [f"{inputs[0]}: {message}"]
    assert [one.path.name for one in result.written] == ["rgba.png"]


def test_a_recursive_search_keeps_its_folders_apart(model, tmp_path):
    put_photos(tmp_path / "in" / "a", "colour.png")
    put_photos(tmp_path / "in" / "b", "colour.png")
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


SIDE = 32


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    return open_model(zhang(tmp_path_factory.mktemp("models") / "theirs.onnx", SIDE))


@pytest.fixture
def grey(tmp_path):
    """A photo that lies on its side, in 8 bit, with metadata; wider than high when displayed."""
    picture = np.linspace(60, 180, 80) + np.linspace(-20, 20, 120)[:, None]
    Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "ida.jpg", quality=95, exif=exif(6))
    return tmp_path / "ida.jpg"


def coloured(theirs, grey, out, **options):
    result = colourise_files([str(grey)], out, theirs, ColouriseOptions.parse(**options))
    assert not result.failed
    return result


def test_luminance_size_and_metadata_are_the_photos_and_colours_the_networks(theirs, grey, tmp_path):
    result = coloured(theirs, grey, tmp_path / "out")
    path = tmp_path / "out" / "ida.jpg"
    light, *chroma = lab_of(path)
    assert light.shape == (80, 120)
    assert result.lightness_difference < 0.25
    inside = np.s_[:, 8:-8, 8:-8]  # the map is small, and ends curve
    expected = np.stack([0.4 * light - 10, 20 - 0.6 * light])
    assert np.abs(np.stack(chroma) - expected)[inside].mean() < 2  # JPEG's own losses among them
    assert b"Pixel Works" in path.read_bytes()


def test_rgb_to_rgb_gives_its_chroma_alone(grey, tmp_path):
    theirs = open_model(deoldify(tmp_path / "theirs.onnx", "255", SIDE))
    result = coloured(theirs, grey, tmp_path / "out")
    assert result.lightness_difference < 0.25
    _, a, b = lab_of(tmp_path / "out" / "ida.jpg")
    assert float(b.mean()) > 10
    assert abs(float(a.mean())) < 10


def test_hints_boxes_and_saturation_need_no_classes(theirs, grey, tmp_path):
    told = srgb_to_lab(np.array([128, 106, 96])[:, None, None] / 255)[1:, 0, 0]
    options = {"hints": ["60,100,#806a60"], "keep_grey": ["0,0,20,120"], "saturation": 2.0}
    coloured(theirs, grey, tmp_path / "out", **options)
    _, *chroma = lab_of(tmp_path / "out" / "ida.jpg")
    assert np.linalg.norm(np.stack(chroma)[:, 60, 100] - told) < 4
    assert np.linalg.norm(np.stack(chroma)[:, :16], axis=0).mean() < 2
    photo = open_photo(grey)
    guess = predict(photo, theirs)
    assert guess.palette is None
    np.testing.assert_allclose(guess.chroma(saturation=2.0), 2 * guess.chroma(), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"temperature": 0.5}, "temperature"),
        ({"alternatives": 2}, "alternatives"),
        ({"confidence": True, "num_hints": 3}, "confidence, suggest-hints"),
        ({"keep_grey": ["paper", "likely"]}, "keep-grey likely"),
    ],
)
def test_what_needs_classes_is_refused_before_anything_is_written(options, named, theirs, grey, tmp_path):
    with pytest.raises(ConfigError, match=f"theirs.onnx does not give, are needed by {named}$"):
        colourise_files([str(grey)], tmp_path / "out", theirs, ColouriseOptions.parse(**options))
    assert not (tmp_path / "out").exists()
    require_possible(ColouriseOptions.parse(**options), open_model())


def test_one_picture_from_python(theirs, grey):
    picture = colourise(grey, theirs)
    np.testing.assert_array_equal(
        picture.with_(saturation=0.0).codes[..., 0], picture.with_(saturation=0.0).codes[..., 2]
    )
    with pytest.raises(ConfigError, match="temperature"):
        picture.with_(temperature=0.5)
    for ask in (lambda: picture.confidence, lambda: picture.alternatives(2), picture.next_hints):
        with pytest.raises(ConfigError, match="class probabilities"):
            ask()


def test_a_nearly_grey_result_says_which_metadata_may_be_missing(grey, tmp_path):
    """Fractions of 110 that are taken for Lab units."""
    theirs = open_model(write(tmp_path / "theirs.onnx", [[0.002], [-0.003]], [0, 0], SIDE))
    (photo,) = coloured(theirs, grey, tmp_path / "out").written
    assert "ab_scale" in photo.warnings[0]


def test_mean_and_spread_of_a_reference_are_met_by_lightness(tmp_path):
    Image.fromarray(scene(120, 160, 4)).save(tmp_path / "a.png")
    reference = Reference.read(tmp_path / "a.png", None)
    rng = np.random.default_rng(0)
    chroma = rng.normal(5, 8, (2, 60, 60)).astype(np.float32)
    chroma[1] += 0.5 * chroma[0]
    light = np.repeat(np.array([10, 50, 90], np.float32), 20)[:, None] * np.ones((60, 60), np.float32)
    followed = follow_chroma(chroma, light, reference)
    for rows, mean, covariance in zip(np.split(followed, 3, axis=1), *reference.moments, strict=True):
        np.testing.assert_allclose(rows.mean((1, 2)), mean, atol=0.1, rtol=0)
        np.testing.assert_allclose(np.cov(rows.reshape(2, -1)), covariance, rtol=0.05, atol=2)
    assert np.array_equal(follow_chroma(chroma, light, reference, 0.0), chroma)
    half = follow_chroma(chroma, light, reference, 0.5)
    np.testing.assert_allclose(half, (chroma + followed) / 2, atol=1e-3)


def test_a_reference_gives_its_colours(theirs, grey, tmp_path):
    blue = (scene(seed=2) * np.array([0.3, 0.5, 1.0])).astype(np.uint8)
    Image.fromarray(blue).save(tmp_path / "blue.png")
    coloured(theirs, grey, tmp_path / "out", reference=tmp_path / "blue.png", reference_strength=1.0)
    wanted = lab_of(tmp_path / "blue.png")[2].mean()
    assert lab_of(tmp_path / "out" / "ida.jpg")[2].mean() == pytest.approx(wanted, abs=12)


def test_an_answer_that_is_no_number_is_refused_and_named(tmp_path):
    (photo,) = put_photos(tmp_path, "grey16.png")
    palette = Palette(np.array([[60.0, 0], [0, 60]]), "ab", "two")
    broken = model_of("broken", OnnxNetwork(colouriser(np.nan * random_weight(2), palette)))
    with pytest.raises(PhotoError, match=r"grey16\.png: broken answers with values that are no numbers"):
        predict(open_photo(Path(photo)), broken)
