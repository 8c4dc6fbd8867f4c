"""Colouring with networks that give a and b and no classes: other people's."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from fixtures.foreign import deoldify, write, zhang
from fixtures.photos.make import exif, scene
from pixelwise import colourise
from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.colourising.options import ColouriseOptions
from pixelwise.colourising.prediction import predict, require_possible
from pixelwise.colourising.reference import Reference, follow_chroma
from pixelwise.colourising.run import colourise_files
from pixelwise.errors import ConfigError
from pixelwise.network.model import open_model
from pixelwise.photos.photo import open_photo
from pixelwise.photos.provenance import read_provenance

pytestmark = pytest.mark.core

SIDE = 32


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return open_model(zhang(tmp_path_factory.mktemp("models") / "theirs.onnx", SIDE, license="BSD-2-Clause"))


@pytest.fixture
def grey(tmp_path):
    """A photo that lies on its side, in 8 bit, with metadata; wider than high when displayed."""
    picture = np.linspace(60, 180, 80) + np.linspace(-20, 20, 120)[:, None]
    Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "ida.jpg", quality=95, exif=exif(6))
    return tmp_path / "ida.jpg"


def lab_of(path):
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    return srgb_to_lab(np.moveaxis(upright, -1, 0) / 255)


def coloured(model, grey, out, **options):
    result = colourise_files([str(grey)], out, model, ColouriseOptions.parse(**options))
    assert not result.failed
    return result


def test_luminance_size_and_metadata_are_the_photos_and_colours_the_networks(model, grey, tmp_path):
    result = coloured(model, grey, tmp_path / "out")
    path = tmp_path / "out" / "ida.jpg"
    light, *chroma = lab_of(path)
    assert light.shape == (80, 120)
    assert result.lightness_difference < 0.25
    inside = np.s_[:, 8:-8, 8:-8]  # the map is small, and ends curve
    expected = np.stack([0.4 * light - 10, 20 - 0.6 * light])
    assert np.abs(np.stack(chroma) - expected)[inside].mean() < 2  # JPEG's own losses among them
    assert b"Pixel Works" in path.read_bytes()
    record = read_provenance(path)
    assert (record.model, record.model_sha256) == ("theirs.onnx", model.checksum)
    assert record.licence == "BSD-2-Clause"


def test_rgb_to_rgb_gives_its_chroma_alone(grey, tmp_path):
    theirs = open_model(deoldify(tmp_path / "theirs.onnx", "255", SIDE))
    result = coloured(theirs, grey, tmp_path / "out")
    assert result.lightness_difference < 0.25
    _, a, b = lab_of(tmp_path / "out" / "ida.jpg")
    assert float(b.mean()) > 10
    assert abs(float(a.mean())) < 10


def test_hints_boxes_and_saturation_need_no_classes(model, grey, tmp_path):
    told = srgb_to_lab(np.array([128, 106, 96])[:, None, None] / 255)[1:, 0, 0]
    options = {"hints": ["60,100,#806a60"], "keep_grey": ["0,0,20,120"], "saturation": 2.0}
    coloured(model, grey, tmp_path / "out", **options)
    _, *chroma = lab_of(tmp_path / "out" / "ida.jpg")
    assert np.linalg.norm(np.stack(chroma)[:, 60, 100] - told) < 4
    assert np.linalg.norm(np.stack(chroma)[:, :16], axis=0).mean() < 2
    photo = open_photo(grey)
    guess = predict(photo, model)
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
def test_what_needs_classes_is_refused_before_anything_is_written(options, named, model, grey, tmp_path):
    with pytest.raises(ConfigError, match=f"theirs.onnx does not give, are needed by {named}$"):
        colourise_files([str(grey)], tmp_path / "out", model, ColouriseOptions.parse(**options))
    assert not (tmp_path / "out").exists()
    require_possible(ColouriseOptions.parse(**options), open_model())


def test_one_picture_from_python(model, grey):
    picture = colourise(grey, model)
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


def test_a_reference_gives_its_colours(model, grey, tmp_path):
    blue = (scene(seed=2) * np.array([0.3, 0.5, 1.0])).astype(np.uint8)
    Image.fromarray(blue).save(tmp_path / "blue.png")
    coloured(model, grey, tmp_path / "out", reference=tmp_path / "blue.png", reference_strength=1.0)
    wanted = lab_of(tmp_path / "blue.png")[2].mean()
    assert lab_of(tmp_path / "out" / "ida.jpg")[2].mean() == pytest.approx(wanted, abs=12)
