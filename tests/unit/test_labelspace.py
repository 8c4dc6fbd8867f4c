import json
import re

import pytest
import torch

from pixelwise import colour, nearest
from pixelwise.errors import LabelError, OutputError, ShapeError
from pixelwise.labelspace import IGNORE, LabelSpace, Palette

RED_GREEN_BLUE = Palette(torch.eye(3, dtype=torch.float64), "rgb", "primaries")
WARM_COLD = Palette(torch.tensor([[60.0, 40.0], [-20.0, -40.0]], dtype=torch.float64), "ab", "warm-cold")


def solid(*codes, height=2, width=3):
    return torch.tensor(codes, dtype=torch.uint8)[:, :, None, None].expand(-1, -1, height, width)


def photo_like(num=2, side=24, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (num, 3, side, side), dtype=torch.uint8, generator=generator)


def test_the_handouts_palette_ships_in_order_and_in_srgb():
    palette = Palette.read("handout24")
    assert (palette.name, palette.space, palette.num_classes) == ("handout24", "rgb", 24)
    first_as_published = torch.tensor([0.86930311, 0.81305234, 0.71108155], dtype=torch.float64)
    torch.testing.assert_close(palette.colours[0] * 255 / 256, first_as_published)


def test_encoding_names_the_nearest_colour():
    labels = RED_GREEN_BLUE.encode(solid((200, 30, 20), (3, 4, 5)))
    assert labels.dtype == torch.uint8
    assert labels.unique(dim=0).tolist() == [[[0] * 3] * 2, [[2] * 3] * 2]


def test_encoding_in_ab_looks_at_chroma_alone():
    dark_and_light_orange = solid((90, 40, 10), (255, 190, 150))
    assert WARM_COLD.encode(dark_and_light_orange).unique().tolist() == [0]


@pytest.mark.parametrize(
    "shape", [(3, 5, 7), (1, 3, 1, 1), (2, 4, 3, 5, 7), (0, 3, 4, 4), (3, 600, 900), (70, 3, 64, 65)]
)
def test_encoding_keeps_leading_axes_and_order(shape):
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    labels = RED_GREEN_BLUE.encode(images)
    assert labels.shape == (*shape[:-3], *shape[-2:])
    # the largest channel is the nearest primary, and argmax takes the first of equals
    assert torch.equal(labels.long(), torch.from_numpy(images.numpy().argmax(axis=-3)))


def test_encoding_takes_views_that_are_not_contiguous():
    images = photo_like(side=32)
    turned = images.transpose(-1, -2)[..., ::2, 1:]
    assert torch.equal(RED_GREEN_BLUE.encode(turned), RED_GREEN_BLUE.encode(turned.contiguous()))


@pytest.mark.usefixtures("unchecked")
def test_encoding_refuses_grey_images():
    with pytest.raises(ShapeError, match=r"needed images of 3 channels .*, got \(2, 1, 8, 8\)"):
        RED_GREEN_BLUE.encode(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))


def test_equal_palettes_share_one_table():
    twin = Palette(RED_GREEN_BLUE.colours.clone(), "rgb", "twin")
    assert twin._table() is RED_GREEN_BLUE._table()


def test_decoding_paints_classes_and_leaves_ignored_pixels_black():
    painted = RED_GREEN_BLUE.decode(torch.tensor([[[1, IGNORE]]]))
    assert painted.shape == (1, 3, 1, 2)
    assert painted[0, :, 0].T.tolist() == [[0, 1, 0], [0, 0, 0]]
    assert WARM_COLD.decode(torch.tensor([[0, IGNORE]], dtype=torch.uint8)).tolist() == [[[60, 0]], [[40, 0]]]


@pytest.mark.parametrize("label", [3, 254, -1])
def test_decoding_refuses_labels_that_are_no_class(label):
    with pytest.raises(LabelError, match=f"needed labels 0 to 2 or 255 for palette primaries, got {label}"):
        RED_GREEN_BLUE.decode(torch.tensor([[0, label]]))


def test_chroma_is_the_mean_colour_weighted_by_the_annealed_shares():
    logits = torch.tensor([1.0, -0.5])[None, :, None, None].expand(1, 2, 2, 3)
    share = 1 / (1 + torch.tensor(-1.5 / 0.4).exp())
    expected = share * WARM_COLD.colours[0] + (1 - share) * WARM_COLD.colours[1]
    torch.testing.assert_close(WARM_COLD.chroma(logits, 0.4)[0, :, 1, 2], expected.float())


def test_chroma_of_an_rgb_palette_is_that_of_its_mean_colour():
    logits = torch.tensor([0.3, 2.0, -1.0])[None, :, None, None]
    mean = logits.softmax(dim=1)  # the primaries' mean is the shares themselves
    torch.testing.assert_close(RED_GREEN_BLUE.chroma(logits, 1.0), colour.srgb_to_lab(mean)[:, 1:])


def test_chroma_in_half_precision_is_computed_in_full():
    logits = torch.tensor([1.0, -0.5], dtype=torch.bfloat16)[None, :, None, None]
    assert torch.equal(WARM_COLD.chroma(logits, 0.5), WARM_COLD.chroma(logits.float(), 0.5))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_chroma_refuses_a_temperature_that_is_not_positive(temperature):
    with pytest.raises(LabelError, match="needed a temperature above 0, got"):
        WARM_COLD.chroma(torch.zeros(1, 2, 1, 1), temperature)


def test_networks_read_the_handouts_mean_or_lightness():
    images = solid((10, 20, 60), (255, 255, 255))
    assert RED_GREEN_BLUE.read_grey(images)[:, 0, 0, 0].tolist() == [30 / 256, 255 / 256]
    grey = WARM_COLD.read_grey(images)
    assert grey.shape == (2, 1, 2, 3)
    torch.testing.assert_close(grey, colour.lightness(images.float() / 255) / 100)


def test_reading_grey_in_parts_keeps_the_order():
    images = photo_like(num=9, side=512)  # more pixels than are read at once
    torch.testing.assert_close(
        RED_GREEN_BLUE.read_grey(images), images.float().mean(dim=1, keepdim=True) / 256
    )


def test_a_palette_survives_writing_and_reading(tmp_path):
    palette, _ = Palette.learn(photo_like(), 7, "ab", seed=3, name="seven")
    palette.write(tmp_path / "seven.json")
    again = Palette.read(tmp_path / "seven.json")
    assert (again.name, again.space) == ("seven", "ab")
    assert torch.equal(again.colours, palette.colours)
    assert json.loads((tmp_path / "seven.json").read_text())["unit"] == "CIE Lab a and b, D65"


def test_a_palette_that_cannot_be_written_says_where(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*file/p.json"):
        WARM_COLD.write(tmp_path / "file" / "p.json")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[1, 2]", b'{"space": "rgb"}', b'{"space": "rgb", "colours": [[0, 1], [2]]}'],
)
@pytest.mark.usefixtures("unchecked")
def test_a_damaged_palette_file_is_refused(tmp_path, content):
    (tmp_path / "p.json").write_bytes(content)
    with pytest.raises(LabelError, match="needed"):
        Palette.read(tmp_path / "p.json")


def test_an_unknown_palette_is_met_with_those_that_ship():
    with pytest.raises(
        LabelError, match=r"needed the name of a palette \(.*handout24.*\) or a palette file, got sunset"
    ):
        Palette.read("sunset")


@pytest.mark.parametrize(
    ("colours", "space", "message"),
    [
        ([[0.1, 0.2]], "rgb", "needed 1 to 255 colours of 3 numbers for a palette in rgb, got shape (1, 2)"),
        (
            [[0.0, 0.0]] * 256,
            "ab",
            "needed 1 to 255 colours of 2 numbers for a palette in ab, got shape (256, 2)",
        ),
        ([], "ab", "needed 1 to 255 colours of 2 numbers for a palette in ab, got shape (0,)"),
        ([0.5], "ab", "needed 1 to 255 colours of 2 numbers for a palette in ab, got shape (1,)"),
        ([[0.0, 0.5, 1.5]], "rgb", "needed colours from 0 to 1 (sRGB, 0 to 1) in palette unnamed"),
        ([[0.0, float("nan")]], "ab", "needed colours from -128 to 128"),
        ([[0.0, 0.0, 0.0]], "hsv", "needed a palette in rgb or ab, got space 'hsv'"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_is_no_palette_is_refused(colours, space, message):
    with pytest.raises(LabelError, match=re.escape(message)):
        Palette.from_dict({"colours": colours, "space": space})


@pytest.mark.parametrize("space", ["rgb", "ab"])
def test_learning_gives_the_distortion_it_reports(space):
    images = photo_like(num=3)
    palette, distortion = Palette.learn(images, 9, space, seed=5)
    painted = palette.decode(palette.encode(images)).double()
    sources = images.double() / 255
    if space == "ab":
        sources = colour.srgb_to_lab(sources)[:, 1:]
    assert distortion == pytest.approx((painted - sources).norm(dim=1).mean().item(), rel=1e-5)


def test_learning_is_decided_by_the_seed_and_puts_the_commonest_colour_first():
    images = torch.cat((photo_like(), solid((200, 30, 30), height=24, width=24)))
    first, again, other = (Palette.learn(images, 6, "rgb", seed)[0].colours for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    sizes = Palette(first, "rgb").encode(images).flatten().bincount(minlength=6).tolist()
    assert sizes == sorted(sizes, reverse=True)


def test_learning_finds_the_colours_that_are_there():
    images = solid((250, 0, 0), (250, 0, 0), (0, 0, 128))
    palette, distortion = Palette.learn(images, 2, "rgb")
    torch.testing.assert_close(
        palette.colours * 255, torch.tensor([[250, 0, 0], [0, 0, 128]], dtype=torch.float64)
    )
    assert distortion == pytest.approx(0, abs=1e-9)


def test_learning_keeps_colours_at_the_ends_of_the_range_within_it():
    images = solid(*((red, green, 255 - green) for red in (0, 255) for green in range(0, 256, 5)))
    palette, _ = Palette.learn(images, 40, "rgb", seed=0)
    assert palette.colours.min() >= 0
    assert palette.colours.max() <= 1


@pytest.mark.parametrize("num_colours", [0, 256])
def test_learning_refuses_impossible_numbers_of_colours(num_colours):
    with pytest.raises(LabelError, match=f"needed 1 to 255 colours, got {num_colours}"):
        Palette.learn(photo_like(), num_colours, "rgb")


def test_learning_refuses_images_with_fewer_colours():
    with pytest.raises(
        LabelError, match="needed 3 colours that can be told apart in rgb, got 2 in these images"
    ):
        Palette.learn(solid((1, 2, 3), (4, 5, 6)), 3, "rgb")


def test_learning_chroma_from_grey_photos_is_refused():
    greys = torch.arange(256, dtype=torch.uint8).expand(1, 3, 4, 256)
    with pytest.raises(LabelError, match="needed 2 colours that can be told apart in ab, got 1"):
        Palette.learn(greys, 2, "ab")


def test_learning_from_no_images_is_refused():
    with pytest.raises(LabelError, match="got 0 in these images"):
        Palette.learn(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), 2, "rgb")


def test_the_lab_of_the_table_is_the_lab_of_the_package():
    codes = photo_like(num=1, side=256)
    lab = colour.srgb_to_lab(codes.double() / 255)[0, 1:].flatten(1)
    torch.testing.assert_close(
        torch.from_numpy(nearest.coordinates(codes[0].flatten(1).numpy(), "ab")), lab, rtol=0, atol=1e-11
    )


def test_colours_are_placed_in_ab_boxes_within_the_boxes_slack():
    for red, plane in enumerate(nearest._planes("ab")):
        if red % 51 == 0:
            index = torch.arange(65536).numpy() + 65536 * red
            error = abs(plane - nearest.coordinates(nearest.codes_of(index), "ab")).max()
            assert error < 0.001


def test_swatches_show_each_class_once_row_by_row():
    picture = RED_GREEN_BLUE.swatches(side=2, num_columns=2)
    assert picture.shape == (3, 4, 4)
    assert picture[:, ::2, ::2].flatten(1).T.tolist() == [
        [255, 0, 0],
        [0, 255, 0],
        [0, 0, 255],
        [255, 255, 255],
    ]


def test_swatches_of_chroma_encode_to_their_classes():
    picture = WARM_COLD.swatches(side=1, num_columns=2)
    assert WARM_COLD.encode(picture).tolist() == [[0, 1]]


def test_a_palette_is_a_label_space():
    assert isinstance(Palette.read("handout24"), LabelSpace)
