"""Batches in parts and shares: nothing is lost or counted twice."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from pixelwise.config import RunConfig, TrainConfig, UNetConfig
from pixelwise.data import load_pictures
from pixelwise.errors import ConfigError
from pixelwise.processes import ALONE, Processes
from pixelwise.train import run as training
from pixelwise.train.together import DropoutTogether, draw_as_whole, parts_of, see_whole_batches, shared

CONFIG = RunConfig(
    net=UNetConfig(num_filters=2),
    source="synthetic:shapes",
    train=TrainConfig(batch_size=7, precision="fp32", flip=True, rebalance=0.5),
)


@pytest.mark.parametrize(("num", "accumulate", "processes"), [(63, 1, 2), (1, 1, 2), (10, 3, 2), (7, 2, 3)])
def test_parts_and_shares_cover_a_batch_once(num, accumulate, processes):
    places = [
        list(range(num))[part]
        for rank in range(processes)
        for part in parts_of(num, accumulate, Processes(rank, processes))
    ]
    assert sorted(itertools.chain(*places)) == list(range(num))


def test_shares_differ_by_one_at_most():
    sizes = [part.stop - part.start for part in (Processes(rank, 4).part(0, 10) for rank in range(4))]
    assert sorted(sizes) == [2, 2, 3, 3]


def without_norm(net: nn.Module) -> nn.Module:
    """Nothing mixes the pictures of a batch any more."""
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            parent, _, own = name.rpartition(".")
            setattr(net.get_submodule(parent), own, nn.Identity())
    return net.double().requires_grad_(True)


def losses(folder, monkeypatch, accumulate: int) -> list[float]:
    build = training.build

    def in_double(config):
        net = without_norm(build(config))
        net.register_forward_pre_hook(lambda _net, read: tuple(one.double() for one in read))
        return net

    with monkeypatch.context() as patch:
        patch.setattr(training, "build", in_double)
        config = replace(CONFIG, train=replace(CONFIG.train, accumulate=accumulate))
        pictures = load_pictures("synthetic:shapes", None, 0)
        pictures = replace(pictures, train=pictures.train[:17], val=pictures.val[:5])
        run = training.Run(config, pictures, folder, torch.device("cpu"), None)
        return [run.learn() for _ in range(6)]  # every third batch has 3 pictures


def test_parts_of_a_batch_add_up_to_its_loss_and_gradient(tmp_path, monkeypatch):
    whole = losses(tmp_path / "1", monkeypatch, 1)
    assert losses(tmp_path / "3", monkeypatch, 3) == pytest.approx(whole, abs=1e-9)
    assert whole[0] != pytest.approx(whole[3], abs=1e-3)


def test_a_batch_too_small_for_its_parts_is_refused():
    with pytest.raises(ConfigError, match="each of 4 processes and 2 parts of a batch, got a batch of 7"):
        shared(nn.Identity(), replace(CONFIG.train, accumulate=2), Processes(1, 4))
    with pytest.raises(ConfigError, match="accumulate needs to be from 1 to the batch size, 7, got 8"):
        replace(CONFIG.train, accumulate=8)


def test_dropout_of_parts_is_that_of_the_whole_batch():
    net = nn.Sequential(nn.Dropout2d(0.5))
    see_whole_batches(net, ALONE, shared_norm=True, in_parts=True)
    assert isinstance(net[0], DropoutTogether)
    ones, seen = torch.ones(9, 4, 2, 2), []
    for part in (slice(0, 4), slice(4, 9)):
        draw_as_whole(net, 5, part, 9)
        seen.append(net(ones[part]))
    torch.manual_seed(5)
    assert torch.equal(torch.cat(seen), nn.Dropout2d(0.5)(ones))


def test_alone_nothing_is_exchanged():
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout2d(0.5))
    assert shared(net, CONFIG.train, ALONE) is net
    assert [type(module) for module in net] == [nn.BatchNorm2d, nn.Dropout2d]
