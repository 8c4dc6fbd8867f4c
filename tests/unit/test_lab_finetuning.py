"""C1 to C5: what learns, certified; what a step takes, against counts by hand."""

import dataclasses
import os
import runpy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fixtures.tiny_backbone import tiny_backbone
from pixelwise.errors import ConfigError, DataError, FrozenError
from pixelwise.lab import costs, finetuning
from pixelwise.lab.answer import Setting
from pixelwise.lab.costs import Line, chain, chain_step, finetune_step, formula_slopes
from pixelwise.lab.finetuning_figures import CutOut
from pixelwise.lab.steps import Measurements, Step, count, measure
from pixelwise.labelspace import IGNORE

ROOT = Path(__file__).parents[2]
make = runpy.run_path(str(ROOT / "tests" / "fixtures" / "flowers17" / "make.py"))


def normed():
    """Two layers with batch norm between, then the last one."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))


def test_a_step_learns_the_last_layer_and_certifies_the_rest():
    net = normed()
    before = net[3].weight.clone()
    images = torch.rand(2, 3, 8, 8)
    certificate = finetuning.learned_once(net, ["3"], lambda: net(images))
    assert certificate.before == certificate.after
    assert certificate.num_tensors == 2 + 5
    assert not torch.equal(net[3].weight, before)


def test_a_prefix_that_is_none_is_named():
    with pytest.raises(
        ConfigError, match=r"got 'classifier\.4'; the last layers of this network are 0, 1, 3"
    ):
        finetuning.learned_once(normed(), ["classifier.4"], lambda: torch.zeros(()))


def test_a_step_that_moves_something_else_is_refused():
    net = normed()
    images = torch.rand(2, 3, 8, 8)

    def look():
        net[1].running_mean += 1
        return net(images)

    with pytest.raises(FrozenError, match=r"1\.running_mean changed"):
        finetuning.learned_once(net, ["3"], look)


def test_training_mode_moves_features_and_freezing_does_not():
    backbone = tiny_backbone()
    backbone.net.layers.insert(1, nn.BatchNorm2d(5).eval().requires_grad_(False))
    shifts = finetuning.drifted(
        backbone, torch.rand(17, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    )
    assert [one["batches"] for one in shifts] == [0, 1, 2]
    assert all(one["frozen"] == 0 for one in shifts)
    assert 0 < shifts[1]["thawed"] < shifts[2]["thawed"]
    assert not backbone.training


@pytest.fixture(scope="module")
def c1(tmp_path_factory):
    return finetuning.answer_c1(Setting(out=tmp_path_factory.mktemp("c1"), quick=True))


@pytest.mark.slow
def test_c1_is_the_handouts_514_numbers(c1):
    handouts = c1.values["handouts"]
    assert handouts["num_parameters"] == 60_996_202 - 21 * 257 + 2 * 257
    assert handouts["learned"] == ["classifier.4.weight", "classifier.4.bias"]
    assert handouts["num_learned"] == 514
    assert handouts["certificate"]["before"] == handouts["certificate"]["after"]
    assert handouts["thawed"]["num_changed"] == handouts["thawed"]["num_buffers"] == 336
    assert "running_mean" in handouts["thawed"]["error"]
    assert c1.values["embedded"]["num_learned"] == 2 * (768 * 2 + 1)


@pytest.mark.slow
def test_training_mode_refuses_a_batch_of_one():
    net = finetuning.handouts_network().train()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        net(torch.rand(1, 3, 32, 32))


def test_each_way_of_learning_has_its_own_head_and_begins_without_features(tmp_path, monkeypatch):
    make["write_flowers17"](tmp_path / "flowers17")
    whole, quick = (Setting(out=tmp_path, quick=quick, data_dir=tmp_path) for quick in (False, True))
    tried = [(one, way) for one in (whole, quick) for way in finetuning.ways(one)]
    assert len({way.folder(one) for one, way in tried}) == len(tried) == 5
    way = finetuning.ways(quick)[1]
    left = way.cache(quick).folder / "left.over"
    left.parent.mkdir(parents=True)
    left.touch()
    begun = []
    monkeypatch.setattr(finetuning, "finetune", lambda *given: begun.append(given) or _no_result())
    finetuning._learn(quick, way)
    ((config, path, _, _, cache),) = begun
    assert (config, path.parent, cache.folder) == (way.config, way.folder(quick), left.parent)
    assert not left.exists()


def _no_result():
    return object.__new__(finetuning.FinetuneResult)


def test_mistakes_are_near_an_outline_or_far_from_it():
    labels = np.zeros((9, 40), np.uint8)
    labels[:, 20:] = 1
    labels[:, 18:20] = IGNORE
    given = (labels == 1).astype(np.uint8)
    given[0, [15, 17]] = 1  # three pixels from the unlabelled ones, and beside them
    given[0, [0, 39, 18]] ^= 1  # far away, twice, and where nothing is known
    found = finetuning.mistakes(labels, given)
    assert found == {"near_outline_frac": 0.5, "flower_frac": 20 / 38}
    none = finetuning.mistakes(labels, np.where(labels == 1, 1, 0).astype(np.uint8))
    assert none["near_outline_frac"] is None


@pytest.mark.slow
def test_c2_and_c3_learn_from_photos_and_show_them(tmp_path, monkeypatch):
    make["write_flowers17"](tmp_path / "flowers17")
    monkeypatch.setattr(finetuning, "_FEW_SHOTS", 5)  # as many as there are
    setting = Setting(out=tmp_path / "lab", quick=True, data_dir=tmp_path)
    c2, c3 = finetuning.answer_c2(setting), finetuning.answer_c3(setting)
    for way in c2.values["ways"]:
        assert way["after"]["miou"]["value"] > way["before"]["miou"]["value"]
        assert way["certificate"]["before"] == way["certificate"]["after"]
        assert way["num_learned"] == 2 * 769
    assert 0 < c2.values["all_background_miou"] < 0.5
    assert c3.values["after"] == c2.values["ways"][-1]["after"]
    assert c3.values["before"] == c2.values["ways"][-1]["before"]
    scores = list(c3.values["photo_miou"].values())
    assert scores == sorted(scores)
    for name in ("near_outline_frac", "flower_frac"):
        assert c3.values[name].keys() == c3.values["photo_miou"].keys()
        assert all(0 <= one <= 1 for one in c3.values[name].values() if one is not None)
    assert c3.values["worst"][0] == next(iter(c3.values["photo_miou"]))
    for name in (*c2.figures, *c3.figures):
        assert (setting.out / "figures" / f"{name}.png").is_file()


def test_photos_that_are_not_to_be_had_are_told(tmp_path):
    make["write_flowers17"](tmp_path / "flowers17")
    (tmp_path / "flowers17" / "splits.json").write_text("[]")
    setting = Setting(out=tmp_path, quick=True, data_dir=tmp_path)
    for answer in (finetuning.answer_c2, finetuning.answer_c3):
        with pytest.raises(DataError, match=r"splits\.json: needed"):
            answer(setting)


def test_the_difference_shows_what_is_missed_and_what_is_too_much():
    labels = np.array([[0, 1, 1, 0, IGNORE]], np.uint8)
    given = np.array([[0, 1, 0, 1, 1]], np.uint8)
    pixels = np.full((1, 5, 3), 100, np.uint8)
    photo, truth, prediction, difference = CutOut("one", 0.5, pixels, labels, given).views()
    assert (photo == pixels).all()
    tinted = [(view != 100).any(2)[0].tolist() for view in (truth, prediction, difference)]
    assert tinted == [
        [False, True, True, False, True],
        [False, True, False, True, True],
        [False, False, True, True, True],
    ]
    assert (difference[0, 2] != difference[0, 3]).any()


def test_a_line_through_points_on_a_line_explains_them():
    line = Line.through([1, 2, 4], [3.0, 5.0, 9.0])
    assert (line.slope, line.intercept) == (pytest.approx(2), pytest.approx(1))
    assert line.r_squared == pytest.approx(1)
    assert Line.through([1, 2, 4], [7.0, 7.0, 7.0]).r_squared is None


@pytest.mark.parametrize("num", [1, 3, 5])
def test_a_chain_counts_as_the_formula_has_it(num):
    layer = costs._layer_facts()
    whole, last = (count(chain_step(num, policy)) for policy in costs.POLICIES)
    assert whole.num_parameters == num * layer["num_parameters"]
    assert last.num_learned == layer["num_parameters"]
    assert whole.saved_bytes == (num + 1) * layer["map_bytes"]
    assert last.saved_bytes == 2 * layer["map_bytes"]
    assert whole.flops == (3 * num - 1) * layer["flops"]
    assert last.flops == (num + 1) * layer["flops"]


@pytest.fixture(scope="module")
def chains():
    """Measured over n, by policy."""
    nums = (2, 4, 6)
    return nums, {
        policy: [measure(chain_step(num, policy), repeats=0) for num in nums] for policy in costs.POLICIES
    }


def test_measured_memory_of_learning_everything_is_a_straight_line_of_the_formulas_slope(chains):
    nums, measured = chains
    slopes = formula_slopes()["whole"]
    for name in ("saved_bytes", "peak_bytes", "flops"):
        line = Line.through(nums, [getattr(one, name) for one in measured["whole"]])
        assert line.r_squared > 0.98
        assert line.slope == pytest.approx(slopes[name], rel=0.1)


def test_measured_memory_of_learning_the_last_layer_stays(chains):
    _, measured = chains
    peaks = [one.peak_bytes for one in measured["last"]]
    assert max(peaks) < 1.1 * min(peaks)
    assert len({one.saved_bytes for one in measured["last"]}) == 1


def test_what_is_measured_is_what_is_counted(chains):
    nums, measured = chains
    for policy, ones in measured.items():
        for num, one in zip(nums, ones, strict=True):
            counted = dataclasses.asdict(count(chain_step(num, policy)))
            assert {name: getattr(one, name) for name in counted} == counted


def test_twice_the_height_and_width_take_four_times_the_memory_and_as_many_parameters():
    for policy in costs.POLICIES:
        once, twice = (measure(finetune_step(costs.DEFAULT, policy, side), repeats=0) for side in (224, 448))
        assert twice.growing_bytes / once.growing_bytes == pytest.approx(4, abs=0.3)
        assert twice.tensors_bytes / once.tensors_bytes == pytest.approx(4, abs=0.3)
        assert twice.saved_bytes / once.saved_bytes == pytest.approx(4, abs=0.03)
        assert (twice.num_parameters, twice.flops) == (once.num_parameters, 4 * once.flops)
        assert twice.fixed_bytes >= 12 * twice.num_learned


def test_a_process_that_may_not_forget_its_peak_says_so(monkeypatch):
    def refuse(*_):
        raise PermissionError("no")

    monkeypatch.setattr(Path, "write_text", refuse)
    from pixelwise.lab import steps

    with pytest.raises(ConfigError, match=r"needs to write to /proc/self/clear_refs.*\(no\)"):
        steps._forget_peak()


def test_a_step_of_a_network_is_counted_once():
    before = count.cache_info().misses
    for _ in range(2):
        costs.traced(costs.DEFAULT, "last", 96)
    assert count.cache_info().misses == before + 1


@pytest.mark.slow
def test_the_handouts_network_keeps_what_others_measured_of_it():
    """354 MiB whole and 1.5 MiB for the head at 224 x 224, 92 GFLOP forward; measured elsewhere."""
    whole, last = (costs.traced(costs.HANDOUTS, policy, 224) for policy in costs.POLICIES)
    assert whole["saved_bytes"] == pytest.approx(354 * 2**20, rel=0.02)
    assert last["saved_bytes"] == pytest.approx(1.5 * 2**20, rel=0.05)
    assert last["flops"] == pytest.approx(92e9, rel=0.01)
    assert last["num_learned"] == 514


def test_a_worker_that_is_killed_is_told():
    step = Step(build=os.abort, loss=costs._chain_loss, side=8, smallest=4)
    with pytest.raises(ConfigError, match=r"pictures of 8 pixels a side failed: its process was killed"):
        measure(step)


def test_measured_steps_are_found_again_by_whoever_is_interrupted(tmp_path, monkeypatch):
    path, setting = tmp_path / "measured.json", Setting(out=tmp_path)
    step = chain_step(1, "last", side=8)
    first = Measurements(path, setting.made_by()).measure("one layer", step, 0)
    monkeypatch.setattr("pixelwise.lab.steps.measure", lambda *_: pytest.fail("measured again"))
    assert Measurements(path, setting.made_by()).measure("one layer", step, 0) == first
    again = Measurements(path, Setting(out=tmp_path, quick=True).made_by())
    with pytest.raises(pytest.fail.Exception):
        again.measure("one layer", step, 0)


def test_a_step_learns_what_its_prefixes_say():
    step = Step(build=partial(chain, 2), loss=costs._chain_loss, prefixes=("2",), side=8, smallest=4)
    assert step.named(step.build()) == ("2.weight", "2.bias")
    assert len(dataclasses.replace(step, prefixes=()).named(step.build())) == 4
