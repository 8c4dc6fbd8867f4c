"""What a TIFF says of its photo, carried into every format and into TIFF from every other."""

import io
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image
from PIL.ExifTags import IFD, Base

from fixtures.photos import make
from pixelwise.photos.paint import LightnessDrift, paint
from pixelwise.photos.photo import open_photo
from pixelwise.photos.tiff import add_exif
from pixelwise.photos.write import write_photo

pytestmark = pytest.mark.core

scene, PROFILE = make.scene, make.srgb_profile()
TEXTS = {
    Base.Make: "Pixel Works",
    Base.Model: "Scanner 1",
    Base.DateTime: "2024:05:06 07:08:09",
    Base.Artist: "A. Nonymous",
    Base.Copyright: "nobody",
}


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags.update(TEXTS)
    tags[IFD.Exif] = {Base.DateTimeOriginal: "1931:02:03 04:05:06", Base.ISOSpeedRatings: 100}
    tags[IFD.GPSInfo] = {1: "N", 2: (52.0, 30.0, 0.5)}
    return tags


def pillow(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def coloured(source: Path, suffix: str) -> Path:
    photo = open_photo(source)
    assert photo.notes == ()
    target = source.with_name("out" + suffix)
    chroma = np.zeros((2, 1, 1), np.float32)
    strips = paint(photo.strips(), chroma, (photo.height, photo.width), photo.alpha, LightnessDrift())
    write_photo(target, strips, photo)
    return target


@pytest.mark.parametrize("source", [".tif", ".jpg"])
@pytest.mark.parametrize("suffix", [".tif", ".jpg", ".png", ".webp", ".avif"])
def test_metadata_comes_along(source, suffix, tmp_path):
    path = tmp_path / ("scan" + source)
    tags = exif()
    options = {"icc_profile": PROFILE, "dpi": (600, 600)}
    if source == ".tif":
        tags[700] = make.XMP
    else:
        options["xmp"] = make.XMP
    options["exif"] = tags.tobytes()
    Image.fromarray(scene()).save(path, **options)
    copy = coloured(path, suffix)
    tags = pillow(copy).getexif()
    assert {tag: tags.get(tag) for tag in TEXTS} == TEXTS
    assert tags.get_ifd(IFD.Exif)[Base.DateTimeOriginal] == "1931:02:03 04:05:06"
    assert tags.get_ifd(IFD.Exif)[Base.ISOSpeedRatings] == 100
    assert tags.get_ifd(IFD.GPSInfo)[1] == "N"
    assert [float(part) for part in tags.get_ifd(IFD.GPSInfo)[2]] == [52.0, 30.0, 0.5]
    image = pyvips.Image.new_from_file(str(copy))
    assert image.get("icc-profile-data") == PROFILE
    assert image.get("xmp-data").rstrip(b"\0") == make.XMP
    if suffix not in (".webp", ".avif"):  # these have no place for it but EXIF
        assert image.xres == pytest.approx(600 / 25.4, rel=0.01)
    assert np.abs(image.numpy().astype(int)[..., 1].mean() - scene()[..., 1].mean()) < 40


def test_the_pixels_of_a_tiff_stay(tmp_path):
    pixels = scene(300, 200)
    pyvips.Image.new_from_array(pixels).tiffsave(str(tmp_path / "a.tif"))
    add_exif(tmp_path / "a.tif", exif().tobytes())
    assert (pyvips.Image.new_from_file(str(tmp_path / "a.tif")).numpy() == pixels).all()
    assert (np.asarray(pillow(tmp_path / "a.tif")) == pixels).all()
    assert pillow(tmp_path / "a.tif").getexif()[Base.Make] == "Pixel Works"
    assert pillow(tmp_path / "a.tif").getexif().get_ifd(IFD.Exif)[Base.ISOSpeedRatings] == 100


def test_damaged_exif_is_left_out_with_a_note(tmp_path):
    Image.fromarray(scene()).save(tmp_path / "a.tif", exif=exif().tobytes())
    content = bytearray((tmp_path / "a.tif").read_bytes())
    at = content.index(b"\x69\x87\x04\0")  # where the tag points to its own directory
    content[at + 8 : at + 12] = b"\xff\xff\xff\x7f"
    (tmp_path / "a.tif").write_bytes(content)
    photo = open_photo(tmp_path / "a.tif")
    assert "damaged EXIF" in photo.notes[0]
