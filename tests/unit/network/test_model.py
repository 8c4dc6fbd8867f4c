"""Colourisers and the files that they come in: verified, refused by name, and no torch on the way."""

import pickle
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from fixtures.networks import THREE, colouriser, linear_model
from pixelwise.errors import CheckpointError, ConfigError
from pixelwise.network import backbone as backbones
from pixelwise.network import cards
from pixelwise.network.cards import weights_path
from pixelwise.network.model import LinearModel, OnnxModel, open_model, write_linear_model
from pixelwise.network.session import choose_device
from pixelwise.network.tensors import read_tensors, write_tensors
from pixelwise.photos.photo import open_photo
from pixelwise.segmenting.linear_head import features_at, grid
from pixelwise.training.convert import sample_photos

ABOUT = {"saturation": 1.5, "trained_on": "folder:mine"}
WEIGHT = np.array([1.0, 2, 3])[:, None, None, None]  # each pixel gets logits by its grey alone


@pytest.fixture(scope="module")
def linear() -> LinearModel:
    return linear_model()


@pytest.fixture(scope="module")
def model() -> OnnxModel:
    return open_model("photo")


def grey_photos(model, size=(192, 256)):
    codes = np.stack([open_photo(path).thumbnail(*size) for path in sample_photos()])
    return model.palette.read_grey(codes)


@pytest.mark.parametrize("size", [(192, 256), (100, 37), (1, 1)])
def test_a_photo_of_any_size_has_the_same_logits_alone_and_among_others(model, size):
    grey = grey_photos(model, size)
    together = model.logits(grey)
    assert together.shape == (2, model.palette.num_classes, -(-size[0] // 4), -(-size[1] // 4))
    assert np.array_equal(model.logits(grey[:1]), together[:1])


def test_a_changed_file_is_refused(tmp_path, monkeypatch):
    shutil.copytree(cards.SHIPPED, tmp_path / "weights")
    monkeypatch.setattr(cards, "SHIPPED", tmp_path / "weights")
    for name in ("efficientnet_lite0", "photo"):
        backbones.open_shipped.cache_clear()
        path = tmp_path / "weights" / f"{name}.onnx"
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + b"?")
        with pytest.raises(CheckpointError, match=rf"{name}.*SHA-256"):
            open_model("photo")
        path.write_bytes(whole)
    backbones.open_shipped.cache_clear()


def test_what_is_there_and_no_model_is_named(tmp_path):
    (tmp_path / "mine.onnx").write_bytes(b"exported")
    for name in (str(tmp_path / "mine"), "efficientnet_lite0"):
        with pytest.raises(CheckpointError, match="neither a run folder"):
            open_model(name)
    for name in ("flower", weights_path("flower")):
        with pytest.raises(CheckpointError, match=f"got the head {name}"):
            open_model(name)
    (tmp_path / "checkpoint.safetensors").touch()
    with pytest.raises(CheckpointError, match=f"finish it: pixelwise train --resume --out {tmp_path}"):
        open_model(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(CheckpointError, match=f"pixelwise export {tmp_path} -o {tmp_path}/model.onnx"):
        open_model(tmp_path)


def test_a_file_describes_itself_and_logits_are_over_repeated_borders(tmp_path):
    (tmp_path / "model.onnx").write_bytes(colouriser(WEIGHT, THREE, **ABOUT))
    found = open_model(tmp_path)
    assert (found.name, found.size, found.stride, found.saturation) == (str(tmp_path), 32, 4, 1.5)
    assert found.trained_on == "folder:mine"
    assert found.checksum == open_model(tmp_path / "model.onnx").checksum
    grey = np.random.default_rng(0).random((2, 1, 9, 14), np.float32)
    np.testing.assert_allclose(found.logits(grey), grey * np.array([1, 2, 3])[:, None, None], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "offending"),
    [
        ({"task": "segment"}, "the task segment"),
        ({"palette": {}}, "no model of ours"),
        ({"palette": {"space": "rgb", "colours": [[0, 0, 0], [1, 1, 1]]}}, "something else than it says"),
        ({"multiple": 0}, r"strides of \[0, 1\]"),
        ({"out_stride": 1.5}, r"strides of \[4, 1.5\]"),
        ({"saturation": float("nan")}, "saturation of nan"),
        ({"backbone": "vgg", "backbone_checksum": ""}, "'vgg'"),
        ({"backbone": "efficientnet_lite0", "backbone_checksum": "0"}, "other weights of efficientnet_lite0"),
        *(({"short_side": size}, f"{size} pixels") for size in (10**9, 7, "large", float("inf"), 32.0)),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_description_that_does_not_fit_is_refused(tmp_path, changes, offending):
    (tmp_path / "model.onnx").write_bytes(colouriser(WEIGHT, THREE, **ABOUT | changes))
    with pytest.raises(CheckpointError, match=offending):
        open_model(tmp_path)


def test_a_linear_model_comes_back_and_reads_features_at_each_place(linear, tmp_path):
    write_linear_model(tmp_path / "mine.safetensors", linear)
    again, grey = open_model(tmp_path / "mine.safetensors"), grey_photos(linear, (64, 96))
    logits = again.logits(grey)
    assert np.array_equal(logits, linear.logits(grey))
    assert (again.size, again.palette.name, again.trained_on) == (64, "three", "folder:mine")
    assert again.logits(grey[..., :60, :33]).shape == (2, 3, 15, 9)
    maps, places = [one[0] for one in linear.backbone(np.repeat(grey[:1], 3, axis=1))], grid(16, 24, 5)
    expected = features_at(maps, places, (16, 24)) @ linear.weight.T + linear.bias
    np.testing.assert_allclose(logits[0][:, places[:, 0], places[:, 1]].T, expected, atol=1e-3)
    if choose_device("auto") == "cpu":
        with pytest.raises(ConfigError, match="device cuda"):
            open_model(tmp_path / "mine.safetensors", "cuda")


@pytest.mark.parametrize(
    ("tensors", "about", "offending"),
    [
        ({"classes.weight": np.ones((3, 5), np.float32)}, {}, r"\(3, 5\) for "),
        ({"classes.bias": np.full(3, np.nan, np.float32)}, {}, "no numbers"),
        ({"backbone_checksum": np.zeros(32, np.uint8)}, {}, "other weights of efficientnet_lite0"),
        ({}, {"net": {"name": "unet"}}, "pixelwise export .*mine.safetensors -o FILE.onnx"),
        ({}, {"net": "unet"}, "no model of ours"),
        ({}, {"size": 7}, "7 pixels"),
        ({}, {"format": 99}, "format 99"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_linear_model_that_does_not_fit_is_refused(linear, tmp_path, tensors, about, offending):
    path = tmp_path / "mine.safetensors"
    write_linear_model(path, linear)
    were = read_tensors(path)
    write_tensors(path, were[0] | tensors, were[1] | about)
    with pytest.raises(CheckpointError, match=offending):
        open_model(path)


def test_a_model_goes_to_another_process(model, linear):
    for one in (model, replace(linear, name="other")):
        grey = grey_photos(one, (32, 32))
        assert np.array_equal(pickle.loads(pickle.dumps(one)).logits(grey), one.logits(grey))


def test_colouring_imports_no_torch(tmp_path):
    code = f"""
import sys
from pixelwise.cli.app import run
code = run(["colourise", {str(sample_photos()[0])!r}, "-o", {str(tmp_path / "out")!r}, "--quiet"])
heavy = {{"torch", "scipy", "sklearn", "matplotlib", "cv2", "pandas"}} & set(sys.modules)
print(sorted(heavy), code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[] 0", done.stderr
