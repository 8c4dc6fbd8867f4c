"""Each coloured copy says that its colours are guessed, in every format, and says nothing else anew."""

import io
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image
from PIL.ExifTags import IFD, Base

from fixtures.photos import make
from pixelwise.colourising.options import ColouriseOptions
from pixelwise.colourising.run import colourise_photo
from pixelwise.photos.photo import open_photo
from pixelwise.photos.provenance import SOURCE_TYPE, Record, read_provenance, recorded
from pixelwise.photos.tiff import add_exif
from pixelwise.photos.xmp import put_properties, read_properties

pytestmark = pytest.mark.core

XMP, scene, exif = make.XMP, make.scene, make.exif
SETTINGS = {"temperature": 0.5, "hints": [[1, 2, "#a0b0c0"]]}
RECORD = Record(model="cifar-ab", model_sha256="ab" * 32, settings=SETTINGS)
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


OURS, OTHER = "urn:ours#", "http://ns.other/"
PREFIXES = {OURS: "ours", OTHER: "other"}
MODEL, KIND = (OURS, "Model"), (OTHER, "Kind")
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'


def packet(inner: str) -> bytes:
    return (
        f'<?xpacket begin="\ufeff" id="x"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}>{inner}'
        '</rdf:RDF></x:xmpmeta>\n   \n<?xpacket end="w"?>'
    ).encode()


def test_a_photo_without_xmp_gets_a_packet():
    made = put_properties(None, {MODEL: "a <b> & \u00fc"}, PREFIXES)
    assert made.startswith(b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>')
    assert read_properties(made) == {MODEL: "a <b> & \u00fc"}


@pytest.mark.parametrize(
    "inner",
    [
        '<rdf:Description rdf:about="" xmlns:q="http://q/" q:a=\'1>0\'><q:b>t</q:b></rdf:Description>',
        '<rdf:Description rdf:about="u"/><!-- kept --><rdf:Description rdf:about="u"></rdf:Description>',
        f'<rdf:Description xmlns:dc="d"><dc:t><rdf:Seq {RDF}><rdf:li>1</rdf:li></rdf:Seq></dc:t>'
        "</rdf:Description>",
        '<rdf:Description xmlns:m="m" m:v="&lt;/rdf:RDF>"><m:w><![CDATA[</rdf:RDF>]]></m:w>'
        "</rdf:Description>",
        "",
    ],
)
def test_what_was_there_stays_byte_for_byte(inner):
    before = packet(inner)
    after = put_properties(before, {MODEL: "m"}, PREFIXES)
    at = after.index(b"<rdf:Description xmlns:rdf=")
    end = after.index(b"</rdf:RDF></x:xmpmeta>", at)
    assert after[:at] + after[end:] == before
    assert read_properties(after) == read_properties(before) | {MODEL: "m"}


@pytest.mark.parametrize(
    ("inner", "left"),
    [
        ("${o} o:Kind='x' ${q}\n q:b='2'><q:c/>", {("http://q/", "b"): "2", ("http://q/", "c"): ""}),
        ("${o} ${q}><o:Kind/><q:c>1</q:c>", {("http://q/", "c"): "1"}),
        ("${o}><o:Kind>x</o:Kind>", {}),
        ("xmlns:z='urn:ours#' z:Old='1' z:Model='2'>", {}),
        ("${q} q:Kind='not ours'>", {("http://q/", "Kind"): "not ours"}),
    ],
)
def test_a_property_is_said_once(inner, left):
    text = inner.replace("${o}", "xmlns:o='http://ns.other/'").replace("${q}", "xmlns:q='http://q/'")
    values = {MODEL: "m", KIND: "k"}
    before = packet(f'<rdf:Description rdf:about="u" {text}</rdf:Description>')
    after = put_properties(before, values, PREFIXES, drop={OURS})
    assert read_properties(after) == left | values
    assert after.count(b":Kind") == after.count(b"/other:Kind") + 1 + (b"q:Kind" in after)
    assert b'rdf:about="u"' in after
    assert after.startswith('<?xpacket begin="\ufeff" id="x"?>'.encode())
    assert after.endswith(b'<?xpacket end="w"?>')


def test_an_empty_rdf_is_opened_and_its_own_prefix_kept():
    before = b'<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" />'
    after = put_properties(before, {MODEL: "m"}, PREFIXES)
    assert after.startswith(before[:-3])
    assert after.endswith(b"</r:RDF>")
    assert read_properties(after) == {MODEL: "m"}


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"<a>",
        b"<a/>",
        b"<x:a/>",
        packet("").decode().encode("utf-16"),
        b'<!DOCTYPE a [<!ENTITY b "c">]>' + packet(""),
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd">' + packet(""),
    ],
)
def test_what_cannot_be_read_is_refused(damaged):
    with pytest.raises(ValueError, match="damaged XMP"):
        put_properties(damaged, {MODEL: "m"}, PREFIXES)


PROFILE = make.srgb_profile()
TEXTS = {
    Base.Make: "Pixel Works",
    Base.Model: "Scanner 1",
    Base.DateTime: "2024:05:06 07:08:09",
    Base.Artist: "A. Nonymous",
    Base.Copyright: "nobody",
}


def exif_tags() -> Image.Exif:
    tags = Image.Exif()
    tags.update(TEXTS)
    tags[IFD.Exif] = {Base.DateTimeOriginal: "1931:02:03 04:05:06", Base.ISOSpeedRatings: 100}
    tags[IFD.GPSInfo] = {1: "N", 2: (52.0, 30.0, 0.5)}
    return tags


def pillow(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


@pytest.mark.parametrize("source", [".tif", ".jpg"])
@pytest.mark.parametrize("suffix", [".tif", ".jpg", ".png", ".webp", ".avif"])
def test_metadata_comes_along(source, suffix, tmp_path):
    path = tmp_path / ("scan" + source)
    tags = exif_tags()
    options = {"icc_profile": PROFILE, "dpi": (600, 600)}
    if source == ".tif":
        tags[700] = make.XMP
    else:
        options["xmp"] = make.XMP
    options["exif"] = tags.tobytes()
    Image.fromarray(scene()).save(path, **options)
    assert open_photo(path).notes == []
    copy = tmp_path / ("out" + suffix)
    written(path, copy, None)
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
    add_exif(tmp_path / "a.tif", exif_tags().tobytes())
    assert (pyvips.Image.new_from_file(str(tmp_path / "a.tif")).numpy() == pixels).all()
    assert (np.asarray(pillow(tmp_path / "a.tif")) == pixels).all()
    assert pillow(tmp_path / "a.tif").getexif()[Base.Make] == "Pixel Works"
    assert pillow(tmp_path / "a.tif").getexif().get_ifd(IFD.Exif)[Base.ISOSpeedRatings] == 100


def test_damaged_exif_is_left_out_with_a_note(tmp_path):
    Image.fromarray(scene()).save(tmp_path / "a.tif", exif=exif_tags().tobytes())
    content = bytearray((tmp_path / "a.tif").read_bytes())
    at = content.index(b"\x69\x87\x04\0")  # where the tag points to its own directory
    content[at + 8 : at + 12] = b"\xff\xff\xff\x7f"
    (tmp_path / "a.tif").write_bytes(content)
    photo = open_photo(tmp_path / "a.tif")
    assert "damaged EXIF" in photo.notes[0]
