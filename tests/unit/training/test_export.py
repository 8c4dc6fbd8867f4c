"""Exports beside what runs here: every kind of model, a head, runs of earlier versions, and what differs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fixtures.coloured_head import red_head
from pixelwise.colour.palette import Palette
from pixelwise.errors import CheckpointError, ConfigError
from pixelwise.network.backbone import open_backbone
from pixelwise.network.config import CNNConfig
from pixelwise.network.model import LinearModel, open_model
from pixelwise.segmenting.heads import write_head
from pixelwise.training.export import export_head, export_model, open_any_model
from pixelwise.training.models import build
from pixelwise.training.runs import open_torch_model, write_weights

PALETTE = Palette(np.array([[0.0, 0], [50, 20], [-40, 30]]), "ab", "three")


def linear() -> LinearModel:
    rng = np.random.default_rng(0)
    facts = {
        "name": "mine",
        "size": 64,
        "checksum": "0",
        "stride": 32,
        "out_stride": 4,
        "trained_on": "folder:a",
    }
    numbers = {"weight": rng.standard_normal((3, 768), np.float32) / 10, "bias": rng.random(3, np.float32)}
    return LinearModel(palette=PALETTE, backbone=open_backbone(), **facts, **numbers)


@pytest.mark.parametrize("make", [linear, open_model], ids=["linear", "photo"])
def test_a_model_with_its_backbone_colours_here_as_one_file(make, tmp_path):
    model = make()
    assert export_model(model, tmp_path / "one.onnx").max_difference < 0.01
    again = open_model(tmp_path / "one.onnx")
    assert (again.backbone, again.size, again.saturation) == (None, model.size, model.saturation)
    assert again.trained_on == model.trained_on
    grey = np.random.default_rng(0).random((2, 1, 70, 100), np.float32)
    np.testing.assert_allclose(again.logits(grey), model.logits(grey), atol=0.01)
    assert again.network.about["read_by_name"] == "efficientnet_lite0"


@pytest.mark.slow
def test_a_run_of_an_earlier_version_is_converted(tmp_path):
    torch.manual_seed(0)
    config = CNNConfig(num_filters=2, num_colours=3)
    write_weights(tmp_path / "model.safetensors", build(config), config, PALETTE, 32)
    with pytest.raises(CheckpointError, match="pixelwise export"):
        open_model(tmp_path)
    export_model(open_any_model(str(tmp_path)), tmp_path / "model.onnx")
    grey = np.random.default_rng(0).random((1, 1, 30, 41), np.float32)
    logits = open_torch_model(tmp_path).logits(grey)
    for name in (tmp_path, tmp_path / "model.onnx"):
        np.testing.assert_allclose(open_any_model(str(name)).logits(grey), logits, atol=1e-4)


@pytest.mark.slow
def test_a_head_labels_as_it_does_here_and_one_of_another_backbone_is_refused(tmp_path):
    head, backbone = replace(red_head(), name=str(tmp_path / "red")), open_backbone()
    write_head(tmp_path / "red", head)
    assert export_head(head, backbone, tmp_path / "red.onnx").equal > 0.999
    with pytest.raises(CheckpointError, match="red was learned on"):
        export_head(replace(head, backbone_checksum="0" * 64), backbone, tmp_path / "other.onnx")


def test_an_export_that_differs_is_refused(tmp_path):
    model = replace(linear(), bias=np.full(3, np.nan, np.float32))
    with pytest.raises(ConfigError, match=r"mine .*nan"):
        export_model(model, tmp_path / "mine.onnx")
    with pytest.raises(ConfigError, match=r"such as .*mine\.onnx, got .*mine\.pt"):
        export_model(model, tmp_path / "mine.pt")
    assert not list(tmp_path.iterdir())
