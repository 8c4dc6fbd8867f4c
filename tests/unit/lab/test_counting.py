"""Counts of question A3 against what torch itself counts."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pixelwise.lab.counting import count_network
from pixelwise.network.config import HANDOUT_CONFIGS
from pixelwise.training.models import build
from pixelwise.training.models.handout import MyConv2d


@pytest.mark.parametrize("kind", HANDOUT_CONFIGS.values())
@pytest.mark.parametrize(
    ("options", "height", "width"),
    [
        ({}, 32, 32),
        ({"kernel": 5, "num_filters": 6, "num_colours": 7, "num_in_channels": 3}, 20, 36),
        ({"kernel": 1, "num_filters": 1, "num_colours": 1}, 4, 4),
    ],
)
def test_counts_are_those_of_torch(kind, options, height, width):
    config = kind(**options)
    counts, net = count_network(config, height, width), build(config).eval()
    outputs = []
    for module in net.modules():
        if isinstance(module, MyConv2d):
            module.register_forward_hook(lambda _, __, output: outputs.append(output.numel()))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.rand(1, config.num_in_channels, height, width))
    assert counts.value("parameters") == sum(one.numel() for one in net.parameters())
    assert counts.value("outputs") == sum(outputs)
    assert 2 * counts.value("connections") == counter.get_total_flops()
