"""The handout's loop: it learns, on a backbone that is frozen, and is right where the original was not."""

import os
import random
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from fixtures.lessons import SIZES, folder_of_halves, lesson_on
from fixtures.tiny_backbone import num_seen, tiny_backbone
from pixelwise.errors import DivergedError, FrozenError
from pixelwise.finetune.batches import Batch, batches
from pixelwise.finetune.exact import learn_last_layer
from pixelwise.finetune.lesson import Taught
from pixelwise.finetune.loop import Steps, learn_by_adam
from pixelwise.finetune.policies import Learner
from pixelwise.finetune.score import count, uncached
from pixelwise.finetune.tune import tune
from pixelwise.frozen import Certificate
from pixelwise.head import Weights
from pixelwise.labelspace import IGNORE
from pixelwise.masks.read import resize_mask
from pixelwise.photos.view import WHOLE, View


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folder_of_halves(tmp_path_factory.mktemp("lessons") / "halves")


def miou_of(lesson, taught):
    sources = uncached(lesson.watched, taught.backbone, lesson)
    (counts,) = count([taught.weights], lesson.watched, sources)
    return sum((one.confusion for one in counts[1:]), counts[0].confusion).miou


def test_it_learns_what_can_be_told_apart(folder):
    backbone = tiny_backbone()
    lesson = lesson_on(backbone, folder, solver="adam", epochs=12, learning_rate=0.1, batch_size=2)
    taught = learn_by_adam(lesson)
    assert miou_of(lesson, taught) > 0.8
    losses = taught.facts["losses"]
    assert len(losses) == 12
    assert losses[-1] < losses[0] / 2
    assert taught.num_learned == 2 * (15 * len(SIZES) + 1)
    assert taught.certificate.before == taught.certificate.after == backbone.checksum
    assert not taught.changed


def test_the_backbone_is_run_again_on_every_batch_in_every_epoch(folder):
    backbone = tiny_backbone()
    lesson = lesson_on(backbone, folder, solver="adam", epochs=3, batch_size=2)
    learn_by_adam(lesson)
    assert sum(shape[0] for shape in backbone.net.seen) == 3 * len(lesson.shots) * len(SIZES)
    assert max(shape[0] for shape in backbone.net.seen) == 2
    assert num_seen(backbone) == 3 * 4 * len(SIZES)  # three photos each way: a batch of two and one of one


def test_whoever_lends_the_backbone_gets_it_back_as_and_where_it_was(folder):
    lesson = replace(lesson_on(tiny_backbone(), folder, solver="adam"), device=torch.device("meta"))
    assert {one.device.type for one in Steps(lesson).learner.parameters()} == {"meta"}
    assert {one.device.type for one in lesson.backbone.parameters()} == {"cpu"}


def test_a_batch_of_one_works(folder):
    lesson = lesson_on(tiny_backbone(), folder, solver="adam", epochs=1, batch_size=1)
    assert np.isfinite(learn_by_adam(lesson).facts["losses"]).all()


def test_the_same_seed_gives_the_same_head(folder):
    lesson = lesson_on(tiny_backbone(), folder, solver="adam", epochs=2, batch_size=2)
    one, same = learn_by_adam(lesson), learn_by_adam(lesson)
    assert torch.equal(one.weights.weight, same.weights.weight)
    other = learn_by_adam(replace(lesson, config=replace(lesson.config, seed=1)))
    assert not torch.equal(one.weights.weight, other.weights.weight)


class Drifting(nn.Module):
    """A network whose batch norm goes on averaging, as one does where only requires_grad was cleared."""

    def __init__(self, net):
        super().__init__()
        self.net, self.norm = net, nn.BatchNorm2d(3)

    def forward(self, x):
        self.norm.training = self.thawed
        return self.net(self.norm(x))


WAYS = {
    "exact": ({}, learn_last_layer),
    "adam": ({"solver": "adam", "epochs": 1}, learn_by_adam),
    "stage": ({"policy": "stage", "epochs": 1}, lambda lesson: tune(lesson, START, "stage")),
}
START = Taught(
    weights=Weights(torch.zeros(2, 15 * len(SIZES)), torch.zeros(2)),
    backbone=tiny_backbone(),
    certificate=Certificate("", "", 0),
    how="",
    facts={},
    num_learned=0,
    num_looks=0,
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("thawed", [False, True])
def test_a_thawed_batch_norm_breaks_the_certificate(tmp_path, way, thawed):
    options, learn = WAYS[way]
    backbone = tiny_backbone()
    backbone.net = Drifting(backbone.net).requires_grad_(False).eval()
    backbone.net.thawed = thawed
    backbone.last_stage = ("net.net.layers.2",)
    lesson = lesson_on(backbone, folder_of_halves(tmp_path / "halves", num=4), **options)
    if not thawed:
        assert learn(lesson).certificate.num_tensors == 2 + 6 + 5 - (2 if way == "stage" else 0)
        return
    with pytest.raises(FrozenError, match=r"net\.norm"):
        learn(lesson)


def test_ctrl_c_keeps_what_was_learned(folder):
    backbone = tiny_backbone()
    lesson = lesson_on(backbone, folder, solver="adam", epochs=1000, batch_size=2)
    backbone.net.register_forward_hook(
        lambda *_: os.kill(os.getpid(), signal.SIGINT) if num_seen(backbone) == 60 else None
    )
    taught = learn_by_adam(lesson)
    assert taught.interrupted
    assert 0 < len(taught.facts["losses"]) < 10


def test_a_rate_that_is_too_large_is_named(folder):
    lesson = lesson_on(tiny_backbone(), folder, solver="adam", epochs=5, learning_rate=3e37)
    with pytest.raises(DivergedError, match=r"got (nan|inf) in epoch \d+; choose a smaller --learning-rate"):
        learn_by_adam(lesson)


def test_batches_have_photos_of_one_shape_with_their_labels_resized_by_nearest(folder):
    lesson = lesson_on(tiny_backbone(), folder, watched=0, solver="adam", batch_size=3)
    shown = [(one, WHOLE) for one in lesson.shots]
    found = list(batches(lesson, shown, random.Random(0)))
    assert sorted(len(one.labels) for one in found) == [1, 1, 3, 3]
    shapes = {tuple(one.labels.shape[1:]) for one in found}
    assert shapes == {(32, 48), (48, 32)}
    expected = {resize_mask(one.read_labels().numpy(), 32, 48).tobytes() for one in lesson.shots[::2]}
    seen = {one.numpy().tobytes() for batch in found for one in batch.labels if one.shape == (32, 48)}
    assert seen == expected
    for batch in found:
        height, width = batch.labels.shape[1:]
        assert [tuple(one.shape[1:]) for one in batch.readings] == [
            (3, height // 2 // 8 * 8, width // 2 // 8 * 8),
            (3, height, width),
        ]


def test_a_view_takes_its_part_of_photo_and_labels(folder):
    lesson = lesson_on(tiny_backbone(), folder, watched=0, solver="adam", sizes=(40,))
    photo = lesson.shots[0]
    (whole,) = batches(lesson, [(photo, WHOLE)], random.Random(0))
    (mirrored,) = batches(lesson, [(photo, View(mirrored=True))], random.Random(0))
    assert torch.equal(whole.readings[0].flip(-1), mirrored.readings[0])
    assert torch.equal(whole.labels.flip(-1), mirrored.labels)
    (corner,) = batches(lesson, [(photo, View(0, 0, 0.5, 0.5))], random.Random(0))
    assert (corner.labels[corner.labels != IGNORE] == 1).float().mean() > 0.9


def test_pixels_without_label_do_not_count():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (2, 6, 8), generator=generator).to(torch.uint8)
    labels[:, :2] = IGNORE
    batch = Batch((torch.zeros(2, 3, 6, 8, dtype=torch.uint8),), labels)
    logits = torch.randn(2, 2, 6, 8, generator=generator).requires_grad_()
    batch.loss(logits).backward()
    assert (logits.grad[:, :, :2] == 0).all()
    assert (logits.grad[:, :, 2:] != 0).all()
    nothing = Batch(batch.readings, torch.full_like(labels, IGNORE)).loss(logits)
    assert nothing.item() == 0


def test_a_learner_takes_a_head_and_gives_it_back(folder):
    backbone = tiny_backbone()
    learner, other = (Learner(backbone, 2, 3) for _ in range(2))
    other.take(learner.weights())
    readings = [torch.rand(1, 3, 16, 24), torch.rand(1, 3, 32, 48)]
    assert torch.equal(learner(readings)[0], other(readings)[0])
    assert learner.weights().weight.shape == (3, 30)
