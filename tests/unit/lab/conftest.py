"""No lab of a test downloads weights, or finds those of another run."""

import pytest


@pytest.fixture(autouse=True)
def _no_weights(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))
    monkeypatch.setattr("pixelwise.training.backbones.coco._SERVER", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # for the notebook, which runs by itself
