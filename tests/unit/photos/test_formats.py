"""Photos opened by how they begin, whatever they are called, and nothing else let in."""

from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from fixtures.photos import make
from pixelwise.errors import PhotoError
from pixelwise.photos.formats import PILLOW_FORMATS, VIPS_FORMATS, opener
from pixelwise.photos.photo import open_photo
from pixelwise.photos.write import write_photo

pytestmark = pytest.mark.core

PHOTOS, scene = make.PHOTOS, make.scene


@pytest.mark.parametrize("name", PHOTOS)
def test_the_beginning_of_a_file_decides_its_format(name, tmp_path):
    PHOTOS[name](tmp_path / name)
    (tmp_path / name).rename(tmp_path / "without suffix")
    _, told = opener(tmp_path / "without suffix", 1.0)
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
    assert open_photo(tmp_path / "out.jpg").notes == ()


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
    Image.fromarray(scene()).save(tmp_path / "turned.png", exif=make.exif(orientation))
    photo = open_photo(tmp_path / "turned.png")
    stored = np.arange(24).reshape(2, 3, 4)
    upright = photo.upright(stored)
    assert upright.shape == ((2, 4, 3) if 5 <= orientation <= 8 else (2, 3, 4))
    assert np.array_equal(photo.as_stored(upright), stored)
