"""Counts against what torch itself counts, and networks that have no formula."""

import functools
from dataclasses import replace

import pytest
import torch
from torch import nn

from pixelwise import counts
from pixelwise.config import HANDOUT_CONFIGS, CNNConfig, ColourNetConfig, UNetConfig
from pixelwise.cost import trace
from pixelwise.counts import COUNTS, NC, NF, derive, look_through, readable
from pixelwise.errors import ConfigError, ShapeError
from pixelwise.models import MyConv2d, build

SETTINGS = [
    ({}, 32, 32),
    ({"kernel": 5, "num_filters": 6, "num_colours": 7, "num_in_channels": 3}, 20, 36),
    ({"kernel": 1, "num_filters": 1, "num_colours": 1, "convolution": "unfold"}, 4, 4),
]
tally = functools.cache(counts.tally)  # deriving formulas takes a third of a second


@pytest.fixture(params=HANDOUT_CONFIGS.values(), ids=lambda config: config.__name__)
def kind(request):
    return request.param


@pytest.mark.parametrize(("knobs", "height", "width"), SETTINGS)
def test_parameters_are_those_that_torch_counts(kind, knobs, height, width):
    config = kind(**knobs)
    learned = sum(one.numel() for one in build(config).parameters())
    assert tally(config, height, width).value("parameters") == learned


@pytest.mark.parametrize("doubled", [False, True])
@pytest.mark.parametrize(("knobs", "height", "width"), SETTINGS)
def test_connections_are_half_the_flops_that_a_pass_takes(kind, knobs, height, width, doubled):
    config = kind(**knobs)
    counted = tally(config, height, width)
    if doubled:
        counted, height, width = counted.doubled, 2 * height, 2 * width
    picture = (1, config.num_in_channels, height, width)
    flops = trace(build(config).eval(), lambda net: net(torch.empty(picture))).flops
    assert 2 * counted.value("connections") == flops


def test_outputs_are_the_numbers_that_layers_give(kind):
    given = {}
    net = build(kind(num_filters=4)).eval()
    for name, module in net.named_modules():
        if not any(module.children()):
            module.register_forward_hook(
                lambda _, __, output, name=name: given.update({name: output.numel()})
            )
    net(torch.rand(1, 1, 12, 20))
    counted = tally(kind(num_filters=4), 12, 20)
    assert {one["name"]: one["outputs_of_all"]["value"] for one in counted.to_dict()["layers"]} == given


def test_shares_add_up_to_the_whole(kind):
    told = tally(kind()).to_dict()
    for name in COUNTS:
        assert sum(layer[name]["value"] for layer in told["layers"]) == told[name]["value"]
        assert sum(layer[name]["frac"] for layer in told["layers"]) == pytest.approx(1)


def test_layers_are_named_as_in_the_network_and_told_by_what_they_do():
    layers = look_through(build(CNNConfig()), torch.zeros(1, 1, 8, 8))
    assert [(one.name, one.module, one.kind) for one in layers[:4]] == [
        ("down1.0", "MyConv2d", "convolution"),
        ("down1.1", "MaxPool2d", "resizing"),
        ("down1.2", "BatchNorm2d", "norm"),
        ("down1.3", "ReLU", "activation"),
    ]
    assert layers[-1].name == "classes"
    assert [layers[0].weights, layers[0].outputs, layers[0].connections] == [288, 2048, 18432]


def test_looking_leaves_no_hook_behind():
    net = build(CNNConfig(num_filters=2))
    look_through(net, torch.zeros(1, 1, 8, 8))
    assert not any(module._forward_hooks for module in net.modules())


def test_deriving_draws_nothing_at_random(kind):
    before = torch.get_rng_state()
    derive(kind())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_skip_that_is_left_out_is_not_counted():
    without, cnn = tally(UNetConfig(skip_full=False, skip_half=False, skip_quarter=False)), tally(CNNConfig())
    assert all(without.formula(name) == cnn.formula(name) for name in COUNTS)


class Alone(nn.Module):
    """One convolution and what a test puts behind it."""

    stride = 1

    def __init__(self, config, num_out, behind=None):
        super().__init__()
        self.convolution = MyConv2d(config.num_in_channels, num_out, config.kernel)
        self.behind = behind or nn.Identity()

    def forward(self, x):
        return self.behind(self.convolution(x))


def test_a_network_on_a_backbone_has_no_formulas():
    with pytest.raises(ConfigError, match="needed one of the networks cnn, unet, got colournet"):
        counts.tally(ColourNetConfig())


def test_any_builder_has_formulas():
    (convolution, identity) = derive(CNNConfig(), lambda config: Alone(config, 3 * config.num_filters))
    assert str(convolution.weights) == "3*NF*NIC*k**2"
    assert str(convolution.connections) == "3*H*NF*NIC*W*k**2"
    assert (identity.kind, identity.parameters) == ("activation", 0)


def test_a_size_that_is_not_linear_is_refused():
    with pytest.raises(
        ShapeError, match="sizes are linear in NF, NC, NIC, k, H, W, those of the cnn are not"
    ):
        derive(CNNConfig(), lambda config: Alone(config, config.num_filters * config.num_colours))


def test_layers_that_come_and_go_are_refused():
    def grows(config):
        return Alone(config, 4, nn.Sequential(*[nn.ReLU() for _ in range(config.num_filters)]))

    with pytest.raises(ShapeError, match="the same layers at every setting, those of the cnn change with it"):
        derive(CNNConfig(), grows)


def test_learned_numbers_outside_of_layers_are_refused():
    def holds_more(config):
        net = Alone(config, 4)
        net.scale = nn.Parameter(torch.ones(5))
        return net

    with pytest.raises(ShapeError, match="the cnn learns 45, its layers 40; give each its own layer"):
        derive(CNNConfig(), holds_more)


@pytest.mark.parametrize(("height", "width", "remedy"), [(30, 32, "32 and 32"), (32, 0, "32 and 4")])
def test_sizes_that_the_stride_does_not_divide_are_refused(height, width, remedy):
    with pytest.raises(
        ConfigError,
        match=f"the unet needs a height and width that 4 divides, got {height} and {width}; take {remedy}",
    ):
        tally(UNetConfig(), height, width)


def test_the_table_for_people_has_counts_doubled_counts_and_shares():
    told = tally(CNNConfig()).describe()
    assert told.startswith("cnn at NF 32, NC 24, NIC 1, k 3, H 32, W 32\n")
    assert "connections                  15,630,336    62,521,344  convolutions, to padding too" in told
    assert "    9 NC^2 + 9 NC NF + 72 NF^2 + 9 NF\n" in told
    assert "of the whole" in told
    (last,) = [line for line in told.splitlines() if line.startswith("classes")]
    assert last.split() == [
        *("classes", "MyConv2d", "5,184", "6.0%", "24,576", "28.6%", "5,308,416", "34.0%", "5,208", "6.0%")
    ]


def test_formulas_are_readable():
    assert readable(9 * NF * NC + NF**2 / 4) == "9 NC NF + NF^2/4"


def test_a_layer_in_numbers_is_what_its_formulas_give():
    layers = derive(CNNConfig())
    counted = tally(CNNConfig(num_filters=5), 8, 12)
    seen = look_through(build(CNNConfig(num_filters=5)), torch.zeros(1, 1, 8, 12))
    assert tuple(one.at(counted.setting) for one in layers) == seen
    assert replace(counted, setting=counted.setting | {NF: 6}).value("weights") > counted.value("weights")
