"""The policies stage and full: what learns, what stays, what is kept; and the advice whether it pays."""

import itertools
import os
import random
import re
import shutil
import signal
from dataclasses import replace

import pytest
import torch

from fixtures.lessons import folder_of_halves, lesson_on
from fixtures.tiny_backbone import tiny_backbone
from pixelwise.config import FinetuneConfig
from pixelwise.data.labelled import load_labelled_folder
from pixelwise.errors import ConfigError, FrozenError
from pixelwise.features import FeatureCache
from pixelwise.finetune import tune as room
from pixelwise.finetune.advise import Advice, advise
from pixelwise.finetune.exact import learn_last_layer
from pixelwise.finetune.lesson import prepare, split_trial
from pixelwise.finetune.policies import Learner
from pixelwise.finetune.tune import overlap, rate_frac, tune, vary
from pixelwise.frozen import fingerprint
from pixelwise.scores import Interval

RIDGE = {"ridge": 0.01}  # looking for one takes longer than all the rest
LAST = {"net.layers.2.weight", "net.layers.2.bias"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folder_of_halves(tmp_path_factory.mktemp("lessons") / "halves")


def tuned(folder, policy="stage", backbone=None, **options):
    options = {"epochs": 2, "batch_size": 2, "learning_rate": 1e-3} | RIDGE | options
    lesson = lesson_on(backbone or tiny_backbone(), folder, policy=policy, **options)
    start = learn_last_layer(lesson)
    return lesson, start, tune(lesson, start, policy)


def learner_of(taught, lesson):
    learner = Learner(taught.backbone, len(lesson.sizes), 2)
    learner.take(taught.weights)
    return learner


@pytest.mark.parametrize("policy", ["stage", "full"])
def test_only_what_the_policy_names_changes(folder, policy, monkeypatch):
    rising = itertools.count(0.0, 0.1)
    monkeypatch.setattr(room, "overlap", lambda *_: next(rising))  # each epoch is better
    backbone = tiny_backbone()
    _, start, taught = tuned(folder, policy, backbone)
    names = {name for name, _ in backbone.named_parameters()}
    assert set(taught.changed) == (LAST if policy == "stage" else names)
    before, after = dict(backbone.state_dict()), dict(taught.backbone.state_dict())
    assert {name for name in before if not torch.equal(before[name], after[name])} == set(taught.changed)
    assert fingerprint(backbone) == backbone.checksum
    assert taught.backbone.checksum == fingerprint(taught.backbone) != backbone.checksum
    assert taught.certificate.num_tensors == len(names) + 2 - len(taught.changed)
    assert taught.start is start.weights
    assert not torch.equal(taught.weights.weight, start.weights.weight)
    assert not any(one.requires_grad for one in taught.backbone.parameters())
    changed = sum(one.numel() for one in taught.changed.values())
    assert taught.num_learned == start.num_learned + changed


def test_what_is_kept_is_the_best_that_was_seen(folder):
    lesson, _, taught = tuned(folder, epochs=4)
    scores = taught.facts["watched_miou"]
    assert len(scores) == 5
    assert overlap(lesson, learner_of(taught, lesson), lesson.watched) == pytest.approx(max(scores))
    assert taught.facts["best_epoch"] == scores.index(max(scores))


def test_where_nothing_gets_better_the_exact_head_stays(folder, monkeypatch):
    falling = itertools.count(1.0, -0.1)
    monkeypatch.setattr(room, "overlap", lambda *_: next(falling))
    lesson, start, taught = tuned(folder, epochs=50)
    assert len(taught.facts["losses"]) == 4  # patience
    assert taught.facts["best_epoch"] == 0
    assert "none better than the exact head" in taught.how
    assert torch.equal(taught.weights.weight, start.weights.weight)
    assert taught.changed == {}
    assert taught.backbone is lesson.backbone


def test_it_learns_what_the_frozen_network_could_not(folder):
    backbone = tiny_backbone()
    with torch.no_grad():  # colour-blind: red and blue are equally light in these photos
        backbone.net.layers[0].weight.copy_(
            backbone.net.layers[0].weight.mean(1, keepdim=True).expand(5, 3, 3, 3)
        )
    _, _, taught = tuned(folder, "full", backbone, epochs=20, learning_rate=0.01)
    scores = taught.facts["watched_miou"]
    assert max(scores) > scores[0] + 0.1
    assert taught.facts["losses"][-1] < taught.facts["losses"][0]


def test_a_batch_of_one_works(folder):
    _, _, taught = tuned(folder, "full", batch_size=1, epochs=1)
    assert len(taught.facts["losses"]) == 1


def test_rare_classes_can_weigh_more(folder):
    _, _, even = tuned(folder, "full", epochs=1)
    _, _, weighed = tuned(folder, "full", epochs=1, rebalance=1.0)
    assert even.facts["losses"] != weighed.facts["losses"]


def test_ctrl_c_keeps_the_best(folder):
    backbone = tiny_backbone()
    lesson = lesson_on(
        backbone, folder, policy="full", epochs=1000, batch_size=2, learning_rate=1e-3, **RIDGE
    )
    start = learn_last_layer(lesson)

    class Interrupting(random.Random):
        drawn = 0

        def random(self):
            self.drawn += 1
            if self.drawn == 100:
                os.kill(os.getpid(), signal.SIGINT)
            return super().random()

    room_random, room.random.Random = room.random.Random, Interrupting
    try:
        taught = tune(lesson, start, "full")
    finally:
        room.random.Random = room_random
    assert taught.interrupted
    scores = taught.facts["watched_miou"]
    assert len(scores) < 50
    assert overlap(lesson, learner_of(taught, lesson), lesson.watched) == pytest.approx(max(scores))


def test_something_else_that_changes_breaks_the_certificate(folder):
    backbone = tiny_backbone()
    lesson = lesson_on(backbone, folder, policy="stage", epochs=1, **RIDGE)
    start = learn_last_layer(lesson)
    backbone.net.layers[0].register_forward_pre_hook(drift)
    with pytest.raises(FrozenError, match=r"net\.layers\.0\.bias changed"):
        tune(lesson, start, "stage")


def drift(layer, _inputs):
    """As batch norm does in training mode."""
    layer.bias.data.add_(1e-3)


def test_without_a_photo_to_stop_by_it_is_refused(folder):
    lesson = lesson_on(tiny_backbone(), folder, watched=0, policy="stage", **RIDGE)
    with pytest.raises(
        ConfigError, match="the policy stage needs a labelled photo to stop by; label at least 2"
    ):
        tune(lesson, learn_last_layer(lesson), "stage")


def test_a_backbone_without_a_known_last_stage_is_refused(folder):
    backbone = tiny_backbone()
    backbone.last_stage = ()
    with pytest.raises(ConfigError, match="needs to know the last stage of tiny, and it is not known"):
        tuned(folder, "stage", backbone)


def test_all_sizes_of_a_photo_vary_alike_within_range():
    readings = [torch.full((3, 3, side, side), 0.4) for side in (8, 16)]
    small, large = vary(readings, random.Random(0))
    assert torch.equal(small, large[:, :, :8, :8])
    assert len({float(one[0, 0, 0]) for one in small}) == 3
    assert 0.28 < small.min() < small.max() < 0.52
    extremes = torch.cat([vary([torch.rand(8, 3, 4, 4)], random.Random(n))[0] for n in range(9)])
    assert extremes.min() >= 0
    assert extremes.max() <= 1


def test_the_rate_climbs_and_falls_to_nothing():
    assert rate_frac(0.05) == 0.5
    assert rate_frac(0.1) == 1.0
    assert rate_frac(0.55) == pytest.approx(0.5)
    assert rate_frac(1.0) == pytest.approx(0.0)


@pytest.mark.parametrize("num_held_out", [0, 4])
def test_advice_is_measured_on_photos_that_neither_learned_from(folder, num_held_out):
    backbone = tiny_backbone()
    lesson = lesson_on(backbone, folder, watched=4)
    held_out = lesson.watched[:num_held_out]
    lesson = replace(lesson, watched=())
    trial, measured = split_trial(lesson, held_out)
    parts = [set(part) for part in (trial.shots, trial.watched, measured)]
    assert all(parts)
    assert not any(one & other for one, other in itertools.combinations(parts, 2))
    assert parts[0] <= set(lesson.shots)
    taught = learn_last_layer(lesson)
    advice = advise(lesson, taught, held_out)
    assert advice.num_measured == len(measured) == (2 if num_held_out else 1)
    assert advice.gain.low <= advice.gain.value <= advice.gain.high
    assert 0 < advice.trial_epochs <= 6 < advice.epochs == 20
    assert set(advice.to_dict()) >= {"gain", "stage_seconds", "ratio", "worth_it", "sentence"}
    assert fingerprint(backbone) == backbone.checksum


def test_copies_of_a_photo_stay_on_one_side(tmp_path):
    """Each of four photos is there four times; neither what stops nor what measures knows it by heart."""
    folder = folder_of_halves(tmp_path / "halves", num=4, train=list(range(16)), val=[], test=[])
    for number in range(4, 16):
        for part in ("images", "masks"):
            shutil.copy(folder / part / f"photo{number % 4}.png", folder / part / f"photo{number}.png")
    labelled = load_labelled_folder(folder)
    config = FinetuneConfig(source="folder", policy="stage")
    lesson = prepare(config, labelled, tiny_backbone(), torch.device("cpu"), FeatureCache(tmp_path / "cache"))
    trial, measured = split_trial(replace(lesson, shots=labelled.train, watched=()), ())
    for parts in ((lesson.shots, lesson.watched), (trial.shots, trial.watched, measured)):
        contents = [{one.photo.read_bytes() for one in part} for part in parts]
        assert sum(map(len, contents)) == 4
        assert sum(map(len, parts)) == 16


def test_advice_does_not_depend_on_what_was_kept(folder):
    """Its last layer is one that has to look at all photos, also where this one had not to."""
    backbone = tiny_backbone(pause_s=0.02)
    lesson = replace(lesson_on(backbone, folder, watched=4, looks=2, **RIDGE), watched=())
    learn_last_layer(lesson)
    taught = learn_last_layer(lesson)
    advice = advise(lesson, taught, ())
    assert taught.extract_s + taught.solve_s < advice.last_layer_s
    assert advice.last_layer_s > taught.num_looks * 2 * 0.02


def test_too_few_photos_for_advice(folder):
    lesson = lesson_on(tiny_backbone(), folder, watched=5)
    with pytest.raises(ConfigError, match=re.escape("or 4 that are, got 0 and 3; label more")):
        advise(lesson, learn_last_layer(lesson), ())


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        (
            (0.02, 0.01, 0.03),
            "+0.020 (+0.010 to +0.030, 9 other photos); 20 epochs would take at most about 30 s more, "
            "11.0 times as long in all: worth trying --policy stage",
        ),
        ((0.02, -0.01, 0.03), "not worth it here: these photos show no gain for sure"),
        ((-0.02, -0.03, -0.01), "not worth it here: it loses"),
    ],
)
def test_the_advice_in_words(gain, verdict):
    value, low, high = gain
    advice = Advice(
        gain=Interval(value=value, low=low, high=high),
        num_measured=9,
        trial_epochs=6,
        epochs=20,
        last_layer_s=3.0,
        stage_s=30.0,
    )
    assert advice.describe().endswith(verdict)
    assert advice.worth_it == (low > 0)
