"""Questions C4 and C5: what a step takes, against counts by hand and published values."""

import pytest
import torch
from torch import nn

from pixelwise.lab.answer import Setting
from pixelwise.lab.costs import POLICIES, chain_cost, formula_slopes, handout_cost, layer_facts
from pixelwise.lab.finetuning import answer_c1, step_in_training_mode


@pytest.mark.parametrize("num", [1, 3, 5])
def test_a_chain_takes_what_the_formula_says(num):
    layer = layer_facts()
    whole, last = (chain_cost(num, policy) for policy in POLICIES)
    assert whole.num_parameters == whole.num_learned == num * layer["num_parameters"]
    assert last.num_learned == layer["num_parameters"]
    assert whole.saved_bytes == (num + 1) * layer["map_bytes"]
    assert last.saved_bytes == 2 * layer["map_bytes"]
    assert whole.flops == (3 * num - 1) * layer["flops"]
    assert last.flops == (num + 1) * layer["flops"]


def test_the_peak_grows_by_a_map_a_gradient_and_two_moments():
    for policy in POLICIES:
        less, more = chain_cost(2, policy), chain_cost(3, policy)
        slopes = formula_slopes()[policy]
        for name in ("saved_bytes", "peak_bytes", "flops"):
            assert getattr(more, name) - getattr(less, name) == slopes[name], (policy, name)


@pytest.mark.slow
def test_the_handouts_network_takes_what_others_measured():
    """354 MiB whole and 1.5 MiB for the head at 224 x 224, 92 GFLOP forward; measured elsewhere."""
    whole, last = (handout_cost(policy, 224) for policy in POLICIES)
    assert whole.saved_bytes == pytest.approx(354 * 2**20, rel=0.02)
    assert last.saved_bytes == pytest.approx(1.5 * 2**20, rel=0.05)
    assert last.flops == pytest.approx(92e9, rel=0.01)
    assert last.num_learned == 514


def test_training_mode_changes_what_has_no_gradient():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)).requires_grad_(False)
    net[2].requires_grad_(True)
    images = torch.rand(2, 3, 8, 8)
    found = step_in_training_mode(net, ["2.weight", "2.bias"], lambda: net(images))
    assert found["num_changed"] == found["num_buffers"] == 3
    assert "running_mean" in found["error"]


@pytest.mark.slow
def test_c1_learns_the_handouts_514_numbers(tmp_path):
    found = answer_c1(Setting(out=tmp_path)).values["handouts"]
    assert found["num_parameters"] == 60_996_202 - 21 * 257 + 2 * 257
    assert (found["learned"], found["num_learned"]) == (["classifier.4.weight", "classifier.4.bias"], 514)
    assert found["certificate"]["before"] == found["certificate"]["after"]
    assert found["thawed"]["num_changed"] == found["thawed"]["num_buffers"] == 336
