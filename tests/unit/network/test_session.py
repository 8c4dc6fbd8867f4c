"""Networks in ONNX files: refused where they are none, a lack of memory named, open in other processes."""

import pickle

import numpy as np
import pytest

from fixtures.tiny_backbone import tiny_content
from pixelwise.errors import CheckpointError, ConfigError
from pixelwise.files import checksum
from pixelwise.network.session import OnnxNetwork, choose_device

pytestmark = pytest.mark.core

PHOTO = {"photo": np.random.default_rng(0).random((2, 3, 16, 24), np.float32)}


@pytest.fixture
def network(tmp_path) -> OnnxNetwork:
    (tmp_path / "tiny.onnx").write_bytes(tiny_content())
    return OnnxNetwork(tmp_path / "tiny.onnx", threads=1)


def test_a_network_goes_to_another_process_and_into_more_threads(network):
    found = network.run(PHOTO, ("coarse", "fine"))
    assert [(name, one.shape) for name, one in found.items()] == [
        ("coarse", (2, 9, 2, 3)),
        ("fine", (2, 6, 4, 6)),
    ]
    assert network.in_threads(1) is network
    for other in (pickle.loads(pickle.dumps(network)), network.in_threads(2), OnnxNetwork(tiny_content())):
        assert np.array_equal(other.run(PHOTO, ("fine",))["fine"], found["fine"])
        assert other.checksum() == network.checksum() == checksum(network.source)


def test_a_file_that_is_no_network_is_refused(tmp_path, network, capfd):
    path = tmp_path / "noise.onnx"
    whole = network.source.read_bytes()
    for content in (b"noise" * 100, b"", whole[:-1], whole.replace(b"coarse", b"coars\xff")):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"noise\.onnx"):
            OnnxNetwork(path)
    with pytest.raises(CheckpointError, match=r"gone\.onnx"):
        OnnxNetwork(tmp_path / "gone.onnx")
    assert capfd.readouterr().out == ""


def test_a_lack_of_memory_is_named_as_one(network, monkeypatch):
    class Short:
        def run(self, *_):
            raise RuntimeError("Status Message: std::bad_alloc")

    monkeypatch.setattr(network, "_session", Short())
    with pytest.raises(MemoryError):
        network.run(PHOTO, ())


def test_a_gpu_that_is_not_there_is_said_to_be_missing(network):
    assert choose_device("cpu") == "cpu"
    if choose_device("auto") == "cpu":
        with pytest.raises(ConfigError, match="device cuda needs a GPU that ONNX Runtime can use"):
            OnnxNetwork(network.source, device="cuda")
