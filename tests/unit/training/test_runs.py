"""Models and runs on disk: one file that describes itself, and clear words for any other file."""

import json

import numpy as np
import pytest
import torch

from pixelwise.colour.palette import Palette
from pixelwise.errors import CheckpointError
from pixelwise.network.config import CNNConfig, RunConfig
from pixelwise.network.tensors import read_tensors, write_tensors
from pixelwise.training import runs
from pixelwise.training.models import build

CONFIG = CNNConfig(num_filters=2)
BLACK_AND_WHITE = {"space": "rgb", "colours": [[0, 0, 0], [1, 1, 1]]}


@pytest.fixture
def path(tmp_path):
    runs.write_weights(
        tmp_path / "model.safetensors", build(CONFIG), CONFIG, Palette.read("handout24"), size=32
    )
    return tmp_path / "model.safetensors"


def test_a_model_file_describes_itself(path):
    model = runs.open_torch_model(path)
    assert (model.net.config, model.size, model.palette.num_classes) == (CONFIG, 32, 24)
    assert not model.net.training
    assert not any(p.requires_grad for p in model.net.parameters())
    assert runs.open_torch_model(path.parent).checksum == model.checksum
    assert torch.equal(runs.open_torch_model(path).net.classes.weight, model.net.classes.weight)


def test_an_unfinished_run_says_how_to_finish_it(tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=f"finish it: pixelwise train --resume --out {tmp_path}"):
        runs.open_torch_model(tmp_path)


def rewrite(path, **changes) -> None:
    tensors, about = read_tensors(path)
    write_tensors(path, tensors, about | changes)


@pytest.mark.parametrize(
    ("changes", "offending"),
    [
        ({"format": 99}, "99"),
        ({"net": {"name": "vgg"}}, "'vgg'"),
        ({"net": {"name": "cnn", "num_filters": 3}}, "down1.0.bias"),
        ({"palette": {}}, "no network of ours"),
        ({"palette": BLACK_AND_WHITE}, "2 colours"),
        ({"net": {"name": "cnn", "num_in_channels": 3}}, "3 channels"),
        ({"net": {"name": "cnn", "num_filters": 10**9}}, "no network of ours"),
        ({"net": {"name": "unet", "num_filters": 2}}, "classes.weight"),
        ({"palette": {"space": "rgb", "colours": [[10**400] * 3] * 24}}, "no network of ours"),
        ({"net": "unet"}, "unet"),
        *(({"size": size}, f"{size} pixels") for size in (10**9, 7, "large", float("inf"), 32.0)),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_description_that_does_not_fit_is_refused(path, changes, offending):
    rewrite(path, **changes)
    with pytest.raises(CheckpointError, match=offending):
        runs.open_torch_model(path)


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x80\x04\x95pickle", 0.1, 0.5, 0.99])
def test_a_file_of_another_kind_or_cut_off_is_refused_and_never_run(path, content):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(content * len(whole))] if isinstance(content, float) else content)
    with pytest.raises(CheckpointError, match="safetensors"):
        runs.open_torch_model(path)


ROW = {"epoch": 1, "step": 2, "train_loss": 1.5, "val_loss": 1.5, "val_accuracy": 40.0, "train_seconds": 0.1}


def test_a_manifest_says_how_to_repeat_a_run_and_what_was_left_out(tmp_path):
    config = RunConfig(net=CONFIG, source="folder:photos")
    reasons, notes = {"precision": "asked for"}, ("left out a.png",)
    manifest = runs.Manifest(config=config, data_sha256="0" * 64, reasons=reasons, notes=notes)
    runs.write_manifest(tmp_path, manifest)
    manifest = runs.read_manifest(tmp_path)
    assert (manifest.config, manifest.data_sha256, manifest.notes) == (config, "0" * 64, ("left out a.png",))
    assert manifest.reasons == {"precision": "asked for"}
    assert manifest.machine["threads"] == str(torch.get_num_threads())


@pytest.mark.parametrize("content", ["{}", "null", '{"config": {"net": "unet"}}', "[" * 9**5])
def test_a_manifest_without_a_run_is_refused(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"run\.json"):
        runs.read_manifest(tmp_path)


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
    with pytest.raises(CheckpointError, match="line 2"):
        runs.read_metrics(tmp_path)


def test_a_last_line_of_metrics_that_was_cut_off_is_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(f"{json.dumps(ROW)}\n{json.dumps(ROW)[:20]}")
    assert runs.read_metrics(tmp_path) == [ROW]


STATE = {"digest": "0", "step": 1, "train_seconds": 1.0, "precision": "fp32"}


@pytest.mark.parametrize("change", [{"step": -1}, {"step": "two"}, {"precision": "fp8"}, {"digest": None}])
@pytest.mark.usefixtures("unchecked")
def test_a_checkpoint_with_values_of_other_kinds_is_refused(tmp_path, change):
    checkpoint = runs.Checkpoint(config=RunConfig(net=CONFIG, source="synthetic:shapes"), tensors={}, **STATE)
    vars(checkpoint).update(change)
    runs.write_checkpoint(tmp_path, checkpoint)
    with pytest.raises(CheckpointError, match="no checkpoint of ours"):
        runs.read_checkpoint(tmp_path)


def test_logits_of_any_size_are_those_of_the_network_over_repeated_borders(path):
    model = runs.open_torch_model(path)
    grey = torch.rand(2, 1, 9, 14)
    padded = torch.nn.functional.pad(grey, (0, 2, 0, 3), mode="replicate")
    expected = model.net(padded)[..., :9, :14].detach()
    np.testing.assert_allclose(model.logits(grey.numpy()), expected, rtol=1e-5, atol=1e-6)


def test_a_checkpoint_of_an_earlier_version_is_read(tmp_path):
    config = RunConfig(net=CONFIG, source="synthetic:shapes")
    older = config.to_dict()
    older["train"] |= {"accumulate": 1, "shared_norm": True, "window_from": 0.55}
    about = STATE | {"epoch_loss_sum": 1.0, "config": older}
    write_tensors(tmp_path / "checkpoint.safetensors", {"losses": np.zeros(1)}, about)
    assert runs.read_checkpoint(tmp_path).config == config
