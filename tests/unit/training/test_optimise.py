"""The optimiser: its schedule, its matrices, its state."""

import copy
import math
import os
import signal

import pytest
import torch
from torch import nn

from pixelwise.errors import ConfigError
from pixelwise.network.config import CNNConfig, TrainConfig
from pixelwise.training.device import choose_device
from pixelwise.training.models import build
from pixelwise.training.models.handout import MyConv2d
from pixelwise.training.optimise import Optimiser, rate_frac
from pixelwise.training.stopping import finish_step_first

MUON = TrainConfig(optimiser="muon", schedule="one-cycle", warmup_frac=0.25, learning_rate=0.1)


def loss_of(net) -> torch.Tensor:
    return net(torch.linspace(0, 1, 2 * 64).view(2, 1, 8, 8)).square().mean()


def take(optimiser, net, step) -> None:
    loss_of(net).backward()
    optimiser.step(step)


@pytest.mark.parametrize(
    ("decay", "done", "expected"),
    [
        ("linear", 0.125, 0.5),
        ("cosine", 0.125, 0.5),
        ("linear", 0.25, 1.0),
        ("cosine", 0.25, 1.0),
        ("linear", 0.5, 2 / 3),
        ("cosine", 0.5, (1 + math.cos(math.pi / 3)) / 2),
        ("linear", 1.0, 0.0),
        ("cosine", 1.0, 0.0),
    ],
)
def test_the_rate_climbs_along_a_line_and_falls_as_asked(decay, done, expected):
    assert rate_frac(done, 0.25, decay) == pytest.approx(expected)


def plain() -> nn.Module:
    """Without batch norm, under which a bias gets nothing but rounding for a gradient."""
    torch.manual_seed(0)
    return nn.Sequential(MyConv2d(1, 3, 3), nn.Tanh(), MyConv2d(3, 2, 3))


def test_muon_moves_each_convolution_as_the_matrix_of_its_unfolded_product():
    net = plain()
    start = net[2].weight.detach().clone()
    optimiser = Optimiser(net, TrainConfig(optimiser="muon", muon_rate=0.1, momentum=0.9), num_steps=10)
    matrix = nn.Parameter(start.flatten(1).clone())
    matrix.grad = torch.autograd.grad(loss_of(net), net[2].weight)[0].flatten(1)
    take(optimiser, net, 0)
    torch.optim.Muon([matrix], lr=0.1, momentum=0.9, weight_decay=0.0, ns_steps=3).step()
    assert torch.equal(net[2].weight.detach().flatten(1), matrix.detach())
    assert (net[2].weight - start).norm() > 0.05


def test_adam_is_torchs_adam():
    net = plain()
    reference = copy.deepcopy(net)
    optimiser = Optimiser(net, TrainConfig(learning_rate=0.01), 10)
    adam = torch.optim.Adam(reference.parameters(), 0.01)
    for step in range(3):
        take(optimiser, net, step)
        adam.zero_grad()
        loss_of(reference).backward()
        adam.step()
    for ours, theirs in zip(net.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("config", [MUON, TrainConfig()], ids=["muon", "adam"])
def test_a_restored_optimiser_goes_on_as_the_first(config):
    net = build(CNNConfig(num_filters=2))
    optimiser = Optimiser(net, config, 10)
    for step in range(3):
        take(optimiser, net, step)
    twin = copy.deepcopy(net)
    other = Optimiser(twin, config, 10)
    other.restore({name: tensor.clone() for name, tensor in optimiser.state().items()})
    take(optimiser, net, 3)
    take(other, twin, 3)
    assert all(map(torch.equal, net.parameters(), twin.parameters()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_waits_and_the_second_stops(number):
    before = signal.getsignal(number)
    with finish_step_first() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


CPU = torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_a_gpu_that_is_not_there_is_said_to_be_missing():
    assert choose_device("auto") == CPU
    with pytest.raises(ConfigError, match="cuda"):
        choose_device("cuda")
