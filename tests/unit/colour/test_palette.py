import json
import math
import re

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_sample_image

from pixelwise.colour import spaces as colour
from pixelwise.colour.palette import IGNORE, Palette
from pixelwise.errors import LabelError, ShapeError

RED_GREEN_BLUE = Palette(np.eye(3), "rgb", "primaries")
WARM_COLD = Palette(np.array([[60.0, 40.0], [-20.0, -40.0]]), "ab", "warm-cold")


def solid(*codes, height=2, width=3):
    return np.tile(np.array(codes, np.uint8)[..., None, None], (height, width))


def photo_like(num=2, side=24, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (num, 3, side, side), np.uint8)


def test_the_handouts_palette_ships_in_order_and_in_srgb():
    palette = Palette.read("handout24")
    assert (palette.name, palette.space, palette.num_classes) == ("handout24", "rgb", 24)
    first_as_published = [0.86930311, 0.81305234, 0.71108155]
    np.testing.assert_allclose(palette.colours[0] * 255 / 256, first_as_published)


@pytest.mark.parametrize(
    "shape", [(3, 5, 7), (1, 3, 1, 1), (2, 4, 3, 5, 7), (0, 3, 4, 4), (3, 600, 900), (70, 3, 64, 65)]
)
def test_encoding_keeps_leading_axes_and_order(shape):
    images = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    labels = RED_GREEN_BLUE.encode(images)
    assert labels.shape == (*shape[:-3], *shape[-2:])
    # the largest channel is the nearest primary, and argmax takes the first of equals
    assert np.array_equal(labels, images.argmax(axis=-3))


@pytest.mark.usefixtures("unchecked")
def test_encoding_refuses_grey_images():
    with pytest.raises(ShapeError, match=r"\(2, 1, 8, 8\)"):
        RED_GREEN_BLUE.encode(np.zeros((2, 1, 8, 8), np.uint8))


def test_decoding_paints_classes_and_leaves_ignored_pixels_black():
    painted = RED_GREEN_BLUE.decode(np.array([[[1, IGNORE]]]))
    assert painted.shape == (1, 3, 1, 2)
    assert painted[0, :, 0].T.tolist() == [[0, 1, 0], [0, 0, 0]]
    assert WARM_COLD.decode(np.array([[0, IGNORE]], np.uint8)).tolist() == [[[60, 0]], [[40, 0]]]


@pytest.mark.parametrize("label", [3, 254, -1])
def test_decoding_refuses_labels_that_are_no_class(label):
    with pytest.raises(LabelError, match=f"got {label}"):
        RED_GREEN_BLUE.decode(np.array([[0, label]]))


def test_chroma_is_the_mean_colour_weighted_by_the_annealed_shares():
    logits = np.tile(np.array([1.0, -0.5])[:, None, None], (1, 1, 2, 3))
    share = 1 / (1 + math.exp(-1.5 / 0.4))
    expected = share * WARM_COLD.colours[0] + (1 - share) * WARM_COLD.colours[1]
    np.testing.assert_allclose(WARM_COLD.chroma(logits, 0.4)[0, :, 1, 2], expected, rtol=1.3e-6)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_chroma_refuses_a_temperature_that_is_not_positive(temperature):
    with pytest.raises(LabelError, match=f"{temperature}"):
        WARM_COLD.chroma(np.zeros((1, 2, 1, 1)), temperature)


def test_networks_read_the_handouts_mean_or_lightness():
    images = solid((10, 20, 60), (255, 255, 255))
    assert RED_GREEN_BLUE.read_grey(images)[:, 0, 0, 0].tolist() == [30 / 256, 255 / 256]
    grey = WARM_COLD.read_grey(images)
    assert grey.shape == (2, 1, 2, 3)
    np.testing.assert_allclose(grey, colour.lightness(images / 255) / 100, rtol=1.3e-6)


def test_a_palette_survives_writing_and_reading(tmp_path):
    palette = Palette.learn(photo_like(), 7, "ab", seed=3)
    (tmp_path / "seven.json").write_text(json.dumps(palette.to_dict()))
    again = Palette.read(tmp_path / "seven.json")
    assert (again.name, again.space) == ("learned", "ab")
    assert np.array_equal(again.colours, palette.colours)
    assert json.loads((tmp_path / "seven.json").read_text())["unit"] == "CIE Lab a and b, D65"


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
    with pytest.raises(LabelError, match=r"handout24.*sunset"):
        Palette.read("sunset")


@pytest.mark.parametrize(
    ("colours", "space", "wrong"),
    [
        ([[0.1, 0.2]], "rgb", "(1, 2)"),
        ([[0.0, 0.0]] * 256, "ab", "(256, 2)"),
        ([], "ab", "(0,)"),
        ([[0.0, 0.5, 1.5]], "rgb", "from 0 to 1"),
        ([[0.0, float("nan")]], "ab", "from -128 to 128"),
        ([[0.0, 0.0, 0.0]], "hsv", "hsv"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_is_no_palette_is_refused(colours, space, wrong):
    with pytest.raises(LabelError, match=re.escape(wrong)):
        Palette.from_dict({"colours": colours, "space": space})


def test_learning_is_decided_by_the_seed_and_puts_the_commonest_colour_first():
    images = np.concatenate((photo_like(), solid((200, 30, 30), height=24, width=24)))
    first, again, other = (Palette.learn(images, 6, "rgb", seed).colours for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    sizes = np.bincount(Palette(first, "rgb").encode(images).ravel(), minlength=6).tolist()
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    ("images", "num"),
    [(photo_like(), 40), (load_sample_image("china.jpg")[::5, ::5].transpose(2, 0, 1)[None], 64)],
)
def test_learning_finds_what_scikit_learn_finds(images, num):
    codes, counts = np.unique(np.moveaxis(images, 1, -1).reshape(-1, 3), axis=0, return_counts=True)
    points = colour.srgb_to_lab(codes.T[:, None] / 255)[1:, 0].T
    seed = int(np.random.default_rng(5).integers(2**32))
    centres = KMeans(num, n_init=1, random_state=seed).fit(points, sample_weight=counts).cluster_centers_
    found = Palette.learn(images, num, "ab", seed=5).colours
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(centres, axis=0), atol=1e-9)


@pytest.mark.parametrize(("num_colours", "got"), [(0, "0"), (256, "256"), (3, "2")])
def test_learning_refuses_impossible_numbers_of_colours(num_colours, got):
    with pytest.raises(LabelError, match=f"got {got}"):
        Palette.learn(solid((1, 2, 3), (4, 5, 6)), num_colours, "rgb")
