"""The optimiser and its schedule, on which device, until when, and recipes for all of it."""

import copy
import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from pixelwise.errors import ConfigError
from pixelwise.network.config import CNNConfig, TrainConfig, UNetConfig
from pixelwise.training import loop
from pixelwise.training.device import choose_device
from pixelwise.training.models.handout import MyConv2d
from pixelwise.training.optimise import Optimiser, rate_frac
from pixelwise.training.recipes import recipe, repeat
from pixelwise.training.stopping import finish_step_first


def loss_of(net) -> torch.Tensor:
    return net(torch.linspace(0, 1, 2 * 64).view(2, 1, 8, 8)).square().mean()


def take(optimiser, net, step) -> None:
    loss_of(net).backward()
    optimiser.step(step)


@pytest.mark.parametrize(("decay", "later"), [("linear", 2 / 3), ("cosine", (1 + math.cos(math.pi / 3)) / 2)])
def test_the_rate_climbs_along_a_line_and_falls_as_asked(decay, later):
    rates = [rate_frac(done, 0.25, decay) for done in (0.125, 0.25, 0.5, 1.0)]
    assert rates == pytest.approx([0.5, 1.0, later, 0.0])


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


def test_the_handout_recipe_has_the_handouts_numbers():
    config = recipe("handout", "unet", "cifar10:horse")
    train = config.train
    assert (train.epochs, train.batch_size, train.learning_rate, train.seed) == (25, 100, 0.001, 0)
    assert (train.optimiser, train.schedule, train.flip, train.crop_frac) == ("adam", "constant", False, 0.0)
    assert config.net == UNetConfig(kernel=3, num_filters=32, num_colours=24, num_in_channels=1)
    assert recipe("handout", "cnn", "cifar10:horse").train.learning_rate == 0.3
    assert recipe("handout", "cnn", "cifar10:horse").net == CNNConfig()


def test_given_values_replace_the_recipes_and_none_replaces_nothing():
    config = recipe("fast", "unet", "cifar10:cat", epochs=7, kernel=5, palette="other", batch_size=None)
    assert (config.train.epochs, config.net.kernel, config.palette) == (7, 5, "other")
    assert config.train.batch_size == recipe("fast", "unet", "cifar10:cat").train.batch_size


@pytest.mark.parametrize(
    ("name", "net", "changes", "offending"),
    [
        ("quick", "unet", {}, "'quick'"),
        ("fast", "colournet", {}, "'fast'"),
        ("fast", "resnet", {}, "'resnet'"),
        ("handout", "cnn", {"film": 0.5}, "film"),
        ("photo", "colournet", {"num_filters": 8}, "num filters"),
    ],
)
def test_what_does_not_exist_is_named(name, net, changes, offending):
    with pytest.raises(ConfigError, match=offending):
        recipe(name, net, "cifar10:horse", **changes)


@pytest.mark.parametrize(
    ("config", "command"),
    [
        (recipe("fast", "unet", "cifar10:horse"), "unet cifar10:horse --recipe fast"),
        (
            recipe("handout", "cnn", "folder:my photos", reshuffle=False, seed=7),
            "cnn 'folder:my photos' --recipe handout --fixed-order --seed 7",
        ),
        (
            recipe("best", "unet", "cifar10:all", palette="ab.json", kernel=5),
            "unet cifar10:all --recipe best --kernel 5 --palette ab.json",
        ),
        (
            recipe("photo", "colournet", "folder:mine", film=0.5, softness=1.0, size=128, num_colours=31),
            "colournet folder:mine --recipe photo --num-colours 31 --softness 1.0 --film 0.5 --size 128",
        ),
    ],
)
def test_the_command_to_repeat_names_only_what_differs_from_a_recipe(config, command):
    trained = replace(config, net=replace(config.net, num_colours=31))  # the palette's, set by training
    assert repeat(trained) == f"pixelwise train {command} --out again"


def test_a_program_repeats_what_no_command_can(monkeypatch):
    usual = recipe("best", "unet", "cifar10:all")
    config = replace(usual, net=replace(usual.net, skip_half=False), train=replace(usual.train, steps=7))
    trained = []
    monkeypatch.setattr(loop, "train_source", lambda *given: trained.append(given))
    exec(repeat(config), {})
    assert trained == [(config, Path("again"))]
