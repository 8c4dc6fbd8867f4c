"""How far training on 2 processes is from training on 1: python benchmarks/processes.py.

The same batches of generated pictures, uneven ones among them, to the same networks by Adam; the largest
difference of the losses, step by step, in fp32 and in double precision; and pictures a second on each.
The number of steps may be given; it is 50.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from pathlib import Path

import torch

from pixelwise.config import CNNConfig, RunConfig, TrainConfig, UNetConfig
from pixelwise.data import load_pictures
from pixelwise.launch import launch
from pixelwise.processes import ALONE, Processes, joined
from pixelwise.train import run as training

NETS = {"cnn": CNNConfig(num_filters=8), "unet": UNetConfig(num_filters=8)}


def computing_in(kind: torch.dtype, net: torch.nn.Module) -> torch.nn.Module:
    """The same network, in single or double precision."""
    net.to(kind).register_forward_pre_hook(lambda _net, read: tuple(one.to(kind) for one in read))
    return net


def trace(folder: str, steps: int, group: Processes = ALONE) -> int:
    """Losses of some steps of each network and precision, and pictures a second; the first writes them."""
    build, found = training.build, {}
    pictures = load_pictures("synthetic:shapes", None, 0)
    for name, precise in itertools.product(NETS, (False, True)):
        kind = torch.float64 if precise else torch.float32
        training.build = lambda config, kind=kind: computing_in(kind, build(config))
        train = TrainConfig(epochs=100, batch_size=63, precision="fp32", flip=True)  # batches end uneven
        config = RunConfig(net=NETS[name], source=pictures.name, train=train)
        with tempfile.TemporaryDirectory() as out:
            run = training.Run(config, pictures, Path(out), torch.device("cpu"), None, group)
            start_s = time.perf_counter()
            losses = [run.learn() for _ in range(steps)]
            a_second = steps * train.batch_size / (time.perf_counter() - start_s)
        found[f"{name} {'fp64' if precise else 'fp32'}"] = {"losses": losses, "a_second": a_second}
    training.build = build
    if group.leads:
        Path(folder, f"{group.num}.json").write_text(json.dumps(found))
    return 0


def trace_in_group(folder: str, steps: int) -> int:
    with joined(torch.device("cpu")) as group:
        return trace(folder, steps, group)


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory() as folder:
        trace(folder, steps)
        launch(2, trace_in_group, folder, steps)
        one, two = (json.loads(Path(folder, f"{num}.json").read_text()) for num in (1, 2))
    for name in one:
        pairs = list(zip(one[name]["losses"], two[name]["losses"], strict=True))
        difference = max(abs(a - b) for a, b in pairs)
        relative = max(abs(a - b) / a for a, b in pairs)
        speeds = " and ".join(f"{found[name]['a_second']:.0f}" for found in (one, two))
        print(
            f"{name}: {steps} steps, largest difference {difference:.1e}; "
            f"of the loss {relative:.1e}; {speeds} pictures a second"
        )


if __name__ == "__main__":
    main()
