"""Exports: what is refused, and networks of every kind beside torch."""

import logging

import numpy as np
import pytest
import torch
from pixelwise.export.check import Difference, compare_model, sample_photos
from pixelwise.export.onnx_file import only_errors, session, to_onnx

from pixelwise.config import LinearNetConfig
from pixelwise.errors import ConfigError, OutputError
from pixelwise.export import export_model
from pixelwise.export.graphs import Graph, colouring, decoding
from pixelwise.labelspace import Palette
from pixelwise.models import build
from pixelwise.runs import Model, open_model, write_model

PALETTE = Palette(torch.tensor([[0.0, 0], [50, 20], [-40, 30]]).double(), "ab", "three")


@pytest.fixture
def linear(tmp_path) -> Model:
    torch.manual_seed(0)
    config = LinearNetConfig(num_colours=3)
    write_model(tmp_path / "linear.safetensors", build(config), config, PALETTE, 64)
    return open_model(tmp_path / "linear.safetensors")


def _beside_torch(model: Model) -> Difference:
    opened = session(to_onnx(colouring(model), model.name).SerializeToString(), threads=1)
    return compare_model(lambda fed: opened.run(None, fed), model, sample_photos())


@pytest.mark.slow
def test_a_linear_network_equals_torch(linear):
    assert _beside_torch(linear).ciede2000 < 0.01


@pytest.mark.slow
def test_a_network_on_a_backbone_in_two_files(tmp_path, linear):
    done = export_model(linear, tmp_path / "linear.onnx", split=True)
    assert done.difference.ciede2000 < 0.01
    head, eye = (session(path.read_bytes(), threads=1) for path in done.files)
    photo = np.random.default_rng(0).random((1, 1, 64, 96), dtype=np.float32)
    names = [one.name for one in eye.get_outputs()]
    maps = dict(zip(names, eye.run(None, {"photo": np.repeat(photo, 3, axis=1)}), strict=True))
    _, logits = head.run(None, maps)
    with torch.no_grad():
        expected = linear.net(torch.from_numpy(photo)).numpy()
    assert logits == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_of_two_files_both_are_written_or_neither(tmp_path, linear):
    (tmp_path / "linear.backbone.onnx").mkdir()  # no file can take its place
    with pytest.raises(OutputError):
        export_model(linear, tmp_path / "linear.onnx", split=True)
    assert [one.name for one in tmp_path.iterdir() if one.suffix == ".onnx"] == ["linear.backbone.onnx"]


def test_a_network_without_backbone_equals_torch_and_is_as_far_from_the_truth():
    found = _beside_torch(open_model("cifar-ab"))
    assert found.ciede2000 < 0.01
    assert found.score == pytest.approx(found.score_of_torch, abs=0.01)
    assert found.score > 1


def test_an_export_that_differs_is_refused_by_how_much():
    Difference(1.0, ciede2000=0.09).require_small("mine")
    Difference(1.0, equal=0.9995).require_small("mine")
    with pytest.raises(ConfigError, match=r"export of mine that equals it.*CIEDE2000 of 0.1100.*nothing was"):
        Difference(1.0, ciede2000=0.11).require_small("mine")
    with pytest.raises(ConfigError, match=r"99.8000% of pixels have torch's class"):
        Difference(1.0, equal=0.998).require_small("mine")


def test_a_difference_that_is_no_number_is_refused():
    with pytest.raises(ConfigError, match="nothing was written"):
        Difference(1.0, ciede2000=float("nan")).require_small("mine")
    with pytest.raises(ConfigError, match="nothing was written"):
        Difference(1.0, equal=float("nan")).require_small("mine")


def test_a_model_without_backbone_cannot_be_split():
    with pytest.raises(ConfigError, match="on a backbone to split, cifar-ab has none; leave out --split"):
        decoding(open_model("cifar-ab"))


def test_a_network_that_depends_on_the_size_is_refused():
    class Branches(torch.nn.Module):
        def forward(self, photo):
            return photo * 2 if photo.sum() > 0 else photo

    photo = torch.rand(2, 3, 8, 8)
    with pytest.raises(ConfigError, match="mine cannot be exported for photos of every size: "):
        to_onnx(Graph(Branches(), (photo,), ({},), ("photo",), ("out",)), "mine")


def test_a_logger_says_as_much_as_before():
    logger = logging.getLogger("onnxscript")
    level = logger.level
    with only_errors("onnxscript"):
        assert logger.level == logging.ERROR
    assert logger.level == level
