"""Models and runs on disk: one file that describes itself, and clear words for any other file."""

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from pixelwise.config import CNNConfig, RunConfig
from pixelwise.errors import CheckpointError
from pixelwise.labelspace import Palette
from pixelwise.models import build
from pixelwise.runs import (
    Checkpoint,
    open_model,
    read_checkpoint,
    read_manifest,
    read_metrics,
    read_samples,
    write_checkpoint,
    write_manifest,
    write_model,
)

CONFIG = CNNConfig(num_filters=2)
BLACK_AND_WHITE = {"space": "rgb", "colours": [[0, 0, 0], [1, 1, 1]]}


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
    with pytest.raises(CheckpointError, match=f"finish it: pixelwise train --resume --out {tmp_path}"):
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
            "holds no model of ours .*needed one of the networks cnn, unet, colournet, linear, got 'vgg'",
        ),
        ({"net": {"name": "cnn", "num_filters": 3}}, "its weights do not fit its network: down1.0.bias"),
        ({"palette": {}}, "holds no model of ours"),
        ({"palette": {"space": "rgb", "colours": [[10**400] * 3] * 24}}, "holds no model of ours"),
        ({"palette": BLACK_AND_WHITE}, "its network has 24 classes, its palette 2 colours"),
        (
            {"net": {"name": "cnn", "num_in_channels": 3}},
            "its network reads 3 channels, a grey picture has 1",
        ),
        ({"net": {"name": "cnn", "num_filters": 10**9}}, "holds no model of ours"),
        (
            {"net": {"name": "unet", "num_filters": 2}},
            "its weights do not fit its network: classes.weight, up1.0.weight",
        ),
        ({"net": "unet"}, "needed a network's name and settings, got unet"),
        ({"net": {"name": "cnn", "convolution": "fft"}}, "convolution needs to be one of torch, unfold"),
        *(
            ({"size": size}, f"a short side of {shown} pixels, not 8 to 1024")
            for size, shown in (
                (10**9, 10**9),
                (7, 7),
                ("large", "large"),
                (float("inf"), "inf"),
                (32.0, 32.0),
            )
        ),
    ],
)
@pytest.mark.usefixtures("unchecked")
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


ROW = {"epoch": 1, "step": 2, "train_loss": 1.5, "val_loss": 1.5, "val_accuracy": 40.0, "train_seconds": 0.1}


def test_a_manifest_says_how_to_repeat_a_run_and_what_was_left_out(tmp_path):
    config = RunConfig(net=CONFIG, source="folder:photos")
    write_manifest(tmp_path, config, "0" * 64, {"precision": "asked for"}, ("left out a.png",))
    manifest = read_manifest(tmp_path)
    assert (manifest.config, manifest.data_sha256, manifest.notes) == (config, "0" * 64, ("left out a.png",))
    assert manifest.reasons == {"precision": "asked for"}
    assert manifest.machine["threads"] == str(torch.get_num_threads())


@pytest.mark.parametrize(
    "content", ["{}", "[]", "null", '{"config": {}}', '{"config": {"net": "unet"}}', "[" * 9**5]
)
def test_a_manifest_without_a_run_is_refused(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"holds no run: run.json is missing or damaged; "):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "row",
    [
        {},
        [],
        3,
        ROW | {"val_loss": "low"},
        ROW | {"epoch": 10**400},
        ROW | {"losses": 3},
        ROW | {"losses": [None]},
    ],
)
def test_a_line_of_metrics_without_its_numbers_is_refused(tmp_path, row):
    (tmp_path / "metrics.jsonl").write_text(f"{json.dumps(ROW)}\n{json.dumps(row)}\n")
    with pytest.raises(CheckpointError, match="line 2 needs the numbers epoch, step, train_loss, "):
        read_metrics(tmp_path)


def test_a_last_line_of_metrics_that_was_cut_off_is_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(f"{json.dumps(ROW)}\n{json.dumps(ROW)[:20]}")
    assert read_metrics(tmp_path) == [ROW]


@pytest.mark.parametrize("change", [{"step": -1}, {"step": "two"}, {"precision": "fp8"}, {"digest": None}])
@pytest.mark.usefixtures("unchecked")
def test_a_checkpoint_with_values_of_other_kinds_is_refused(tmp_path, change):
    config = RunConfig(net=CONFIG, source="synthetic:shapes")
    state = {"digest": "0", "step": 1, "train_seconds": 1.0, "epoch_loss_sum": 1.0, "precision": "fp32"}
    checkpoint = Checkpoint(config=config, tensors={}, **state)
    vars(checkpoint).update(change)
    write_checkpoint(tmp_path, checkpoint)
    with pytest.raises(CheckpointError, match=r"is no checkpoint of ours \(needed the state"):
        read_checkpoint(tmp_path)


def test_samples_that_are_no_pictures_are_refused(path):
    path.rename(path.parent / "samples.safetensors")
    with pytest.raises(CheckpointError, match="holds no pictures"):
        read_samples(path.parent)


def test_logits_of_any_size_are_those_of_the_network_over_repeated_borders(path):
    model = open_model(path)
    grey = torch.rand(2, 1, 9, 14)
    padded = torch.cat((grey, grey[..., -1:].expand(-1, -1, -1, 2)), -1)
    padded = torch.cat((padded, padded[..., -1:, :].expand(-1, -1, 3, -1)), -2)
    assert torch.allclose(model.logits(grey), model.net(padded)[..., :9, :14], atol=1e-6)


def test_a_head_is_no_model_and_what_takes_it_is_told():
    with pytest.raises(CheckpointError, match="needed a model, got the head flower: segment, evaluate and"):
        open_model("flower")
