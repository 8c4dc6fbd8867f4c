"""Pictures of masks to labels: each format that people draw in."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from fixtures.drawn import (
    COLOURS,
    HEIGHT,
    NAMES,
    VOID,
    VOID_COLOUR,
    WIDTH,
    drawing,
    voc_palette,
    write_black_and_white,
    write_colours,
    write_json,
    write_numbers,
    write_trimap,
    write_voc,
)
from pixelwise.classnames import ClassNames
from pixelwise.errors import DataError, LabelError, ShapeError
from pixelwise.masks.legend import OXFORD, OXFORD_FLOWER, Legend, legend_of, parse_legend, read_legend
from pixelwise.masks.raw import read_raw
from pixelwise.masks.read import read_mask, resize_mask

LABELS = drawing()
NAMED = {"names": list(NAMES)}
COLOURED = {**NAMED, "colours": [list(colour) for colour in COLOURS], "ignore": list(VOID_COLOUR)}


@pytest.mark.parametrize(
    ("write", "legend"),
    [
        (write_voc, None),
        (write_voc, NAMED),
        (write_numbers, None),
        (write_numbers, NAMED),
        (write_numbers, COLOURED),
        (write_colours, COLOURED),
        (
            write_colours,
            {name: list(colour) for name, colour in zip(NAMES, COLOURS, strict=True)}
            | {"ignore": list(VOID_COLOUR)},
        ),
        (write_trimap, {"background": 3, "flower": 1, "leaf": 2, "ignore": 0}),
    ],
)
def test_each_format_gives_the_labels_that_were_drawn(tmp_path, write, legend):
    path = tmp_path / "mask.png"
    write(path, LABELS)
    read = read_mask(path, parse_legend(legend) if legend else None)
    if write is write_trimap:  # whose classes come in the order of their numbers: flower, leaf, background
        read = np.array([1, 2, 0, *[255] * 253], np.uint8)[read]
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, LABELS)


def test_oxfords_trimaps_are_flower_leaf_background_sky_or_flower_and_rest(tmp_path):
    write_trimap(tmp_path / "trimap.png", LABELS)
    all_four, flower = (read_mask(tmp_path / "trimap.png", legend) for legend in (OXFORD, OXFORD_FLOWER))
    assert OXFORD.classes.names == ("flower", "leaf", "background", "sky")
    np.testing.assert_array_equal(
        all_four, np.select([LABELS == 1, LABELS == 2, LABELS == 0], [0, 1, 2], VOID)
    )
    np.testing.assert_array_equal(flower, np.where(LABELS == VOID, VOID, LABELS == 1))


@pytest.mark.parametrize("num_colours", [5, 6, 256])
def test_only_a_palette_that_ends_where_oxfords_does_leaves_open_what_0_means(tmp_path, num_colours):
    image = Image.frombytes("P", (5, 1), bytes(range(5)))
    image.putpalette(voc_palette()[: 3 * num_colours] + [0] * 3 * (256 - num_colours))
    image.save(tmp_path / "mask.png")
    if num_colours == 5:
        with pytest.raises(
            LabelError, match=r"mask\.png: needed to know what 0 means, got .* Oxford's trimaps"
        ):
            read_mask(tmp_path / "mask.png")
    else:
        assert read_mask(tmp_path / "mask.png").tolist() == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "P", "I;16", "I", "F", "LA", "swapped"])
@pytest.mark.parametrize(
    "legend", [None, {"rest": 0, "flower": 255}, {"rest": [0, 0, 0], "flower": [255] * 3}]
)
def test_black_and_white_is_read_however_it_is_stored(tmp_path, mode, legend):
    flower = LABELS == 1
    grey = Image.fromarray(flower.astype(np.uint8) * 255)
    path = tmp_path / ("mask.tif" if mode in "FI" else "mask.png")
    if mode == "swapped":
        image = Image.frombytes("P", grey.size, (~flower).astype(np.uint8).tobytes())
        image.putpalette([255] * 3 + [0] * 3)
    elif mode == "P" and legend is None:
        image = Image.frombytes("P", grey.size, flower.astype(np.uint8).tobytes())
        image.putpalette([0] * 3 + [255] * 3)
    else:
        image = grey.convert(mode)
    image.save(path)
    np.testing.assert_array_equal(read_mask(path, parse_legend(legend) if legend else None), flower)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".gif", ".bmp", ".pgm"])
def test_a_mask_is_known_by_its_content_whatever_its_format(tmp_path, suffix):
    write_numbers(tmp_path / f"mask{suffix}", LABELS)
    (tmp_path / "mask.named").write_bytes((tmp_path / f"mask{suffix}").read_bytes())
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.named"), LABELS)


def test_two_named_classes_are_0_and_1_or_black_and_white_as_the_masks_say(tmp_path):
    """Of a single mask of 0 and 255 nobody could tell; all masks together can."""
    given = parse_legend({"names": ["rest", "flower"]})
    numbers = np.where(LABELS == 2, 0, LABELS)
    write_numbers(tmp_path / "numbers.png", numbers)
    write_numbers(tmp_path / "void.png", np.where(LABELS == VOID, LABELS, 0).astype(np.uint8))
    write_black_and_white(tmp_path / "white.png", LABELS)
    values = {path.stem: read_raw(path).values for path in tmp_path.iterdir()}
    assert legend_of([values["white"]], given).numbers == {0: 0, 255: 1}
    assert legend_of([values["numbers"], values["void"]], given) == given
    assert legend_of(iter([values["void"], values["numbers"]]), given) == given


@pytest.mark.parametrize("given", [None, {"names": ["rest", "flower"]}, {"rest": 0, "flower": 1}])
def test_masks_of_0_and_255_among_masks_that_count_are_refused(tmp_path, given):
    """Else 255 would be without class in all of them, and what is drawn in the former would be lost."""
    write_black_and_white(tmp_path / "white.png", LABELS)
    write_numbers(tmp_path / "numbers.png", np.where(LABELS == 1, 1, 0).astype(np.uint8))
    masks = [read_raw(tmp_path / name).values for name in ("numbers.png", "white.png")]
    legend = parse_legend(given) if given else None
    message = (
        r"white\.png: needed masks all of 0 and 255, or all of class numbers, got 255 here and 1 in "
        r'.*numbers\.png; draw them all alike, or, .*, say so in classes\.json: {"names": .*, "ignore": 255}'
    )
    for order in (masks, masks[::-1]):
        with pytest.raises(LabelError, match=message):
            legend_of(order, legend)
    said = parse_legend({**(given or {"names": ["rest", "flower"]}), "ignore": 255})
    assert legend_of(masks, said) == said
    assert said.numbers == {0: 0, 1: 1, 255: 255}
    assert legend_of(masks[1:], said) == said


def test_255_beside_a_number_tells_that_it_is_no_class(tmp_path):
    write_black_and_white(tmp_path / "void.png", LABELS)
    write_numbers(tmp_path / "numbers.png", LABELS)
    assert {1, VOID} <= set(LABELS.ravel().tolist())
    masks = [read_raw(tmp_path / name).values for name in ("void.png", "numbers.png")]
    assert legend_of(masks).numbers == {0: 0, 1: 1, 2: 2, 255: 255}


def test_numbers_that_leave_out_some_still_count(tmp_path):
    write_voc(tmp_path / "mask.png", np.where(LABELS == 2, 15, LABELS).astype(np.uint8))
    legend = legend_of([read_raw(tmp_path / "mask.png").values])
    assert legend.classes.names == ("background", *(f"class {n}" for n in range(1, 16)))


def test_a_palettes_colours_are_believed_before_its_numbers(tmp_path):
    """A program that shrinks files sorts palettes anew; colours stay."""
    image = Image.frombytes("P", (WIDTH, HEIGHT), np.array([2, 0, 1], np.uint8)[LABELS % 255].tobytes())
    image.putpalette([*COLOURS[1], *COLOURS[2], *COLOURS[0]])
    image.save(tmp_path / "mask.png")
    read = read_mask(tmp_path / "mask.png", parse_legend(COLOURED))
    np.testing.assert_array_equal(read, LABELS % 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_is_turned_as_it_is_displayed(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    write_voc(tmp_path / "mask.png", LABELS)
    with Image.open(tmp_path / "mask.png") as image:
        image.save(tmp_path / "turned.png", exif=exif)
    as_displayed = [
        LABELS,
        LABELS[:, ::-1],
        LABELS[::-1, ::-1],
        LABELS[::-1],
        LABELS.T,
        np.rot90(LABELS, -1),
        LABELS[::-1, ::-1].T,
        np.rot90(LABELS),
    ]  # Source: EXIF 2.32, 4.6.4.A
    np.testing.assert_array_equal(read_mask(tmp_path / "turned.png"), as_displayed[orientation - 1])


@pytest.mark.parametrize(
    ("write", "legend", "message"),
    [
        (write_voc, {"a": 0, "b": 1}, r"needed the values 0, 1, 255, got 2 in \d+ pixels"),
        (write_numbers, {"a": 0, "b": 1, "c": 9}, r"needed the values 0, 1, 9, 255, got 2 in \d+ pixels"),
        (write_colours, NAMED, r"needed numbers of classes, no colours, got \[.*\], \[.*\].* in 2240 pixels"),
        (
            write_colours,
            {"a": list(COLOURS[0]), "b": list(COLOURS[1])},
            r"needed the colours \[10, 20, 30\], \[230, 0, 90\], got \[0, 160, 40\], \[224, 224, 192\] in",
        ),
        (
            write_colours,
            None,
            r'write classes.json such as {"name 0": \[\d+, \d+, \d+\], "name 1": .*}, with names of your own',
        ),
        (
            write_numbers,
            {"a": [0, 0, 0], "b": [9, 9, 9]},
            r"needed the colours \[0, 0, 0\], \[9, 9, 9\], got \[1, 1, 1\]",
        ),
    ],
)
def test_an_unknown_value_is_named(tmp_path, write, legend, message):
    write(tmp_path / "mask.png", LABELS)
    with pytest.raises(LabelError, match=rf"mask\.png: .*{message}"):
        read_mask(tmp_path / "mask.png", parse_legend(legend) if legend else None)


def test_shades_of_grey_are_no_class_numbers(tmp_path):
    write_numbers(tmp_path / "mask.png", np.where(LABELS == 1, 128, LABELS).astype(np.uint8))
    with pytest.raises(
        LabelError, match=r"mask.png: needed class numbers 0, 1, 2, .* got shades of grey 0, 2, 128"
    ):
        read_mask(tmp_path / "mask.png")


@pytest.mark.parametrize(
    ("name", "save", "error", "message"),
    [
        (
            "a.jpg",
            lambda i, p: i.save(p),
            LabelError,
            "needed exact values, got JPEG, which smears them; save the",
        ),
        ("a.webp", lambda i, p: i.save(p), LabelError, "needed exact values, got WEBP"),
        ("a.avif", lambda i, p: i.save(p), LabelError, "needed exact values, got AVIF"),
        ("a.tif", lambda i, p: i.save(p, compression="jpeg"), LabelError, "got TIFF with JPEG inside"),
        (
            "a.png",
            lambda i, p: i.convert("RGBA").rotate(9).save(p),
            LabelError,
            "needed a mask without transparency",
        ),
        (
            "b.tif",
            lambda i, p: i.convert("CMYK").save(p),
            LabelError,
            "grey, RGB or with a palette, got CMYK",
        ),
        (
            "c.tif",
            lambda i, p: Image.fromarray(np.full((4, 4), 300, np.uint16)).save(p),
            LabelError,
            "needed whole class numbers up to 255, got values from 300 to 300",
        ),
        (
            "d.tif",
            lambda i, p: Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(p),
            LabelError,
            "got values from 0.5 to 0.5",
        ),
        ("e.png", lambda i, p: p.write_bytes(b"no picture"), DataError, "needed a whole picture of a mask"),
        ("f.png", lambda i, p: p.write_bytes(b""), DataError, "needed a whole picture of a mask"),
        ("g.png", lambda i, p: p.mkdir(), DataError, "needed a mask, got a folder"),
        ("h.png", lambda i, p: None, DataError, "needed a mask, there is no such file"),
    ],
)
def test_what_holds_no_exact_labels_is_refused(tmp_path, name, save, error, message):
    save(Image.fromarray(LABELS), tmp_path / name)
    with pytest.raises(error, match=rf"{name}: .*{message}"):
        read_mask(tmp_path / name)


def test_a_mask_that_is_cut_short_is_refused(tmp_path):
    write_voc(tmp_path / "mask.png", LABELS)
    (tmp_path / "mask.png").write_bytes((tmp_path / "mask.png").read_bytes()[:-60])
    with pytest.raises(DataError, match=r"mask.png: needed a whole picture of a mask, such as a PNG \("):
        read_mask(tmp_path / "mask.png")


def test_a_small_file_that_unpacks_to_too_much_is_refused(tmp_path):
    write_numbers(tmp_path / "bomb.png", LABELS)
    content = bytearray((tmp_path / "bomb.png").read_bytes())
    content[16:24] = struct.pack(">II", 30_000, 30_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "bomb.png").write_bytes(content)
    with pytest.raises(DataError, match=r"needed a mask of at most 500 megapixels, got 30000 x 30000"):
        read_mask(tmp_path / "bomb.png")


@pytest.mark.parametrize("size", [(40, 56), (20, 28), (7, 100), (113, 9), (1, 1)])
def test_resizing_takes_the_label_under_each_pixels_centre(size):
    """As torch's nearest-exact does, which is slower and wants floats."""
    torchs = torch.nn.functional.interpolate(
        torch.from_numpy(LABELS)[None, None].double(), size, mode="nearest-exact"
    )
    np.testing.assert_array_equal(resize_mask(LABELS, *size), torchs[0, 0].byte().numpy())


def test_no_mask_is_resized_to_nothing():
    with pytest.raises(ShapeError, match=r"needed sides of at least 1 pixel, got \(40, 56\) to \(0, 9\)"):
        resize_mask(LABELS, 0, 9)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (7, 'needed a legend such as {"names": .*}, got 7'),
        ({}, "needed the names of 2 to 255 classes, got 0"),
        ({"names": ["a", "b"], "colors": []}, "needed names, colours and ignore, got colors as well"),
        (
            {"names": ["a", "b"], "ignore": 0},
            r"needed an ignored number that is no class\'s, got 0, which is a; give",
        ),
        ({"names": ["a", "b"], "ignore": 256}, "needed a number from 0 to 255 for a class, got 256"),
        (
            {"a": [0, 0, 0], "b": [1, 1, 1], "ignore": [1, 1, 1]},
            r"needed an ignored colour that is no class's, got \[1, 1, 1\]",
        ),
        ({"a": 0, "b": 0}, "needed a number for each class, got one twice in {'a': 0, 'b': 0}"),
        ({"a": 0, "b": -1}, "needed a number from 0 to 255 for a class, got -1"),
        ({"a": 0, "b": [1, 2, 3]}, "needed a colour of three whole numbers from 0 to 255, got 0"),
        ({"0": "a", "1": "b"}, "needed a colour of three whole numbers from 0 to 255, got 'a'"),
        ({"a": 0, "b": 1, "ignore": "x"}, "needed a colour of three whole numbers from 0 to 255, got 'x'"),
    ],
)
def test_what_is_no_legend_is_refused(tmp_path, values, message):
    write_json(tmp_path / "classes.json", values)
    with pytest.raises(LabelError, match=rf"classes.json: {message}"):
        read_legend(tmp_path / "classes.json")


def test_a_legend_means_classes_that_there_are():
    with pytest.raises(LabelError, match="needed classes 0 to 1 or 255, got 2"):
        Legend(ClassNames(("a", "b")), {0: 2})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "needed JSON, got something else"),
        (b"\xff\xfe\x00", "needed JSON, got something else"),
        (b"[" * 100_000, "needed JSON, got something else"),
    ],
)
def test_what_is_no_json_is_refused(tmp_path, content, message):
    (tmp_path / "classes.json").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_legend(tmp_path / "classes.json")


def test_the_fixtures_palette_is_vocs():
    assert voc_palette()[:15] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128]


def test_a_grey_mask_that_was_shrunk_to_a_palette_keeps_its_numbers(tmp_path):
    """Such programs number the greys anew, the commonest first."""
    image = Image.frombytes("P", (WIDTH, HEIGHT), np.array([3, 0, 1, 2], np.uint8)[LABELS % 252].tobytes())
    image.putpalette([1] * 3 + [2] * 3 + [255] * 3 + [0] * 3)
    image.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), LABELS)


@pytest.mark.real
def test_oxfords_own_trimaps_read_right(real_data_dir):
    """Flower, leaf and background by the page's colours, as Pillow shows them, whatever the numbers are."""
    trimaps = sorted((real_data_dir / "flowers17" / "trimaps").iterdir())
    for path in trimaps[::40]:
        with Image.open(path) as image:
            shown = np.asarray(image.convert("RGB"))
        four, flower = read_mask(path, OXFORD), read_mask(path, OXFORD_FLOWER)
        expected = np.full(shown.shape[:2], 99, np.uint8)
        for colour, label in [((0, 0, 0), VOID), ((128, 0, 0), 0), ((0, 128, 0), 1), ((128, 128, 0), 2)]:
            expected[(shown == colour).all(axis=2)] = label
        expected[(shown == (0, 0, 128)).all(axis=2)] = 3
        np.testing.assert_array_equal(four, expected)
        np.testing.assert_array_equal(flower, np.where(four == VOID, VOID, four == 0))
        assert read_raw(path).in_between_frac() < 0.006
