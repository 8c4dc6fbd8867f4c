"""A table of greys, what is linear in grey, and the U-Net with a table inside."""

import numpy as np
import pytest
import torch

from pixelwise.colour.palette import Palette
from pixelwise.lab.beyond import count_greys, fit_linear, score_by_grey, spread
from pixelwise.network.config import UNetConfig
from pixelwise.training.models import build
from pixelwise.training.models.handout import NUM_GREYS, grey_level


def test_greys_are_counted_by_class():
    palette, images = Palette.read("handout24"), torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    images[..., 0, 0] = 255
    counts = count_greys(images, palette)
    black, white = palette.encode(images.numpy())[0, 1, 1], palette.encode(images.numpy())[0, 0, 0]
    assert counts.sum() == 4
    assert (counts[0, black], counts[254, white]) == (3, 1)  # codes are divided by 256


def test_the_best_linear_classifier_is_found():
    grey, weights = np.linspace(0, 1, NUM_GREYS), np.array([-3.0, 1.0, 5.0])
    logits = grey[:, None] * weights + [1.0, 0.0, -2.0]
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = fit_linear(1000 * probs)
    assert spread(found) == pytest.approx(8, rel=1e-3)
    entropy = -(probs * np.log(probs)).sum(1).mean()
    assert score_by_grey(found, probs)["loss"] == pytest.approx(entropy, abs=1e-6)


def test_a_table_inside_begins_at_nothing_and_adds_the_row_of_each_grey_level():
    plain, grey = build(UNetConfig(num_filters=4)).eval(), torch.rand(2, 1, 8, 8)
    net = build(UNetConfig(num_filters=4, grey_table=True)).eval()
    net.load_state_dict(plain.state_dict() | {"table.weight": net.table.weight})
    torch.testing.assert_close(net(grey), plain(grey))
    torch.nn.init.normal_(net.table.weight)
    rows = net.table.weight[grey_level(grey)]
    torch.testing.assert_close(net(grey), plain(grey) + rows.movedim(-1, 1))
