"""Exports of every kind of network beside torch, and what is refused."""

import pytest

from pixelwise.errors import ConfigError
from pixelwise.training import export as write
from pixelwise.training.export import export_model
from pixelwise.training.runs import open_torch_model


@pytest.mark.slow
def test_a_network_without_backbone_equals_torch(tmp_path):
    done = export_model(open_torch_model("cifar-ab"), tmp_path / "cifar.onnx")
    assert done.ciede2000 < 0.01
    assert done.max_difference < 0.01
    assert (tmp_path / "cifar.onnx").is_file()


@pytest.mark.slow
def test_an_export_that_differs_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "compare_model", lambda content, model: (1.0, float("nan")))
    with pytest.raises(ConfigError, match=r"cifar-ab .*nan"):
        export_model(open_torch_model("cifar-ab"), tmp_path / "cifar.onnx")
    assert not list(tmp_path.iterdir())
