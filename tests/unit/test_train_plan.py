"""Plans of training against runs that are counted whole."""

from dataclasses import replace

import pytest
import torch

from pixelwise.config import RunConfig, TrainConfig, UNetConfig
from pixelwise.cost import Counting
from pixelwise.data import load_pictures
from pixelwise.train import train
from pixelwise.train.plan import Rehearsed, Steps, plan_train
from pixelwise.train.run import CHECKPOINT_EVERY_S

CPU = torch.device("cpu")
ADAM = RunConfig(
    net=UNetConfig(num_filters=4),
    source="synthetic:shapes",
    train=TrainConfig(epochs=2, batch_size=8, precision="fp32", crop_frac=0.5),
)
MUON = replace(
    ADAM, train=replace(ADAM.train, optimiser="muon", schedule="one-cycle", learning_rate=0.02, flip=True)
)


@pytest.fixture(scope="module")
def pictures():
    whole = load_pictures("synthetic:shapes", None, 0)
    return replace(whole, train=whole.train[:40], val=whole.val[:10])


@pytest.mark.parametrize("config", [ADAM, MUON], ids=["adam", "muon"])
def test_flops_and_memory_are_those_of_the_run(config, pictures, tmp_path):
    cost = plan_train({"mine": config}, pictures, CPU).policies["mine"]
    with Counting() as counted:
        train(config, pictures, tmp_path / "run", device="cpu")
    assert cost.flops == counted.flops
    _process, *tensors = cost.bytes_by
    assert sum(part.amount for part in tensors) == pytest.approx(counted.peak_bytes, rel=0.05)


def test_of_a_run_that_was_begun_the_rest_is_planned(pictures):
    whole, rest = (
        plan_train({"mine": ADAM}, pictures, CPU, begun=begun).policies["mine"] for begun in (0, 5)
    )
    assert [part.name for part in whole.seconds_by if "steps" in part.how] == ["quarters", "whole pictures"]
    assert [part.name for part in rest.seconds_by if "steps" in part.how] == ["whole pictures"]
    assert rest.flops < whole.flops


def test_seconds_are_those_of_each_kind_of_step_times_how_many_there_are():
    rehearsed = Rehearsed(
        num_learned=7,
        setup_s=0.5,
        setup_bytes=100,
        step_bytes=1000,
        steps=(Steps("quarters", 30, 1.0, 10), Steps("whole pictures", 2.5, 4.0, 40)),
        num_validations=3,
        validation_s=2.0,
        validation_flops=5,
        save_s=0.25,
    )
    cost = rehearsed.cost(started_s=1.0, held_bytes=10_000)
    num_saves = 1 + int(40 // CHECKPOINT_EVERY_S)
    assert cost.seconds == 1.0 + 0.5 + 30.0 + 10.0 + 6.0 + num_saves * 0.25
    assert cost.flops == 300 + 100 + 15
    assert cost.memory_bytes == 11_100
