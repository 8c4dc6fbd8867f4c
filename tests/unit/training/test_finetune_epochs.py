"""Learning in epochs: what learns, what stays, what is kept, by either way."""

import itertools
import os
import random
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from fixtures.halves import SIZES, folder_of_halves, task_on
from fixtures.tiny_backbone import tiny_backbone
from fixtures.tiny_torch import tiny_torch_backbone
from pixelwise.errors import DivergedError, FrozenError
from pixelwise.labels.read import resize_mask
from pixelwise.network.backbone import Backbone
from pixelwise.network.session import OnnxNetwork
from pixelwise.photos.crop_view import WHOLE
from pixelwise.training import finetune_epochs
from pixelwise.training.convert import backbone_content
from pixelwise.training.finetune import learn_last_layer, score
from pixelwise.training.finetune_epochs import batches, learn_in_epochs
from pixelwise.training.frozen import fingerprint

RIDGE = {"ridge": 0.01}  # choosing one takes longer than all the rest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folder_of_halves(tmp_path_factory.mktemp("tasks") / "halves")


def adam_task(folder, **options):
    return task_on(tiny_backbone(), folder, **{"solver": "adam", "batch_size": 2} | options)


def tuned(folder, policy="stage", backbone=None, **options):
    options = {"epochs": 2, "batch_size": 2, "learning_rate": 1e-3} | RIDGE | options
    backbone = backbone or tiny_torch_backbone()
    task = task_on(opened(backbone_content(backbone)), folder, policy=policy, **options)
    start = learn_last_layer(task)
    return task, start, learn_in_epochs(task, backbone, start)


def opened(content: bytes) -> Backbone:
    return Backbone.of(OnnxNetwork(content, threads=1))


def miou(learned, task):
    return score(task, learned, task.early_stop_set).after.miou.value


def test_adam_learns_the_last_layer_alone(folder):
    task = adam_task(folder, epochs=12, learning_rate=0.1)
    backbone, seen = tiny_torch_backbone(), []
    backbone.net.register_forward_hook(lambda *_: seen.append(1))
    learned = learn_in_epochs(task, backbone)
    assert miou(learned, task) > 0.8
    losses = learned.facts.losses
    assert len(losses) == 12
    assert losses[-1] < losses[0] / 2
    assert learned.num_learned == 2 * (15 * len(SIZES) + 1)
    assert learned.certificate.before == learned.certificate.after == backbone.checksum
    assert learned.tuned == b""
    assert not np.array_equal(learned.random_head.weight, learned.weights.weight)
    assert len(seen) > 12 * len(task.shots) // 2  # run again in every epoch


@pytest.mark.slow
def test_a_seed_decides_the_head_and_a_batch_of_one_will_do(folder):
    task = adam_task(folder, epochs=1, batch_size=1)
    tasks = [task, task, replace(task, config=replace(task.config, seed=1))]
    one, same, other = (learn_in_epochs(each, tiny_torch_backbone()).weights.weight for each in tasks)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.isfinite(one).all()


@pytest.mark.parametrize("policy", ["stage", "full"])
@pytest.mark.slow
def test_only_what_the_policy_names_changes(folder, policy, monkeypatch):
    rising = itertools.count(0.0, 0.1)
    backbone = tiny_torch_backbone()
    monkeypatch.setattr(finetune_epochs, "miou_of", lambda *_: next(rising))  # each epoch is better
    task, start, learned = tuned(folder, policy, backbone)
    assert fingerprint(backbone) == backbone.checksum
    last = [name.startswith("net.layers.2") for name, _ in backbone.named_parameters()]
    assert learned.certificate.num_tensors == len(last) + 2 - (sum(last) if policy == "stage" else len(last))
    after = opened(learned.tuned)
    assert (after.name, after.levels) == (task.backbone.name, task.backbone.levels)
    assert after.checksum != task.backbone.checksum == backbone.checksum
    photo = np.random.default_rng(0).random((1, 3, 16, 24), np.float32)
    fine, coarse = (
        np.abs(one - other).max() for one, other in zip(after(photo), task.backbone(photo), strict=True)
    )
    assert (fine > 1e-4, coarse > 1e-4) == (policy == "full", True)
    assert learned.start is start.weights
    assert not np.array_equal(learned.weights.weight, start.weights.weight)
    learns = backbone.net.layers[2:] if policy == "stage" else backbone.net.layers
    assert learned.num_learned == start.num_learned + sum(one.numel() for one in learns.parameters())


@pytest.mark.slow
def test_where_nothing_gets_better_the_exact_head_stays(folder, monkeypatch):
    falling = itertools.count(1.0, -0.1)
    monkeypatch.setattr(finetune_epochs, "miou_of", lambda *_: next(falling))
    _, start, learned = tuned(folder, epochs=50)
    assert len(learned.facts.losses) == 4  # patience
    assert learned.facts.best_epoch == 0
    assert np.array_equal(learned.weights.weight, start.weights.weight)
    assert learned.tuned == b""


@pytest.mark.slow
def test_tuning_learns_what_the_frozen_network_cannot(folder):
    backbone = tiny_torch_backbone()
    with torch.no_grad():  # colour-blind: red and blue are equally light in these photos
        first = backbone.net.layers[0].weight
        first.copy_(first.mean(1, keepdim=True).expand(5, 3, 3, 3))
    _, _, learned = tuned(folder, "full", backbone, epochs=20, learning_rate=0.01)
    scores = learned.facts.watched_miou
    assert max(scores) > scores[0] + 0.1
    assert learned.facts.losses[-1] < learned.facts.losses[0]


@pytest.mark.parametrize("policy", ["last-layer", "full"])
@pytest.mark.slow
def test_ctrl_c_keeps_what_was_learned(folder, policy):
    options = {"solver": "adam"} if policy == "last-layer" else RIDGE
    task = task_on(tiny_backbone(), folder, policy=policy, epochs=1000, batch_size=2, **options)
    start = None if policy == "last-layer" else learn_last_layer(task)
    backbone, runs = tiny_torch_backbone(), itertools.count(1)
    backbone.net.register_forward_hook(
        lambda *_: os.kill(os.getpid(), signal.SIGINT) if next(runs) == 30 else None
    )
    learned = learn_in_epochs(task, backbone, start)
    assert learned.interrupted
    assert 0 < len(learned.facts.losses) < 10
    if start:
        assert miou(learned, task) == pytest.approx(max(learned.facts.watched_miou), abs=0.002)


class Drifting(nn.Module):
    """A network whose batch norm goes on averaging, as where only requires_grad was cleared."""

    def __init__(self, net):
        super().__init__()
        self.net, self.norm = net, nn.BatchNorm2d(3)

    def forward(self, x):
        self.norm.training = True
        return self.net(self.norm(x))


@pytest.mark.parametrize("options", [{"solver": "adam"}, {"policy": "stage"}], ids=str)
def test_a_batch_norm_in_training_breaks_the_certificate(tmp_path, options):
    backbone = tiny_torch_backbone(last_stage=("net.layers.2",))
    backbone.net = Drifting(backbone.net).requires_grad_(False).eval()
    with pytest.raises(FrozenError, match=r"net\.norm"):
        folder = folder_of_halves(tmp_path / "halves", num=4)
        learn_in_epochs(task_on(tiny_backbone(), folder, epochs=1, **options), backbone)


def test_a_rate_that_is_too_large_is_named(folder):
    with pytest.raises(DivergedError, match=r"(nan|inf) in epoch \d+"):
        learn_in_epochs(adam_task(folder, epochs=5, learning_rate=3e37), tiny_torch_backbone())


def test_batches_have_photos_of_one_shape_with_their_labels_resized_by_nearest(folder):
    task = adam_task(folder, num_to_stop_by=0, batch_size=3)
    found = list(batches(task, [(one, WHOLE) for one in task.shots], random.Random(0)))
    assert sorted(len(labels) for _, labels in found) == [1, 1, 3, 3]
    assert {tuple(labels.shape[1:]) for _, labels in found} == {(32, 48), (48, 32)}
    wide = [one for _, labels in found for one in labels if one.shape == (32, 48)]
    expected = {resize_mask(one.read_labels(), 32, 48).tobytes() for one in task.shots[::2]}
    assert expected == {one.numpy().tobytes() for one in wide}
    for images, labels in found:
        height, width = labels.shape[1:]
        half = (3, height // 2 // 8 * 8, width // 2 // 8 * 8)
        assert [tuple(one.shape[1:]) for one in images] == [half, (3, height, width)]
