"""Training in several processes: what they come to, and what becomes of a run when one is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).parents[2] / "src"
FREQUENT = """
import sys
import pixelwise.train.run as training
training.CHECKPOINT_EVERY_S = 0.1
training.Run.save_is_due = lambda run: run.step % 3 == 0
if __name__ == "__main__":
    from pixelwise.cli import main
    main()
"""
TRAIN = [
    "train",
    "unet",
    "synthetic:shapes",
    "--num-filters",
    "2",
    "--precision",
    "fp32",
    "--batch-size",
    "99",
]


@pytest.fixture
def environment():
    return os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def script(tmp_path):
    """The command line, saving every few steps."""
    (tmp_path / "frequent.py").write_text(FREQUENT)
    return tmp_path / "frequent.py"


def started(command, environment):
    return subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finished(running):
    out, err = running.communicate(timeout=300)
    assert running.returncode == 0, err
    return json.loads(out.splitlines()[-1]), err


def saved_step(folder) -> int:
    from pixelwise.runs import read_checkpoint

    return read_checkpoint(folder).step if (folder / "checkpoint.safetensors").is_file() else 0


def wait_until(true) -> None:
    deadline = time.monotonic() + 300
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def workers_of(pid: int) -> list[int]:
    """The processes that train, in the order in which they were started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = {int(child): Path(f"/proc/{child}/cmdline").read_text() for child in children}
    return sorted(child for child, line in lines.items() if "spawn_main" in line)


def largest_difference(one: Path, other: Path) -> float:
    a, b = (load_file(folder / "model.safetensors") for folder in (one, other))
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


def test_a_killed_worker_costs_what_came_after_the_last_checkpoint(script, environment, tmp_path):
    train = [sys.executable, script, *TRAIN, "--epochs", 2, "--workers", 2, "--json"]
    undisturbed, _ = finished(started([*train, "-o", tmp_path / "whole"], environment))
    running = started([*train, "-o", tmp_path / "killed"], environment)
    wait_until(lambda: saved_step(tmp_path / "killed") >= 3)
    os.kill(workers_of(running.pid)[-1], signal.SIGKILL)
    result, messages = finished(running)
    assert "restart 1: going on from step" in messages
    assert result["processes"] == 2
    assert result["steps"] == undisturbed["steps"]
    assert result["val_loss"] == pytest.approx(undisturbed["val_loss"], abs=1e-5)
    assert largest_difference(tmp_path / "whole", tmp_path / "killed") < 1e-5
    steps = [json.loads(row)["step"] for row in (tmp_path / "killed/metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))


def test_ctrl_c_saves_once_and_another_number_of_processes_goes_on(script, environment, tmp_path):
    folder = tmp_path / "run"
    running = started(
        [sys.executable, script, *TRAIN, "--epochs", 3, "--workers", 2, "-o", folder], environment
    )
    wait_until(lambda: saved_step(folder) >= 3)
    running.send_signal(signal.SIGINT)
    _, messages = running.communicate(timeout=300)
    assert running.returncode == 130, messages
    assert messages.count("steps are saved in") == 1
    assert not (folder / "model.safetensors").exists()
    before = saved_step(folder)
    result, _ = finished(
        started([sys.executable, script, "train", "--resume", "-o", folder, "--json"], environment)
    )
    assert (result["processes"], result["steps"]) == (1, 63)
    assert 3 <= before < 63


def test_torchrun_starts_the_same(environment, tmp_path):
    torchrun = [Path(sys.executable).with_name("torchrun"), "--standalone", "--nproc-per-node", 2]
    small = [*TRAIN, "--epochs", 1, "--json", "-o", tmp_path / "run"]
    result, _ = finished(started([*torchrun, "-m", "pixelwise", *small], environment))
    assert (result["processes"], result["steps"]) == (2, 21)


def test_losses_are_those_of_one_process(environment):
    """In double precision to its last digits; in single, whose rounding training amplifies, to 1e-3."""
    benchmark = SOURCE.parent / "benchmarks" / "processes.py"
    done = subprocess.run(
        [sys.executable, benchmark, "6"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = {
        line.split(":")[0]: float(line.split("difference ")[1].split(";")[0])
        for line in done.stdout.splitlines()
    }
    assert set(found) == {"cnn fp32", "cnn fp64", "unet fp32", "unet fp64"}
    assert max(found["cnn fp64"], found["unet fp64"]) < 1e-10
    assert max(found["cnn fp32"], found["unet fp32"]) < 1e-3


@pytest.mark.parametrize(("num", "needed"), [(0, "at least 1"), (10_000, "at most ")])
def test_a_number_of_workers_that_cannot_be_is_refused(pixelwise, tmp_path, num, needed):
    done = pixelwise("train", "cnn", "synthetic:shapes", "--workers", num, "-o", tmp_path / "run")
    assert done.returncode == 2
    assert f"--workers needs to be {needed}" in done.stderr
    assert not (tmp_path / "run").exists()
