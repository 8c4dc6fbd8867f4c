"""Training in two processes, by a real torchrun: losses as of one process, Ctrl-C saves, a kill ends both."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pixelwise.training.runs import read_checkpoint

pytestmark = pytest.mark.slow

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
TRAIN = ["-m", "pixelwise", "train", "cnn", "synthetic:shapes", "--num-filters", "2", "--epochs", "500"]
LOSSES = """
import json, sys
from dataclasses import replace
import torch
from torch import nn
from pixelwise.network.config import RunConfig, TrainConfig, UNetConfig
from pixelwise.training.data.sources import load_pictures
from pixelwise.training.distributed import process_group, rank
from pixelwise.training.loop import Run

pictures = load_pictures("synthetic:shapes", None, 0)
pictures = replace(pictures, train=pictures.train[:22], val=pictures.val[:4])  # batches of 7, 7, 7 and 1
train = TrainConfig(batch_size=7, flip=True, crop_frac=0.2, precision="fp32", epochs=3)
config = RunConfig(net=UNetConfig(num_filters=3), source=pictures.name, train=train)
with process_group("cpu"):
    run = Run(config, pictures, torch.device("cpu"))
    run.net.train = lambda mode=True: nn.Module.train(run.net, False)  # batch norm that sees no batch
    losses = [run.train_step() for _ in range(run.num_steps)]
    if rank() == 0:
        print(json.dumps(losses))
"""


def started(command) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src"), "OMP_NUM_THREADS": "1"}
    command = [str(part) for part in command]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def wait_until(true) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_losses_of_two_processes_are_those_of_one(tmp_path):
    script = tmp_path / "losses.py"
    script.write_text(LOSSES)
    running = [started([*command, script]) for command in ([sys.executable], TORCHRUN)]
    one, two = (json.loads(each.communicate(timeout=300)[0]) for each in running)
    assert len(one) == 12
    assert two == pytest.approx(one, abs=1e-4)
    assert one[-1] < one[0] - 0.01


def test_ctrl_c_saves_once_and_rank_0_alone_speaks(tmp_path):
    running = started([*TORCHRUN, *TRAIN, "--json", "-o", tmp_path])
    metrics = tmp_path / "metrics.jsonl"
    wait_until(lambda: metrics.is_file() and metrics.read_text())
    running.send_signal(signal.SIGINT)
    out, messages = running.communicate(timeout=120)
    assert running.returncode != 0
    assert out == ""
    assert messages.count("steps are saved in") == 1
    assert read_checkpoint(tmp_path).step >= json.loads(metrics.read_text().splitlines()[-1])["step"]


def test_a_kill_of_one_process_ends_the_other(tmp_path):
    running = started([*TORCHRUN, *TRAIN, "-o", tmp_path])
    wait_until((tmp_path / "metrics.jsonl").is_file)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    running.communicate(timeout=120)
    assert running.returncode != 0
    assert not any(Path(f"/proc/{child}").exists() for child in children)
