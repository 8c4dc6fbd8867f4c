"""Questions C1 to C3: what learns, certified, and the heads that are compared."""

import pytest
import torch
from torch import nn

from pixelwise.lab.answer import Setting
from pixelwise.lab.finetuning import answer_c1, step_in_training_mode


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
