"""Other people's colourisers, by networks of their signatures whose colours are known."""

import pickle
import re
from functools import partial

import numpy as np
import pytest

from fixtures.foreign import colours_of, ddcolor, deoldify, write, zhang
from pixelwise.errors import CheckpointError
from pixelwise.files import checksum
from pixelwise.network.foreign import ForeignModel
from pixelwise.network.model import open_model

pytestmark = pytest.mark.core

RANGE, ORDER = "Image__NominalPixelRange", "Image__BitmapPixelFormat"
AB_FROM_L = ([[0.4], [-0.6]], [-10, 20])


def grey(size, num=2):
    """From black to white to the right, the second downwards: a wrong turn is seen, too."""
    ramp = np.linspace(0, 1, size, dtype=np.float32) * np.ones((size, 1), np.float32)
    return np.stack([ramp, ramp.T])[:num, None]


@pytest.mark.parametrize(
    ("make", "kind", "size", "within"),
    [
        (zhang, "zhang", 256, 1e-3),
        (partial(zhang, size=None), "zhang", 256, 1e-3),
        (partial(zhang, inputs=(2, 1)), "zhang", 256, 1e-3),
        (partial(zhang, kind="float16"), "zhang", 256, 0.1),
        (ddcolor, "ddcolor", 512, 1e-3),
        (partial(ddcolor, size=256), "ddcolor", 256, 1e-3),
        (partial(ddcolor, size=None), "ddcolor", 512, 1e-3),
        (partial(deoldify, numbers="255"), "deoldify", 256, 0.01),
        (partial(deoldify, numbers="255", size=None, kind="float16"), "deoldify", 512, 0.5),
        (partial(deoldify, numbers="1", size=None), "deoldify", 512, 0.01),
        (partial(deoldify, numbers="imagenet"), "deoldify", 256, 0.01),
        (partial(deoldify, numbers="-1"), "deoldify", 256, 0.01),
        (partial(deoldify, numbers="1", **{RANGE: "Normalized_0_1"}), "deoldify", 256, 0.01),
        (partial(deoldify, numbers="255", is_bgr=True, **{ORDER: "Bgr8"}), "deoldify", 256, 0.01),
    ],
)
def test_a_published_signature_is_read_as_its_authors_do(make, kind, size, within, tmp_path):
    model = open_model(make(tmp_path / "theirs.onnx"))
    assert isinstance(model, ForeignModel)
    assert (model.size, model.palette) == (size, None)
    np.testing.assert_allclose(model(grey(size)), colours_of(kind, grey(size)), atol=within, rtol=0)


def test_the_order_of_channels_shows(tmp_path):
    model = open_model(deoldify(tmp_path / "theirs.onnx", "255", is_bgr=True))
    assert np.abs(model(grey(256)) - colours_of("deoldify", grey(256))).max() > 20


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("Normalized_1_1", -1, 1), ("normalized_0_1", 0, 1), ("NominalRange_0_255", 0, 255)],
)
def test_metadata_says_the_range_of_lightness_and_the_unit_of_chroma(name, low, high, tmp_path):
    """Such as L / 50 - 1 in and tanh out, times 110."""
    weight, bias = ((np.array(numbers).reshape(2) / 110) for numbers in AB_FROM_L)
    slope = 100 * weight / (high - low)
    path = write(
        tmp_path / "theirs.onnx",
        slope[:, None],
        bias - low * slope,
        64,
        (-1, 1),
        **{RANGE: name, "ab_scale": "110"},
    )
    np.testing.assert_allclose(open_model(path)(grey(64)), colours_of("zhang", grey(64)), atol=1e-3, rtol=0)


def test_licence_and_checksum_are_the_files_own(tmp_path):
    path = zhang(tmp_path / "a.onnx", 16, model_license="BSD-2-Clause")
    model = open_model(path)
    assert (model.name, model.checksum, model.licence) == (str(path), checksum(path), "BSD-2-Clause")
    assert open_model(zhang(tmp_path / "b.onnx", 16)).licence == "not said in its file"
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again(grey(16)), model(grey(16)))


@pytest.mark.parametrize(
    ("make", "got"),
    [
        (partial(write, weight=[[1]] * 3, bias=[0] * 3, size=16), "output [1, 3, 16, 16]"),
        (partial(write, weight=np.ones((2, 4)), bias=[0, 0], size=16), "input [1, 4, 16, 16]"),
        (partial(write, weight=np.ones((313, 1)), bias=[0] * 313, size=16), "output [1, 313, 16, 16]"),
        (partial(zhang, size=16, outputs=2), "other [1, 2, 16, 16]"),
        (partial(zhang, size=16, inputs=(3,)), "user_ab [1, 3, 16, 16]"),
        (partial(zhang, size=None, layout=[1, 1, 16, 32]), "input [1, 1, 16, 32]"),
        (partial(zhang, size=None, layout=[1, 1, 16, "width"]), "input [1, 1, 16, 'width']"),
        (partial(zhang, **{RANGE: "NominalRange_16_235"}), "nominalrange_16_235"),
        (partial(zhang, **{RANGE: "ImageNet"}), "imagenet"),
        (partial(zhang, ab_scale="0"), "ab_scale is 0"),
        (partial(zhang, ab_scale="many"), "many"),
    ],
)
def test_what_cannot_be_decided_is_refused_naming_what_was_found(make, got, tmp_path):
    with pytest.raises(CheckpointError, match=re.escape(got)) as refusal:
        open_model(make(tmp_path / "theirs.onnx"))
    assert "N 1 H W (L)" in str(refusal.value)


@pytest.mark.parametrize("bias", [300.0, np.nan])
def test_numbers_that_are_no_chroma_are_refused(bias, tmp_path):
    model = open_model(write(tmp_path / "theirs.onnx", [[0.0], [0.0]], [bias, 0], 16))
    with pytest.raises(CheckpointError, match="ab_scale"):
        model(grey(16))


def test_rgb_that_is_not_as_light_as_the_photo_is_refused(tmp_path):
    negative = write(tmp_path / "theirs.onnx", -np.eye(3), [1, 1, 1], 16, (0, 1))
    with pytest.raises(CheckpointError, match=r"off by \d+ with nominalrange_0_255, .*NominalPixelRange"):
        open_model(negative)
