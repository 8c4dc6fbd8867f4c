import io
import re
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

from fixtures.photos.make import BAD, PHOTOS, bomb, exif, profile_of, scene
from pixelwise.colour.spaces import lightness
from pixelwise.colourising.run import colourise_photo
from pixelwise.errors import PhotoError
from pixelwise.photos.formats import PILLOW_FORMATS, VIPS_FORMATS, open_file
from pixelwise.photos.paint import LightnessDrift, paint
from pixelwise.photos.photo import Photo, open_photo
from pixelwise.photos.profiles import srgb_profile
from pixelwise.photos.write import output_suffix, write_map, write_photo

pytestmark = pytest.mark.core

VIVID = np.array([[[40, -30], [10, 0]], [[-50, 20], [30, 60]]], np.float32)


def made(folder: Path, name: str) -> Photo:
    PHOTOS[name](folder / name)
    return open_photo(folder / name)


def copy(photo: Photo, target: Path, chroma: np.ndarray = VIVID) -> float:
    return colourise_photo(photo, target, chroma).mean


def read(path: Path) -> np.ndarray:
    """A file's first three bands in sRGB from 0 to 1, through its profile, by another way than ours."""
    image = vips(path)
    largest = 65535 if image.format == "ushort" else 255
    if image.get_typeof("icc-profile-data"):
        image = image.icc_transform("srgb", embedded=True, depth=16 if largest > 255 else 8)
    colours = image.colourspace("rgb16" if largest > 255 else "srgb").extract_band(0, n=3)
    return np.moveaxis(colours.numpy() / largest, -1, 0)


def pillow_read(path: Path) -> np.ndarray:
    return np.moveaxis(np.asarray(pillow(path).convert("RGB")) / 255, -1, 0)


def vips(path: Path) -> pyvips.Image:
    return pyvips.Image.new_from_buffer(path.read_bytes(), "")


def pillow(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


@pytest.mark.parametrize("name", PHOTOS)
def test_every_photo_is_coloured_at_its_size_and_keeps_its_lightness(name, tmp_path):
    photo = made(tmp_path, name)
    target = tmp_path / ("coloured" + output_suffix(photo)[0])
    assert copy(photo, target) < 0.25
    coloured = vips(target)
    assert (coloured.width, coloured.height) == (photo.width, photo.height)
    assert coloured.format == ("uchar" if photo.bits == 8 else "ushort")
    assert coloured.bands == 3 + photo.alpha
    if "float" not in name and "animation" not in name:
        if photo.alpha:
            bands = [vips(path)[-1].numpy() for path in (photo.path, target)]
            assert np.array_equal(*bands)
        before = read(photo.path) if name in ("cmyk.jpg", "grey16.png") else pillow_read(photo.path)
        difference = np.abs(lightness(read(target)) - lightness(before)).mean()
        assert difference < (1.0 if name.endswith((".webp", ".avif", ".jpg")) else 0.5)


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_by_name(name, tmp_path):
    write, message = BAD[name]
    path = tmp_path / name
    write(path)
    with pytest.raises(PhotoError, match=re.escape(str(path)) + ".*" + message):
        copy(open_photo(path), tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb())
    assert path.stat().st_size < 100_000
    with pytest.raises(PhotoError, match=r"6000 x 6000.*--max-megapixels"):
        open_photo(path, max_megapixels=30.0)


def test_a_stale_thumbnail_goes(tmp_path):
    path = tmp_path / "thumb.jpg"
    image = pyvips.Image.new_from_array(scene())
    image.set_type(
        pyvips.GValue.gstr_type, "exif-ifd0-Make", "Pixel Works (Pixel Works, ASCII, 12 components, 12 bytes)"
    )
    image.set_type(
        pyvips.GValue.blob_type, "jpeg-thumbnail-data", image.thumbnail_image(16).jpegsave_buffer()
    )
    image.jpegsave(str(path))
    assert vips(path).get_typeof("jpeg-thumbnail-data")
    copy(open_photo(path), tmp_path / "out.jpg")
    coloured = vips(tmp_path / "out.jpg")
    assert not coloured.get_typeof("jpeg-thumbnail-data")
    assert "Pixel Works" in coloured.get("exif-ifd0-Make")


def test_another_profile_is_kept_and_right(tmp_path):
    photo = made(tmp_path, "p3.png")
    copy(photo, tmp_path / "out.png", np.zeros((2, 1, 1), np.float32))
    coloured = vips(tmp_path / "out.png")
    assert coloured.get("icc-profile-data") == profile_of("p3")
    red, green, blue = read(tmp_path / "out.png")
    assert np.abs(red - green).max() < 0.02
    assert np.abs(red - blue).max() < 0.02


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("grey", [False, True])
def test_the_table_paints_what_the_formula_paints(alpha, grey):
    rng = np.random.default_rng(0)
    bands = (1 if grey else 3) + alpha
    strips = [rng.integers(0, 256, (rows, 50, bands), dtype=np.uint8) for rows in (7, 7, 3)]
    painted = []
    for table_from in (0, 10**9):
        drift = LightnessDrift()
        copies = list(paint(iter(strips), VIVID / 2, (17, 50), alpha, drift, table_from))
        painted.append(np.concatenate(copies).astype(int))
        assert 0 < drift.mean < 0.2
    by_table, exact = painted
    assert by_table.shape == (17, 50, 3 + alpha)
    assert np.abs(by_table - exact).mean() < 1.0
    assert np.abs(by_table - exact).max() < 12


def test_strips_of_any_height_give_the_same_picture():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (90, 30, 1), dtype=np.uint8)
    whole, parts = (
        np.concatenate(list(paint(iter(np.split(codes, cuts)), VIVID, (90, 30), False, LightnessDrift())))
        for cuts in ([], [1, 2, 40, 77])
    )
    assert (whole == parts).all()


@pytest.mark.parametrize(
    ("name", "suffix", "note"),
    [
        ("animation.gif", ".png", "took the first of 3 pictures"),
        ("animation.webp", ".webp", "took the first of 3 pictures"),
        ("photo.bmp", ".png", ""),
        ("named[wrong].jpg", ".png", ""),
        ("odd.jpg", ".jpg", "colour profile"),
    ],
)
def test_what_changes_on_the_way_is_noted(name, suffix, note, tmp_path):
    if name == "odd.jpg":
        Image.fromarray(scene()).save(tmp_path / name, icc_profile=b"no profile at all" * 20)
    photo = open_photo(tmp_path / name) if name == "odd.jpg" else made(tmp_path, name)
    assert output_suffix(photo)[0] == suffix
    assert bool(output_suffix(photo)[1]) == (photo.path.suffix != suffix)
    assert all(note in one for one in photo.notes) == bool(photo.notes or not note)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (1203, 691)])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_thin_and_large_photos(shape, suffix, tmp_path):
    path = tmp_path / f"thin{suffix}"
    Image.fromarray(scene(*shape)).save(path)
    copy(open_photo(path), tmp_path / f"out{suffix}")
    assert pillow(tmp_path / f"out{suffix}").size == shape[::-1]


def test_a_failure_among_the_strips_is_told_as_it_is_and_leaves_nothing(tmp_path):
    photo = made(tmp_path, "colour.png")

    def strips():
        yield np.zeros((8, photo.width, 3), np.uint8)
        raise PhotoError("the third strip is missing")

    with pytest.raises(PhotoError, match="third strip"):
        write_photo(tmp_path / "out.png", strips(), photo)
    assert [path.name for path in tmp_path.iterdir()] == ["colour.png"]


def test_a_map_has_the_photos_size_and_orientation(tmp_path):
    Image.fromarray(scene()).save(tmp_path / "turned.jpg", exif=exif(6))
    photo = open_photo(tmp_path / "turned.jpg")
    write_map(tmp_path / "map.png", np.array([[0.0, 1.0]]), photo)
    image = vips(tmp_path / "map.png")
    assert (image.width, image.height, image.bands, image.format) == (56, 40, 1, "uchar")
    assert image.get("orientation") == photo.orientation == 6
    assert image.numpy()[:, 0].max() == 0
    assert image.numpy()[:, -1].min() == 255
    write_map(tmp_path / "even.png", np.full((2, 2), 0.2159), photo)  # half of sRGB's codes, IEC 61966-2-1
    assert np.unique(vips(tmp_path / "even.png").numpy()).tolist() == [128]


@pytest.mark.parametrize("name", PHOTOS)
def test_the_beginning_of_a_file_decides_its_format(name, tmp_path):
    PHOTOS[name](tmp_path / name)
    (tmp_path / name).rename(tmp_path / "without suffix")
    told = open_file(tmp_path / "without suffix", 1.0).format
    formats = VIPS_FORMATS | PILLOW_FORMATS
    assert Path(name).suffix in formats[told] or name == "named[wrong].jpg"


@pytest.mark.parametrize(
    "content",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>',
        b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n",
        b"2 2\n1 2\n3 4\n",  # a table, to libvips
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n\1\1\1\1",
    ],
)
def test_what_is_no_photo_is_refused_whatever_libvips_could_read(content, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(PhotoError, match=r"photo\.jpg: needed a whole photo"):
        open_photo(tmp_path / "photo.jpg")


def test_an_ultra_hdr_photo_is_read_as_the_jpeg_that_it_is(tmp_path):
    bright = pyvips.Image.new_from_array(scene()).colourspace("scrgb") * 3
    bright.copy(interpretation="scrgb").uhdrsave(str(tmp_path / "phone.jpg"))
    photo = open_photo(tmp_path / "phone.jpg")
    assert photo.format == "jpegload"
    assert "gain map" in photo.notes[0]
    write_photo(tmp_path / "out.jpg", photo.strips(), photo)
    assert open_photo(tmp_path / "out.jpg").notes == []


@pytest.mark.parametrize("name", ["large.bmp", "large.pgm", "large.qoi", "large.tga"])
def test_the_limit_of_size_holds_before_pillow_reads_pixels(name, tmp_path, monkeypatch):
    Image.fromarray(scene(200, 300)).convert("RGB").save(tmp_path / name)

    def read(*_):
        raise AssertionError("pixels were read")

    with monkeypatch.context() as patched:
        patched.setattr("PIL.ImageFile.ImageFile.load", read)
        with pytest.raises(PhotoError, match="300 x 200"):
            open_photo(tmp_path / name, max_megapixels=0.05)
    # Pillow's own limit would refuse it even where ours was raised.
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 100)
    assert open_photo(tmp_path / name).megapixels == pytest.approx(0.06)


@pytest.mark.parametrize("orientation", [*range(1, 9), 0, 9])
def test_turning_upright_and_back(orientation, tmp_path):
    Image.fromarray(scene()).save(tmp_path / "turned.png", exif=exif(orientation))
    photo = open_photo(tmp_path / "turned.png")
    stored = np.arange(24).reshape(2, 3, 4)
    upright = photo.upright(stored)
    assert upright.shape == ((2, 4, 3) if 5 <= orientation <= 8 else (2, 3, 4))
    assert np.array_equal(photo.as_stored(upright), stored)


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def with_curve(gamma: float) -> bytes:
    """An sRGB profile, name and all, whose tone curve is a power instead."""
    tags = {SRGB[at : at + 4]: at for at in range(132, 132 + 12 * 20, 12)}
    start = int.from_bytes(SRGB[tags[b"rTRC"] + 4 : tags[b"rTRC"] + 8], "big")
    power = b"para" + bytes(4) + bytes(4) + round(gamma * 65536).to_bytes(4, "big")  # type 0: y = x ** g
    return SRGB[:start] + power + SRGB[start + len(power) :]


@pytest.mark.parametrize(
    ("profile", "is_srgb"),
    [
        (SRGB, True),
        (srgb_profile(), True),
        (SRGB.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be")), True),
        (with_curve(1.0), False),  # as "GIMP built-in Linear sRGB" and "sRGB-elle-V4-g10"
        (with_curve(2.2), False),
        (profile_of("p3"), False),
    ],
)
def test_a_profile_is_srgb_by_what_it_does(profile, is_srgb, tmp_path):
    Image.fromarray(scene()).save(tmp_path / "photo.png", icc_profile=profile)
    photo = open_photo(tmp_path / "photo.png")
    assert photo.profile == profile
    assert photo.into_profile is not is_srgb
    codes = np.concatenate(list(photo.strips()))[..., :3]
    assert (codes == scene()).all() == is_srgb
