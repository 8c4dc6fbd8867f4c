"""Odd, unusual and damaged files, by kind: what is read of them, what is kept, what is refused and named."""

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from PIL import Image

from fixtures.photos.make import scene
from pixelwise.colour.spaces import linear_to_srgb
from pixelwise.errors import FormatError, PhotoError, PhotoSizeError
from pixelwise.photos import formats
from pixelwise.photos.paint import Strip
from pixelwise.photos.photo import open_photo
from pixelwise.photos.profiles import srgb_profile
from pixelwise.photos.write import write_photo

pytestmark = pytest.mark.core

GREY = np.asarray(Image.fromarray(scene(64, 96)).convert("L"))
TEXT = {"description": "Box 12", "software": "ScanSoft", "datetime": "1931:05:02 10:00:00"}


def pixels(path) -> Strip:
    return np.concatenate(list(open_photo(path).strips()))[..., 0]


def copied(path, folder):
    """Write the tags of a copy of a photo whose pixels are all black."""
    photo = open_photo(path)
    target = folder / f"copy-{path.name}"
    write_photo(target, iter([np.zeros((photo.height, photo.width, 3), np.uint8)]), photo)
    with tifffile.TiffFile(target) as tiff:
        return {tag.code: tag.value for tag in tiff.pages[0].tags}


@pytest.mark.parametrize(
    "thumbnail",
    [
        {"subfiletype": 1},
        {"extratags": [(255, "H", 1, 2, True)]},
        {"extratags": [(254, "B", 2, (1, 0), True)]},
    ],
)
def test_the_first_picture_in_full_resolution_is_the_photo(thumbnail, tmp_path):
    path = tmp_path / "scan.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(GREY[::8, ::8], **thumbnail)
        tiff.write(GREY, subfiletype=0, metadata=None)
        tiff.write(GREY[::-1], subfiletype=0, metadata=None)
    photo = open_photo(path)
    assert (photo.height, photo.width) == GREY.shape
    assert np.array_equal(pixels(path), GREY)
    assert photo.notes == [f"{path}: took picture 2 of 3, the first in full resolution"]


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("raw.dng", []),
        ("preview.tif", [(50706, "B", 4, (1, 4, 0, 0), True)]),
        ("named.NEF", []),
    ],
)
def test_raw_files_are_to_be_developed_first(name, tags, tmp_path):
    tifffile.imwrite(tmp_path / name, GREY, extratags=tags)
    with pytest.raises(FormatError, match=rf"{name}: is a camera's raw file; develop it first"):
        open_photo(tmp_path / name)


def test_a_mosaic_below_the_preview_is_a_raw_file(tmp_path):
    with tifffile.TiffWriter(tmp_path / "preview.tif") as tiff:
        tiff.write(GREY[::4, ::4], subifds=1, subfiletype=1)
        tiff.write(GREY, photometric="CFA", subfiletype=0)
    with pytest.raises(FormatError, match="develop it first"):
        open_photo(tmp_path / "preview.tif")


@pytest.mark.parametrize("big", [False, True])
def test_what_describes_a_tiff_comes_along_big_or_not(big, tmp_path):
    geographic = [(33550, "d", 3, (1.5, 1.5, 0.0), True), (34735, "H", 4, (1, 1, 0, 0), True)]
    named = [(269, "s", 0, "Album", True), (285, "s", 0, "Page 4", True), (297, "H", 2, (3, 10), True)]
    tags = [*named, *geographic, (315, "s", 0, "Anna Muster", True)]
    path = tmp_path / "scan.tif"
    tifffile.imwrite(
        path, GREY, bigtiff=big, extratags=tags, resolution=(3, 2), resolutionunit=1, metadata=None, **TEXT
    )
    assert open_photo(path).notes == []
    found = copied(path, tmp_path)
    assert (found[270], found[305], found[306]) == tuple(TEXT.values())
    assert (found[269], found[285], found[297], found[315]) == ("Album", "Page 4", (3, 10), "Anna Muster")
    assert (found[33550], found[34735]) == ((1.5, 1.5, 0.0), (1, 1, 0, 0))
    assert [np.divide(*found[tag]) for tag in (282, 283)] == pytest.approx([3, 2], rel=1e-3)
    assert found[296] == 1  # no unit


def test_geographic_tags_that_are_too_long_take_no_others_away(tmp_path):
    tags = [(42112, "s", 0, "m" * 120_000, True), (315, "s", 0, "Anna Muster", True)]
    tifffile.imwrite(path := tmp_path / "map.tif", GREY, extratags=tags, metadata=None)
    assert [note for note in open_photo(path).notes if "where on Earth it lies was too long" in note]
    assert copied(path, tmp_path)[315] == "Anna Muster"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize(
    ("kinds", "kept"), [("u", ""), ("uu", ""), ("a", "0"), ("ua", "1"), ("au", "0"), ("uuu", "")]
)
def test_only_colours_and_transparency_are_taken(dtype, colours, kinds, kept, tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (64, 96, colours + len(kinds))).astype(dtype)
    values[0, 0] = 255  # white of floats
    path, extra = tmp_path / "scan.tif", [{"u": "unspecified", "a": "unassalpha"}[kind] for kind in kinds]
    photometric = "rgb" if colours == 3 else "minisblack"
    tifffile.imwrite(path, values, photometric=photometric, extrasamples=extra, planarconfig="contig")
    photo = open_photo(path)
    assert (photo.colour, photo.alpha) == (colours == 3, kept != "")
    assert any("further channel" in note for note in photo.notes) == ("u" in kinds)
    found = np.concatenate(list(photo.strips()))
    right = values[..., [*range(colours), *(colours + int(place) for place in kept)]]
    assert np.array_equal(found, right * 257.0 if dtype == np.float64 else right)
    assert photo.thumbnail(8, 8).shape == (3, 8, 8)


@pytest.mark.parametrize(("tag", "name"), [(50000, "ZSTD"), (34887, "LERC"), (34712, "JPEG 2000")])
def test_a_codec_that_is_not_there_is_named(tag, name, tmp_path):
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, GREY)
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack("<HH", 259, 3)) + 8
    content[at : at + 2] = struct.pack("<H", tag)
    path.write_bytes(content)
    with pytest.raises(FormatError, match=f"{name}-compressed TIFF cannot be read here"):
        open_photo(path)


@pytest.mark.parametrize("name", ["wide.pgm", "wide.jp2", "wide.png", "wide.tif"])
def test_grey_of_16_bit_is_seen_alike_whoever_reads_it(name, tmp_path):
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / name)
    photo = open_photo(tmp_path / name)
    assert (photo.bits, photo.colour) == (16, False)
    assert np.array_equal(photo.thumbnail(*GREY.shape)[0], GREY)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f8"])
@pytest.mark.parametrize("white", [1, 255, 65535])
def test_a_few_values_above_white_do_not_make_the_photo_black(dtype, white, tmp_path):
    path, values = tmp_path / "floats.tif", (GREY / 255 * white).astype(dtype)
    values[3, 5:7] = 1.002 * white, -0.002 * white
    tifffile.imwrite(path, values)
    photo = open_photo(path)
    codes = np.round(np.clip(values.astype(float), 0, white) / white * 65535)
    assert np.abs(pixels(path) - codes).max() <= 1
    assert photo.notes == [
        f"{path}: values beyond 0 and {white}, taken for black and white, were cut: "
        f"they go from {-0.002 * white:g} to {1.002 * white:g}"
    ]


@pytest.mark.parametrize(
    ("dtype", "usual", "few", "white"),
    [
        (np.float32, 0.5, 3, 1),
        (np.int32, 5, 3, 255),
        (np.int32, 200, 60_000, 65535),
        (np.int32, 5, 10**6, 255),
    ],
)
def test_white_is_of_what_is_usual_in_fractions_and_of_all_whole_numbers(dtype, usual, few, white, tmp_path):
    path, values = tmp_path / "numbers.tif", np.full((64, 96), usual, dtype)
    values.ravel()[: 90 if few == 3 else 3] = few
    tifffile.imwrite(path, values)
    assert pixels(path)[-1, -1] == round(usual / white * 65535)
    values[0, 9] = -0.02 * white
    tifffile.imwrite(path, values)
    with pytest.raises(PhotoError, match="needed values from 0 to 65535, got -"):
        open_photo(path)


def test_floats_that_pillow_reads_are_floats(tmp_path):
    Image.fromarray(GREY / np.float32(255)).save(path := tmp_path / "map.pfm", format="PPM")
    assert np.array_equal(pixels(path), GREY * 257.0)
    assert np.array_equal(open_photo(path).thumbnail(*GREY.shape)[0], GREY)


def test_doubles_are_turned_counted_and_checked_before_they_are_read(tmp_path):
    path = tmp_path / "doubles.tif"
    with tifffile.TiffWriter(path) as tiff:
        for _ in range(2):
            tiff.write(GREY / 255, extratags=[(274, "H", 1, 6, True)], metadata=None)
    photo = open_photo(path)
    assert (photo.orientation, photo.notes) == (6, [f"{path}: took the first of 2 pictures"])
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(PhotoSizeError):
        open_photo(path, 0.001)
    with pytest.raises(PhotoError, match="cut short"):
        open_photo(path)


def test_doubles_that_are_packed_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "packed.tif", GREY / 255, compression="zlib")
    with pytest.raises(FormatError, match="of a kind that cannot be read here"):
        open_photo(tmp_path / "packed.tif")


@pytest.fixture
def jpeg(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(scene(300, 400)).save(path, quality=90)
    return path


def test_a_jpeg_without_its_last_marker_is_whole(jpeg):
    whole = pixels(jpeg)
    jpeg.write_bytes(jpeg.read_bytes()[:-2])
    photo = open_photo(jpeg)
    photo.thumbnail(64, 64)
    assert photo.notes == [f"{jpeg}: its last marker was missing, which takes no pixel away"]
    assert np.array_equal(pixels(jpeg), whole)


def test_what_was_seen_of_a_file_is_not_looked_for_again(jpeg, tmp_path, monkeypatch):
    jpeg.write_bytes(jpeg.read_bytes() + b"behind the end")
    tifffile.imwrite(tmp_path / "scan.tif", GREY)
    seen = []
    for name in ("find_picture", "lacks_end"):
        whole = getattr(formats, name)
        monkeypatch.setattr(formats, name, lambda path, whole=whole: seen.append(path) or whole(path))
    for path in (jpeg, tmp_path / "scan.tif"):
        photo = open_photo(path)
        photo.thumbnail(16, 16)
        list(photo.strips())
    assert seen == [jpeg, tmp_path / "scan.tif"]


@pytest.mark.parametrize("size", [(16, 16), (300, 400)])
def test_a_jpeg_damaged_in_places_is_told_of_in_all_threads_that_read_it(jpeg, size, tmp_path):
    content = bytearray(jpeg.read_bytes())
    half = len(content) // 2
    del content[half : half + 2000]
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(content)

    def notes_of(path):
        photo = open_photo(path)
        photo.thumbnail(*size)
        return photo.notes

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(notes_of, [damaged, jpeg] * 10))
    assert found[1::2] == [[]] * 10
    assert all(note.startswith(f"{damaged}: warning: damaged in places (") for (note,) in found[::2])


@pytest.mark.parametrize("frac", [0.3, 0.6, 0.95])
def test_a_jpeg_that_was_cut_short_is_refused(jpeg, frac):
    content = jpeg.read_bytes()
    jpeg.write_bytes(content[: int(frac * len(content))])
    photo = open_photo(jpeg)
    with pytest.raises(PhotoError, match="cut short"):
        photo.thumbnail(16, 16)
    with pytest.raises(PhotoError, match="cut short"):
        list(photo.strips())


def test_a_jpeg_of_several_scans_needs_its_end(jpeg):
    Image.fromarray(scene(300, 400)).save(jpeg, progressive=True)
    content, whole = jpeg.read_bytes(), pixels(jpeg)
    jpeg.write_bytes(content[:-2] + bytes(40) + content[-2:])  # filled up, as some cameras do
    photo = open_photo(jpeg)
    photo.thumbnail(64, 64)
    assert photo.notes == []
    assert np.array_equal(pixels(jpeg), whole)
    last = content.rindex(b"\xff\xda")
    jpeg.write_bytes(content[: content.rindex(b"\xff\xc4", 0, last)])
    with pytest.raises(PhotoError, match="cut short"):
        open_photo(jpeg)


def png_with(path, codes, chunk, content, **options):
    """Write a PNG with a further chunk before its pixels."""
    Image.fromarray(codes).save(path, **options)
    whole = path.read_bytes()
    body = chunk + content
    packed = struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(whole[:33] + packed + whole[33:])
    return path


@pytest.mark.parametrize(
    ("chunk", "content"), [(b"gAMA", struct.pack(">I", 100_000)), (b"cICP", bytes([1, 8, 0, 1]))]
)
@pytest.mark.parametrize("codes", [GREY, np.dstack([scene(64, 96), GREY])], ids=["grey", "rgba"])
def test_a_png_of_linear_light_is_seen_as_it_is_shown(chunk, content, codes, tmp_path):
    photo = open_photo(png_with(tmp_path / "linear.png", codes, chunk, content))
    assert photo.notes == [f"{photo.path}: a gamma of 1 became sRGB's"]
    found = np.concatenate(list(photo.strips())).astype(float).reshape(*codes.shape)
    shown = 255 * linear_to_srgb(codes / 255)
    if codes.ndim == 3:
        shown[..., 3] = codes[..., 3]
    assert np.abs(found - shown).max() <= 0.5


@pytest.mark.parametrize(
    ("chunk", "content"),
    [
        (b"gAMA", struct.pack(">I", 45_455)),
        (b"sRGB", b"\0"),
        (b"cICP", bytes([1, 13, 0, 1])),
        (b"cICP", b"\1"),
    ],
)
def test_a_png_of_srgb_stays_as_it_is(chunk, content, tmp_path):
    path = png_with(tmp_path / "usual.png", GREY, chunk, content)
    assert np.array_equal(pixels(path), GREY)
    assert open_photo(path).notes == []


@pytest.mark.parametrize("profile", [None, srgb_profile()], ids=["bare", "profile"])
def test_a_png_for_hdr_screens_is_refused_whatever_its_profile(profile, tmp_path):
    with pytest.raises(PhotoError, match="got one for HDR screens"):
        open_photo(png_with(tmp_path / "hdr.png", GREY, b"cICP", bytes([9, 16, 0, 1]), icc_profile=profile))
