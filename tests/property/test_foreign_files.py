"""Whatever a file holds, reading it gives what was asked for or an error of ours, and never another."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.hostile import any_json, spoilt
from fixtures.tiny_backbone import tiny_content
from pixelwise.colour.palette import Palette
from pixelwise.errors import PixelwiseError
from pixelwise.network.config import CNNConfig, RunConfig, TrainConfig
from pixelwise.network.model import model_of, open_model
from pixelwise.network.session import OnnxNetwork
from pixelwise.network.tensors import read_tensors, write_tensors
from pixelwise.segmenting.heads import open_head
from pixelwise.training import runs
from pixelwise.training.models import build

pytestmark = pytest.mark.usefixtures("unchecked")

CONFIG = CNNConfig(num_filters=1, num_colours=2)
PALETTE = Palette.from_dict({"space": "rgb", "colours": [[0, 0, 0], [1, 1, 1]]})
RUN = RunConfig(net=CONFIG, source="synthetic:shapes", train=TrainConfig(epochs=1))
COLOURISER = {"task": "colour", "palette": PALETTE.to_dict(), "short_side": 32, "multiple": 8}
COLOURISER |= {"out_stride": 8, "saturation": 1.0, "trained_on": "", "backbone": "x", "backbone_checksum": ""}
MANIFEST = {"config": RUN.to_dict(), "data_sha256": "0", "reasons": {}, "versions": {}, "machine": {}}

plain = any_json(
    ["cnn", "unet", "rgb", "ab", "torch", "fp32", ""],
    ["net", "train", "config", "name", "space", "colours", "size", "palette"],
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "model.safetensors"
    runs.write_weights(path, build(CONFIG), CONFIG, PALETTE, size=32)
    return path.read_bytes()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    weights = {f"net.{name}": tensor for name, tensor in build(CONFIG).state_dict().items()}
    state = {"digest": "0", "step": 1, "train_seconds": 1.0, "precision": "fp32"}
    runs.write_checkpoint(folder, runs.Checkpoint(config=RUN, tensors=weights, **state))
    return (folder / "checkpoint.safetensors").read_bytes()


def read_all(folder, content) -> None:
    readers = {
        "model.safetensors": runs.open_torch_model,
        "model.onnx": open_model,
        "linear.safetensors": lambda folder: open_model(folder / "linear.safetensors"),
        "head": lambda folder: open_head(folder / "head"),
        "checkpoint.safetensors": runs.read_checkpoint,
        "samples.safetensors": runs.read_samples,
        "run.json": runs.read_manifest,
        "metrics.jsonl": runs.read_metrics,
        "palette.json": lambda folder: Palette.read(folder / "palette.json"),
    }
    for name, reader in readers.items():
        (folder / name).write_bytes(content)
        with contextlib.suppress(PixelwiseError):
            reader(folder)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path, content):
    read_all(tmp_path, content)


@given(plain)
def test_any_json_is_read_or_refused(tmp_path, value):
    read_all(tmp_path, json.dumps(value).encode())
    for read in (RunConfig.from_dict, Palette.from_dict):
        with contextlib.suppress(PixelwiseError):
            read(value)


@given(st.data())
def test_a_spoilt_configuration_or_palette_is_read_or_refused(tmp_path, data):
    with contextlib.suppress(PixelwiseError):
        RunConfig.from_dict(data.draw(spoilt(RUN.to_dict(), plain)))
    with contextlib.suppress(PixelwiseError):
        Palette.from_dict(data.draw(spoilt(PALETTE.to_dict(), plain)))
    read_all(tmp_path, json.dumps(data.draw(spoilt(MANIFEST, plain))).encode())
    network = OnnxNetwork(tiny_content())
    network.about = data.draw(spoilt(COLOURISER, plain))
    with contextlib.suppress(PixelwiseError):
        model_of("spoilt", network)


@given(st.data())
def test_a_spoilt_description_is_read_or_refused(tmp_path, model, checkpoint, data):
    path = tmp_path / "spoilt"
    for whole in (model, checkpoint):
        path.write_bytes(whole)
        tensors, about = read_tensors(path)
        write_tensors(path, tensors, data.draw(spoilt(about, plain)))
        read_all(tmp_path, path.read_bytes())


@given(st.integers(0, 2**14), st.binary(min_size=1, max_size=8), st.booleans())
def test_spoilt_and_cut_files_are_read_or_refused(tmp_path, model, checkpoint, at, other, cut):
    for whole in (model, checkpoint, tiny_content()):
        where = at % len(whole)
        read_all(tmp_path, whole[:where] + other + (b"" if cut else whole[where + len(other) :]))
