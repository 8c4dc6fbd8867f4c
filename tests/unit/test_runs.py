"""Models and runs on disk: one file that describes itself, and clear words for any other file."""

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from pixelwise.config import CNNConfig
from pixelwise.errors import CheckpointError
from pixelwise.labelspace import Palette
from pixelwise.models import build
from pixelwise.runs import open_model, read_checkpoint, read_metrics, write_model

CONFIG = CNNConfig(num_filters=2)


@pytest.fixture
def path(tmp_path):
    write_model(tmp_path / "model.safetensors", build(CONFIG), CONFIG, Palette.read("handout24"), size=32)
    return tmp_path / "model.safetensors"


def test_a_model_file_describes_itself(path):
    model = open_model(path)
    assert (model.config, model.size, model.palette.num_classes) == (CONFIG, 32, 24)
    assert not model.net.training
    assert not any(p.requires_grad for p in model.net.parameters())
    assert open_model(path.parent).checksum == model.checksum
    assert torch.equal(open_model(path).net.classes.weight, model.net.classes.weight)


def test_a_name_that_is_nothing_is_named_with_what_there_is(tmp_path):
    with pytest.raises(CheckpointError, match="nothing is neither a run folder, a model file, nor one of: "):
        open_model(tmp_path / "nothing")


def test_an_unfinished_run_says_how_to_finish_it(tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="finish it with: pixelwise train"):
        open_model(tmp_path)


def header(path) -> dict:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length])


def rewrite(path, **changes) -> None:
    """The same tensors under a changed description."""
    from safetensors.torch import load_file

    about = json.loads(header(path)["__metadata__"]["pixelwise"]) | changes
    save_file(load_file(path), path, metadata={"pixelwise": json.dumps(about)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "has format 99, this version reads 1; update pixelwise"),
        (
            {"net": {"name": "vgg"}},
            "holds no model of ours .*needed one of the networks cnn, unet, got 'vgg'",
        ),
        ({"net": {"name": "cnn", "num_filters": 3}}, "holds no model of ours .*size mismatch|Error"),
        ({"palette": {}}, "holds no model of ours"),
        ({"size": "large"}, "holds no model of ours"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(path, changes, message):
    rewrite(path, **changes)
    with pytest.raises(CheckpointError, match=message):
        open_model(path)


def test_foreign_weights_are_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="was not written by pixelwise"):
        open_model(tmp_path / "other.safetensors")


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x80\x04\x95pickle"])
def test_a_file_of_another_kind_is_refused_and_never_run(tmp_path, content):
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        open_model(tmp_path / "m.safetensors")


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.99])
def test_a_model_that_was_cut_off_is_refused(path, cut):
    content = path.read_bytes()
    path.write_bytes(content[: int(cut * len(content))])
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        open_model(path)


def test_a_folder_without_a_run_says_so(tmp_path):
    with pytest.raises(CheckpointError, match="holds no run"):
        read_metrics(tmp_path)
    with pytest.raises(CheckpointError, match="needed an interrupted run"):
        read_checkpoint(tmp_path)


def test_a_model_is_no_checkpoint(path):
    path.rename(path.parent / "checkpoint.safetensors")
    with pytest.raises(CheckpointError, match="is no checkpoint of ours"):
        read_checkpoint(path.parent)
