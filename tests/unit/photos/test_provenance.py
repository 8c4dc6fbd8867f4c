"""Each coloured copy says that its colours are guessed, in every format, and says nothing else anew."""

from pathlib import Path

import numpy as np
import pytest
import pyvips

from fixtures.photos import make
from pixelwise.colourising.options import ColouriseOptions
from pixelwise.colourising.run import colourise_photo
from pixelwise.photos.photo import open_photo
from pixelwise.photos.provenance import SOURCE_TYPE, Record, read_provenance, recorded
from pixelwise.photos.xmp import read_properties

pytestmark = pytest.mark.core

XMP, scene, exif = make.XMP, make.scene, make.exif
RECORD = Record(
    model="cifar-ab", model_sha256="ab" * 32, settings={"temperature": 0.5, "hints": [[1, 2, "#a0b0c0"]]}
)
IPTC = b"\x1c\x02\x5a\x00\x05Delft"
IN_JPEG = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\x0a" + IPTC
GREY = np.zeros((2, 1, 1), np.float32)


def written(source: Path, target: Path, record: Record | None = RECORD) -> str:
    photo = open_photo(source)
    copy, remark = recorded(photo, record, target.suffix) if record else (photo, "")
    colourise_photo(copy, target, GREY)
    return remark


def field(path: Path, name: str) -> object:
    image = pyvips.Image.new_from_file(str(path))
    return image.get(name) if image.get_typeof(name) else None


def dressed(path: Path, xmp: bytes | None = XMP) -> Path:
    """A photo with everything that metadata has."""
    image = pyvips.Image.new_from_array(scene())
    if xmp is not None:
        image.set_type(pyvips.GValue.blob_type, "xmp-data", xmp)
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", make.srgb_profile())
    # Into a TIFF libvips would write a quarter of it.
    iptc = IN_JPEG if path.suffix == ".jpg" else IPTC + bytes(3 * len(IPTC))
    image.set_type(pyvips.GValue.blob_type, "iptc-data", iptc)
    image.set_type(pyvips.GValue.blob_type, "exif-data", exif().tobytes())
    image.write_to_file(str(path), **({"compression": "av1"} if path.suffix == ".avif" else {}))
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
@pytest.mark.parametrize("xmp", [XMP, None], ids=["xmp", "none"])
def test_a_record_goes_in_and_comes_out_and_all_else_is_as_without(suffix, xmp, tmp_path):
    source = dressed(tmp_path / ("a" + suffix), xmp)
    with_record, without = tmp_path / ("with" + suffix), tmp_path / ("without" + suffix)
    assert written(source, with_record) == ""
    assert read_provenance(with_record) == RECORD
    written(source, without, None)
    assert read_provenance(without) is None
    assert read_provenance(source) is None
    for name in ("icc-profile-data", "iptc-data"):
        assert field(with_record, name) == field(without, name) == field(source, name)
    if suffix in (".jpg", ".tif"):  # libvips writes it into no other format
        assert field(source, "iptc-data") == (IPTC if suffix == ".tif" else IN_JPEG)
    assert field(with_record, "exif-data") == field(without, "exif-data")
    assert (field(without, "xmp-data") or b"").rstrip(b"\0") == (xmp or b"")
    said = read_properties(field(with_record, "xmp-data"))
    assert said["http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "DigitalSourceType"] == SOURCE_TYPE
    assert (("http://ns.adobe.com/photoshop/1.0/", "City") in said) == (xmp is not None)
    pixels = [np.asarray(pyvips.Image.new_from_file(str(path)).numpy()) for path in (with_record, without)]
    assert (pixels[0] == pixels[1]).all()


def test_a_photo_coloured_anew_has_the_last_record_alone(tmp_path):
    written(dressed(tmp_path / "a.jpg"), tmp_path / "1.jpg")
    last = Record(model="other", model_sha256="0", settings={})
    written(tmp_path / "1.jpg", tmp_path / "2.jpg", last)
    assert read_provenance(tmp_path / "2.jpg") == last
    assert field(tmp_path / "2.jpg", "xmp-data").count(b"pixelwise:Model>") == 2


def test_only_names_of_files_are_told(tmp_path):
    settings = ColouriseOptions(reference=Path("/home/me/a.jpg")).colour_settings()
    private = Record(model="/home/me/secret/mine.safetensors", model_sha256="0", settings=settings)
    written(dressed(tmp_path / "a.png"), tmp_path / "out.png", private)
    found = read_provenance(tmp_path / "out.png")
    assert (found.model, found.settings["reference"]) == ("mine.safetensors", "a.jpg")
    assert b"/home/me" not in (tmp_path / "out.png").read_bytes()


def test_damaged_xmp_stays_as_it_is(tmp_path):
    source = dressed(tmp_path / "a.jpg", b"<x:xmpmeta>no XML")
    assert "damaged XMP" in written(source, tmp_path / "out.jpg")
    assert field(tmp_path / "out.jpg", "xmp-data").rstrip(b"\0") == b"<x:xmpmeta>no XML"


def long_xmp(num_bytes: int, padding: int) -> bytes:
    xmp = XMP + b" " * padding + b'<?xpacket end="w"?>'
    return xmp.replace(b"Delft", b"D" * (num_bytes - len(xmp) + 5))


def test_a_jpeg_that_has_no_room_keeps_what_it_had(tmp_path):
    source = dressed(tmp_path / "a.jpg", long_xmp(59_900, 0))
    assert "no room" in written(source, tmp_path / "out.jpg")
    assert field(tmp_path / "out.jpg", "xmp-data") == long_xmp(59_900, 0)
    padded = dressed(tmp_path / "padded.jpg", long_xmp(59_900, 4096))
    assert written(padded, tmp_path / "padded out.jpg") == ""
    assert read_provenance(tmp_path / "padded out.jpg") == RECORD
    assert written(source, tmp_path / "out.png") == ""
    assert read_provenance(tmp_path / "out.png") == RECORD
