"""Pictures of masks to labels: each format that people draw in."""

import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from fixtures import drawn
from fixtures.drawn import COLOURS, NAMES, VOID, VOID_COLOUR, drawing
from pixelwise.errors import DataError, LabelError
from pixelwise.labels.legend import OXFORD, OXFORD_FLOWER, legend_of, parse_legend, read_legend
from pixelwise.labels.read import read_mask, read_raw, resize_mask

LABELS = drawing()
NAMED = {"names": list(NAMES)}
COLOURED = {**NAMED, "colours": [list(colour) for colour in COLOURS], "ignore": list(VOID_COLOUR)}
IN_COLOURS = dict(zip((*NAMES, "ignore"), map(list, (*COLOURS, VOID_COLOUR)), strict=True))


def parsed(legend):
    return None if legend is None else parse_legend(legend)


@pytest.mark.parametrize(
    ("write", "legend"),
    [
        (drawn.write_voc, None),
        (drawn.write_voc, NAMED),
        (drawn.write_numbers, None),
        (drawn.write_numbers, NAMED),
        (drawn.write_numbers, COLOURED),
        (drawn.write_colours, COLOURED),
        (drawn.write_colours, IN_COLOURS),
    ],
)
def test_each_format_gives_the_labels_that_were_drawn(tmp_path, write, legend):
    write(tmp_path / "mask.png", LABELS)
    read = read_mask(tmp_path / "mask.png", parsed(legend))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, LABELS)


def test_oxfords_trimaps_are_flower_leaf_background_sky_or_flower_and_rest(tmp_path):
    drawn.write_trimap(tmp_path / "trimap.png", LABELS)
    own = parse_legend({"background": 3, "flower": 1, "leaf": 2, "ignore": 0})
    by_number = np.select([LABELS == 1, LABELS == 2, LABELS == 0], [0, 1, 2], VOID)
    flower = np.where(LABELS == VOID, VOID, LABELS == 1)
    for legend, expected in ((OXFORD, by_number), (own, by_number), (OXFORD_FLOWER, flower)):
        np.testing.assert_array_equal(read_mask(tmp_path / "trimap.png", legend), expected)
    assert OXFORD.classes.names == ("flower", "leaf", "background", "sky")


@pytest.mark.parametrize("num_colours", [5, 6, 256])
def test_only_a_palette_that_ends_where_oxfords_does_leaves_open_what_0_means(tmp_path, num_colours):
    image = Image.frombytes("P", (5, 1), bytes(range(5)))
    image.putpalette(drawn.voc_palette()[: 3 * num_colours] + [0] * 3 * (256 - num_colours))
    image.save(tmp_path / "mask.png")
    if num_colours == 5:
        with pytest.raises(LabelError, match=r"mask\.png: needed to know what 0 means, got .* Oxford's"):
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
    np.testing.assert_array_equal(read_mask(path, parsed(legend)), flower)


@pytest.mark.parametrize("given", [None, {"names": ["rest", "flower"]}, {"rest": 0, "flower": 1}])
def test_masks_of_0_and_255_among_masks_that_count_are_refused(tmp_path, given):
    drawn.write_black_and_white(tmp_path / "white.png", LABELS)
    drawn.write_numbers(tmp_path / "numbers.png", np.where(LABELS == 1, 1, 0).astype(np.uint8))
    masks = [read_raw(tmp_path / name).values for name in ("numbers.png", "white.png")]
    for order in (masks, masks[::-1]):
        with pytest.raises(LabelError, match=r"white\.png: .* got 255 here and 1 in .*numbers\.png"):
            legend_of(order, parsed(given))
    said = parse_legend({**(given or {"names": ["rest", "flower"]}), "ignore": 255})
    assert said.numbers == {0: 0, 1: 1, 255: 255}
    assert legend_of(masks, said) == legend_of(masks[1:], said) == said


def test_a_mask_is_turned_as_it_is_displayed(tmp_path):
    turned = [
        LABELS,
        LABELS[:, ::-1],
        LABELS[::-1, ::-1],
        LABELS[::-1],
        LABELS.T,
        np.rot90(LABELS, -1),
        LABELS[::-1, ::-1].T,
        np.rot90(LABELS),
    ]  # Source: EXIF 2.32, 4.6.4.A
    drawn.write_voc(tmp_path / "mask.png", LABELS)
    for orientation, expected in enumerate(turned, 1):
        with Image.open(tmp_path / "mask.png") as image:
            image.save(tmp_path / "turned.png", exif=drawn.exif(orientation))
        np.testing.assert_array_equal(read_mask(tmp_path / "turned.png"), expected)


@pytest.mark.parametrize(
    ("write", "legend", "message"),
    [
        (drawn.write_voc, {"a": 0, "b": 1}, r"0, 1, 255, got 2 in \d+ pixels"),
        (drawn.write_numbers, {"a": 0, "b": 1, "c": 9}, r"0, 1, 9, 255, got 2 in \d+ pixels"),
        (drawn.write_colours, NAMED, r"got \[.*\], \[.*\].* in 2240 pixels"),
        (
            drawn.write_colours,
            {"a": [10, 20, 30], "b": [230, 0, 90]},
            r"got \[0, 160, 40\], \[224, 224, 192\]",
        ),
        (drawn.write_colours, None, r'classes.json such as {"name 0": \[\d+, \d+, \d+\], "name 1": '),
        (drawn.write_numbers, {"a": [0, 0, 0], "b": [9, 9, 9]}, r"got \[1, 1, 1\]"),
        (lambda path, labels: drawn.write_numbers(path, np.minimum(labels, 128)), None, "grey 0, 1, 2, 128"),
    ],
)
def test_an_unknown_value_is_named(tmp_path, write, legend, message):
    write(tmp_path / "mask.png", LABELS)
    with pytest.raises(LabelError, match=rf"mask\.png: .*{message}"):
        read_mask(tmp_path / "mask.png", parsed(legend))


@pytest.mark.parametrize(
    ("name", "save", "error", "message"),
    [
        ("a.jpg", lambda i, p: i.save(p), LabelError, "JPEG"),
        ("a.tif", lambda i, p: i.save(p, compression="jpeg"), LabelError, "TIFF with JPEG"),
        ("a.png", lambda i, p: i.convert("RGBA").rotate(9).save(p), LabelError, "transparency"),
        ("b.tif", lambda i, p: i.convert("CMYK").save(p), LabelError, "CMYK"),
        ("c.tif", lambda i, p: Image.fromarray(np.full((4, 4), 300, np.uint16)).save(p), LabelError, "300"),
        ("d.tif", lambda i, p: Image.fromarray(np.full((4, 4), 0.5, "f4")).save(p), LabelError, r"0\.5"),
        ("e.png", lambda i, p: p.write_bytes(b"no picture"), DataError, "whole picture"),
        ("f.png", lambda i, p: (i.save(p), os.truncate(p, 90)), DataError, "whole picture"),
        ("g.png", lambda i, p: p.mkdir(), DataError, "folder"),
        ("h.png", lambda i, p: None, DataError, "no such file"),
    ],
)
def test_a_file_without_exact_labels_is_refused(tmp_path, name, save, error, message):
    save(Image.fromarray(LABELS), tmp_path / name)
    with pytest.raises(error, match=rf"{name}: .*{message}"):
        read_mask(tmp_path / name)


def test_a_small_file_that_unpacks_to_too_much_is_refused(tmp_path):
    drawn.write_numbers(tmp_path / "bomb.png", LABELS)
    content = bytearray((tmp_path / "bomb.png").read_bytes())
    content[16:24] = struct.pack(">II", 30_000, 30_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "bomb.png").write_bytes(content)
    with pytest.raises(DataError, match="500 megapixels, got 30000 x 30000"):
        read_mask(tmp_path / "bomb.png")


@pytest.mark.parametrize("size", [(40, 56), (20, 28), (7, 100), (113, 9), (1, 1)])
def test_resizing_takes_the_label_under_each_pixels_centre(size):
    """As torch's nearest-exact does, which is slower and wants floats."""
    whole = torch.from_numpy(LABELS)[None, None].double()
    torchs = torch.nn.functional.interpolate(whole, size, mode="nearest-exact")
    np.testing.assert_array_equal(resize_mask(LABELS, *size), torchs[0, 0].byte().numpy())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (7, "got 7"),
        ({"names": ["a", "b"], "colors": []}, "got colors"),
        ({"names": ["a", "b"], "ignore": 0}, "got 0, which is a"),
        ({"a": [0, 0, 0], "b": [1, 1, 1], "ignore": [1, 1, 1]}, r"got \[1, 1, 1\]"),
        ({"a": 0, "b": 0}, "one twice in {'a': 0, 'b': 0}"),
        ({"a": 0, "b": [1, 2, 3]}, "got 0"),
    ],
)
def test_another_json_is_no_legend(tmp_path, values, message):
    drawn.write_json(tmp_path / "classes.json", values)
    with pytest.raises(LabelError, match=rf"classes.json: .*{message}"):
        read_legend(tmp_path / "classes.json")


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


def test_two_named_classes_are_0_and_1_or_black_and_white_as_all_masks_say(tmp_path):
    given = parse_legend({"names": ["rest", "flower"]})
    drawn.write_numbers(tmp_path / "numbers.png", np.where(LABELS == 2, 0, LABELS))
    drawn.write_numbers(tmp_path / "void.png", np.where(LABELS == VOID, LABELS, 0).astype(np.uint8))
    drawn.write_black_and_white(tmp_path / "white.png", LABELS)
    values = {path.stem: read_raw(path).values for path in tmp_path.iterdir()}
    assert legend_of([values["white"]], given).numbers == {0: 0, 255: 1}
    assert legend_of([values["numbers"], values["void"]], given) == given
    assert legend_of(iter([values["void"], values["numbers"]]), given) == given
