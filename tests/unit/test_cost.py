"""Costs against counts by hand."""

import pytest
import torch
from torch import nn

from pixelwise.cost import Cost, Measured, Part, Plan, trace

SIZE = 8


def two_layers():
    """3 -> 4 -> 5 channels, kernels of 3, one output for each pixel."""
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1))


def look(size=SIZE):
    return lambda net: net(torch.empty(1, 3, size, size))


def learn(size=SIZE):
    return lambda net: net(torch.empty(1, 3, size, size)).sum()


def every(net):
    return [name for name, _ in net.named_parameters()]


FIRST = 2 * 3 * 4 * 9 * SIZE**2
SECOND = 2 * 4 * 5 * 9 * SIZE**2
MAP = 4 * 4 * SIZE**2  # bytes of the map between the layers
IMAGE, RESULT = 3 * 4 * SIZE**2, 5 * 4 * SIZE**2


def test_flops_of_looking_are_those_counted_by_hand():
    assert trace(two_layers(), look()).flops == FIRST + SECOND


def test_flops_of_learning_everything_add_two_gradients_but_none_of_the_image():
    net = two_layers()
    assert trace(net, learn(), every(net)).flops == (FIRST + SECOND) + (FIRST + 2 * SECOND)


def test_flops_of_learning_the_last_layer_go_back_no_further():
    assert trace(two_layers(), learn(), ["2.weight", "2.bias"]).flops == FIRST + SECOND + SECOND


def test_saved_for_the_pass_back_are_the_image_and_one_map():
    """Its ReLU keeps what it gives, which is what the second layer keeps: one storage, counted once."""
    net = two_layers()
    assert trace(net, learn(), every(net)).saved_bytes == IMAGE + MAP


def test_saved_down_to_the_last_layer_is_one_map():
    assert trace(two_layers(), learn(), ["2.weight", "2.bias"]).saved_bytes == MAP


def test_looking_saves_nothing_and_holds_two_maps_at_most():
    traced = trace(two_layers(), look())
    assert traced.saved_bytes == 0
    assert traced.peak_bytes == max(IMAGE + 2 * MAP, IMAGE + MAP + RESULT)


def test_learning_holds_what_is_saved_and_gradients_of_all_that_learns():
    net = two_layers()
    traced = trace(net, learn(), every(net))
    gradients = sum(4 * parameter.numel() for parameter in net.parameters())
    assert traced.peak_bytes >= traced.saved_bytes + gradients


def test_twice_the_size_takes_four_times_the_flops_and_activations():
    net = two_layers()
    once, twice = (trace(net, learn(size), every(net)) for size in (SIZE, 2 * SIZE))
    assert (twice.flops, twice.saved_bytes) == (4 * once.flops, 4 * once.saved_bytes)
    assert trace(net, look(2 * SIZE)).peak_bytes == 4 * trace(net, look()).peak_bytes


def test_tracing_leaves_the_network_alone():
    net = two_layers().requires_grad_(False)
    trace(net, learn(), every(net))
    assert all(one.grad is None and not one.requires_grad for one in net.parameters())
    assert net(torch.ones(1, 3, SIZE, SIZE)).isfinite().all()


def test_half_precision_halves_what_is_saved_but_for_the_image():
    net = two_layers()

    def learn_in_half(copied):
        with torch.autocast("cpu", torch.bfloat16):
            return learn()(copied).float()

    weights = sum(2 * one.numel() for name, one in net.named_parameters() if name.endswith("weight"))
    assert trace(net, learn_in_half, every(net)).saved_bytes == (IMAGE + MAP) // 2 + weights


@pytest.fixture
def plan():
    cost = Cost(
        num_learned=7,
        flops=3_000_000_000,
        seconds_by=(Part("looking", 8.0, "4 looks timed"), Part("solving", 2.0, "a pass timed")),
        bytes_by=(Part("the process", 4e8, "measured now"), Part("pixels", 1e8, "40 rows")),
    )
    return Plan(policies={"last-layer": cost}, doubled={}, planning_s=0.5)


def test_a_cost_is_the_sum_of_its_parts(plan):
    assert plan.to_dict()["policies"] == {
        "last-layer": {"memory_bytes": 500_000_000, "flops": 3_000_000_000, "seconds": 10.0, "num_learned": 7}
    }


def test_the_plan_is_told_beside_what_came_out(plan):
    assert plan.beside(Measured("last-layer", 12.0, 450_000_000)) == (
        "time: planned 10.0 s, measured 12.0 s (+20 %); memory: planned 500 MB, measured 450 MB (-10 %)"
    )


def test_every_number_says_how_it_is_known(plan):
    told = plan.describe()
    assert "4 looks timed" in told
    assert "400 MB  the process: measured now" in told


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("transposed", [False, True])
def test_flops_of_the_way_back_through_groups_are_twice_those_of_the_way_there(groups, transposed):
    """Each output of a group reads the inputs of its group alone, forward and backward."""
    build = nn.ConvTranspose2d if transposed else nn.Conv2d
    net = nn.Sequential(nn.Conv2d(3, 6, 1), build(6, 6, 3, padding=1, groups=groups))
    first, grouped = 2 * 3 * 6 * SIZE**2, 2 * 6 * 6 * 9 * SIZE**2 // groups
    assert trace(net, look()).flops == first + grouped
    assert trace(net, learn(), every(net)).flops == (first + grouped) + (first + 2 * grouped)
