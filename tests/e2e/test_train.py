"""The verb train, through the command line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fixtures.ctrl_c import ctrl_c
from fixtures.sunsets import HEIGHT, folder_of_sunsets
from pixelwise.cli.app import run
from pixelwise.files import checksum
from pixelwise.training.runs import WEIGHTS, read_checkpoint

KEYS = "run epochs steps train_loss val_loss val_accuracy train_seconds peak_memory_bytes"
FILES = "run.json metrics.jsonl model.onnx model.safetensors checkpoint.safetensors curves.png pictures.png"


@pytest.mark.slow
def test_training_prints_one_json_object_and_leaves_a_run(answer, tmp_path):
    small = ["--recipe", "fast", "--num-filters", 8]
    result = answer("train", "unet", "synthetic:shapes", *small, "--out", tmp_path / "run")
    assert set(result) == set(KEYS.split())
    assert result["val_accuracy"] > 30
    assert set(FILES.split()) <= {path.name for path in (tmp_path / "run").iterdir()}


@pytest.mark.slow
def test_ctrl_c_saves_and_resume_finishes(refused, program, tmp_path):
    args = ["train", "cnn", "synthetic:shapes", "--epochs", "500", "--out", str(tmp_path / "run"), "--json"]
    running = subprocess.Popen([*program, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    assert f"another process is training in {tmp_path / 'run'}; wait, or" in refused(*args)
    os.kill(running.pid, signal.SIGINT)
    _, messages = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "are saved in" in messages
    assert "--resume" in messages
    assert (tmp_path / "run" / "checkpoint.safetensors").is_file()
    told = refused(*args[:3], "--epochs", "400", *args[5:], "--resume")
    assert "train.epochs was 500, now 400" in told


TINY = ["unet", "synthetic:shapes", "--recipe", "fast", "--num-filters", "4", "--epochs", "2", "--seed", "3"]
TINY += ["--precision", "fp32"]  # as measured on a busy machine it may differ from run to run


def train_twice(folder, *options):
    """Leave a run that Ctrl-C stopped halfway, and one that nothing stopped."""
    assert run(["train", *options, "--out", str(folder / "whole")]) == 0
    with ctrl_c():
        assert run(["train", *options, "--out", str(folder / "stopped")]) == 130
    return folder


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    return train_twice(tmp_path_factory.mktemp("runs"), *TINY)


@pytest.fixture(scope="module")
def colournets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    source = f"folder:{folder_of_sunsets(folder / 'sunsets', 24)}"
    small = ["--epochs", "12", "--batch-size", "4", "--num-colours", "12", "--size", str(HEIGHT)]
    return train_twice(folder, "colournet", source, *small)


@pytest.fixture(params=["interrupted", "colournets"])
def runs(request):
    return request.getfixturevalue(request.param)


@pytest.mark.slow
def test_the_folder_is_all_it_takes_to_resume_bit_for_bit(runs, answer, tmp_path):
    stopped = shutil.copytree(runs / "stopped", tmp_path / "run")
    assert answer("train", "--resume", "-o", stopped)["run"] == str(stopped)
    assert checksum(stopped / WEIGHTS) == checksum(runs / "whole" / WEIGHTS)


@pytest.mark.parametrize("again", [TINY, TINY[:2], ["--epochs", "2"]], ids=" ".join)
@pytest.mark.slow
def test_what_is_given_again_when_resuming_may_be_the_same(answer, interrupted, again):
    answer("train", *again, "--resume", "-o", interrupted / "whole")  # of which nothing is left to do


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (["cnn", "synthetic:shapes"], "net.name was unet, now cnn"),
        (["unet", "cifar10:horse"], "source was synthetic:shapes, now cifar10:horse"),
        (["--recipe", "best"], "train.epochs was 2, now 38"),
        (["--epochs", "3"], "(train.epochs was 2, now 3)"),
        (["--seed", "4"], "(train.seed was 3, now 4)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.slow
def test_what_is_given_otherwise_when_resuming_is_refused(refused, interrupted, tmp_path, other, difference):
    told = refused("train", *other, "--resume", "-o", interrupted / "stopped", "--data-dir", tmp_path)
    assert difference in told
    assert "leave out what differs to go on with it, or choose another --out" in told


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["train"], "train needs NET and SOURCE. See pixelwise train --help."),
        (["train", "cnn", "synthetic:shapes", "--num-colours", "12"], "learned, not of handout24"),
        (["train", "unet", "synthetic:shapes", "--epochs", "many"], 'convert "many" into int. See pixelwise'),
        (["train", "unet", "synthetic:shapes", "--epoch", "3"], "Did you mean --epochs?"),
        (["train", "unet", "synthetic:shapes", "--resume"], "needed an interrupted run to resume"),
        (["train", "unet", "synthetic:shapes", "--palette", "none"], "none"),
        (["train", "unet", "nowhere:all"], "nowhere"),
        (["trian"], 'Unknown command "trian". Did you mean "train"?'),
        (["models", "x"], "See pixelwise models --help."),
    ],
)
def test_wrong_use_is_one_clear_line_and_exit_code_2(refused, tmp_path, args, message):
    own_out = ["--out", tmp_path / "run"] if args[0] == "train" and len(args) > 1 else []
    line = refused(*args, *own_out)
    assert line.startswith("pixelwise: ")
    assert message in line


def test_the_same_seed_gives_the_same_numbers_through_the_command_line(answer, tmp_path, monkeypatch):
    monkeypatch.setattr("pixelwise.training.report.write_report", lambda *_: tmp_path)  # slower than training
    photos = folder_of_sunsets(tmp_path / "photos", 16)
    command = ["train", "cnn", f"folder:{photos}", "--size", 16, "--num-filters", 2, "--epochs", 2]
    command += ["--precision", "fp32"]  # as measured on a busy machine it may differ from run to run
    one, same, other = (
        answer(*command, "--seed", seed, "--out", tmp_path / name)
        for name, seed in (("one", 3), ("same", 3), ("other", 4))
    )
    numbers = ("epochs", "steps", "train_loss", "val_loss", "val_accuracy")
    assert [one[name] for name in numbers] == [same[name] for name in numbers]
    assert one["train_loss"] != other["train_loss"]


@pytest.mark.slow
def test_it_learned_what_skies_and_seas_look_like(answer, colournets, tmp_path):
    others = folder_of_sunsets(tmp_path / "others", 6)
    scores = answer("evaluate", colournets / "whole", f"folder:{others}")
    assert scores["ciede2000"]["value"] < 0.7 * scores["baselines"]["mean ab"]["ciede2000"]["value"]
    assert 0.6 < scores["colourfulness_ratio"]["value"] < 1.4


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


@pytest.mark.slow
def test_losses_of_two_processes_are_those_of_one(tmp_path):
    script = tmp_path / "losses.py"
    script.write_text(LOSSES)
    running = [started([*command, script]) for command in ([sys.executable], TORCHRUN)]
    one, two = (json.loads(each.communicate(timeout=300)[0]) for each in running)
    assert len(one) == 12
    assert two == pytest.approx(one, abs=1e-4)
    assert one[-1] < one[0] - 0.01


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_kill_of_one_process_ends_the_other(tmp_path):
    running = started([*TORCHRUN, *TRAIN, "-o", tmp_path])
    wait_until((tmp_path / "metrics.jsonl").is_file)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    running.communicate(timeout=120)
    assert running.returncode != 0
    assert not any(Path(f"/proc/{child}").exists() for child in children)
