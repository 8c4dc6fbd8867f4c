"""Exports of every kind of network beside torch, and what is refused."""

import numpy as np
import onnxruntime
import pytest
import torch

from pixelwise.colour.palette import Palette
from pixelwise.colour.spaces import lightness
from pixelwise.errors import ConfigError
from pixelwise.network.config import LinearNetConfig
from pixelwise.network.models import build
from pixelwise.network.runs import Model, open_model, write_model
from pixelwise.training import export as write
from pixelwise.training.export import export_model

PALETTE = Palette(torch.tensor([[0.0, 0], [50, 20], [-40, 30]]).double(), "ab", "three")


@pytest.fixture
def linear(tmp_path) -> Model:
    torch.manual_seed(0)
    config = LinearNetConfig(num_colours=3)
    write_model(tmp_path / "linear.safetensors", build(config), config, PALETTE, 64)
    return open_model(tmp_path / "linear.safetensors")


@pytest.mark.slow
def test_a_linear_network_equals_torch(linear, tmp_path):
    assert export_model(linear, tmp_path / "linear.onnx").ciede2000 < 0.01
    session = onnxruntime.InferenceSession(tmp_path / "linear.onnx", providers=["CPUExecutionProvider"])
    photo = np.random.default_rng(0).random((1, 3, 64, 96), dtype=np.float32)
    _, logits = session.run(None, {"photo": photo})
    codes = torch.from_numpy(photo)
    assert logits == pytest.approx(linear.logits(lightness(codes) / 100).numpy(), abs=1e-4)


@pytest.mark.slow
def test_a_network_without_backbone_equals_torch(tmp_path):
    done = export_model(open_model("cifar-ab"), tmp_path / "cifar.onnx")
    assert done.ciede2000 < 0.01
    assert done.max_difference < 0.01
    assert (tmp_path / "cifar.onnx").is_file()


@pytest.mark.parametrize("apart", [0.11, float("nan")])
@pytest.mark.slow
def test_an_export_that_differs_is_refused(tmp_path, monkeypatch, apart):
    monkeypatch.setattr(write, "compare_model", lambda content, model: (1.0, apart))
    with pytest.raises(ConfigError, match=f"cifar-ab .*{apart:.4f}"):
        export_model(open_model("cifar-ab"), tmp_path / "cifar.onnx")
    assert not list(tmp_path.iterdir())
