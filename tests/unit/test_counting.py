"""Question A3, and the connections that lead to something."""

import json

import pytest
import torch
from PIL import Image

from pixelwise.config import CNNConfig
from pixelwise.counts import tally
from pixelwise.lab.answer import Setting
from pixelwise.lab.counting import answer_a3, count_inside, draw_shares
from pixelwise.models import build


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("a3")


@pytest.fixture(scope="module")
def answer(out):
    return answer_a3(Setting(out=out, quick=True))


def test_the_six_values_are_those_worked_out_by_hand(answer):
    names = ("weights", "outputs", "connections")
    assert [answer.values[name]["value"] for name in names] == [86_112, 86_016, 15_630_336]
    doubled = answer.values["doubled"]
    assert [doubled[name]["value"] for name in names] == [86_112, 4 * 86_016, 4 * 15_630_336]


def test_what_is_measured_is_what_the_formulas_say(answer):
    for values in (answer.values, answer.values["unet"]):
        measured = values["measured"]
        assert measured["parameters"] == values["parameters"]["value"]
        assert measured["flops"] == 2 * values["connections"]["value"]
        assert measured["doubled_flops"] == 2 * values["doubled"]["connections"]["value"]
        assert measured["connections_inside"] < values["connections"]["value"]


def test_the_answer_is_plain_and_its_figure_is_there(answer, out):
    assert json.loads(json.dumps(answer.values)) == answer.values
    assert answer.figures == ("a3-shares",)
    with Image.open(out / "figures" / "a3-shares.png") as picture:
        assert picture.width > 1000


def test_connections_inside_are_those_counted_by_hand():
    """Along a side of 8 pixels windows of three hold 3 * 8 - 2 pixels, along 4 and 2 likewise."""
    config = CNNConfig(num_filters=1, num_colours=1)
    full, half, quarter = (3 * side - 2 for side in (8, 4, 2))
    by_hand = full**2 + 2 * half**2 + (4 + 2) * quarter**2 + half**2 + full**2
    assert count_inside(build(config), torch.zeros(1, 1, 8, 8)) == by_hand


def test_without_padding_all_connections_are_inside():
    config = CNNConfig(kernel=1, num_filters=3, num_in_channels=2)
    net = build(config)
    before = [one.clone() for one in net.parameters()]
    assert count_inside(net, torch.zeros(1, 2, 8, 12)) == tally(config, 8, 12).value("connections")
    assert all(torch.equal(one, was) for one, was in zip(net.parameters(), before, strict=True))


def test_the_figure_has_a_bar_for_each_convolution_and_count():
    drawing = draw_shares({"one": tally(CNNConfig())})
    (axes,) = drawing.figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        *("down1", "down2", "middle", "up1", "up2", "classes")
    ]
    widths = [bar.get_width() for bar in axes.patches]
    assert len(widths) == 18
    assert sum(widths) == pytest.approx(3)
