"""What share of the processor's own bf16 speed training reaches in its convolutions, layer by layer.

    python benchmarks/ceiling.py [--recipe fast] [--net unet] [--batch-size 50] [--steps 30]

The ceiling is a product of large bf16 matrices, measured before and after the steps in the same run. Each
convolution's seconds, forward and backward, are the profiler's within whole steps of training, so that data
comes and goes as it really does. Its multiplications are counted by its shapes: once forward, once for the
gradient by weights, once by inputs, where there is one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from pixelwise.data import load_pictures
from pixelwise.processor import processor_name
from pixelwise.recipes import recipe
from pixelwise.train.loop import Run

SIDE, REPEATS, WARM_UP = 2048, 15, 6
FORWARD, BACKWARD = "aten::convolution", "aten::convolution_backward"


@dataclass
class Layer:
    """One shape of convolution: how often it came, and what it took."""

    flops: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--net", choices=["cnn", "unet"], default="unet")
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--batch-size", type=int, default=None)
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    config = recipe(
        options.recipe,
        options.net,
        "synthetic:shapes",
        precision="bf16",
        batch_size=options.batch_size,
        crop_frac=0.0,  # all steps on whole pictures: one shape a layer
        epochs=100,
    )
    before = ceiling()
    run = Run(config, load_pictures(config.source, None, 0), torch.device("cpu"))
    layers, step_s = steps(run, options.steps)
    speed = statistics.median([*before, *ceiling()])
    threads = torch.get_num_threads()
    print(f"{processor_name()}, {threads} threads, torch {torch.__version__}, n = {options.steps} steps")
    print(f"ceiling, a bf16 product of {SIDE} x {SIDE}: {speed / 1e9:.0f} GFLOP/s (n = {2 * REPEATS})")
    report(layers, step_s, speed, config.train.batch_size)


def ceiling() -> list[float]:
    """FLOP/s of a large bf16 matrix product, several times."""
    one, other = (torch.randn(SIDE, SIDE, dtype=torch.bfloat16) for _ in range(2))
    found = []
    for _ in range(REPEATS + 1):
        start_s = time.perf_counter()
        one @ other
        found.append(2 * SIDE**3 / (time.perf_counter() - start_s))
    return found[1:]


def steps(run: Run, num: int) -> tuple[dict[tuple[object, ...], Layer], float]:
    """Each convolution by its shapes, over so many steps, and the seconds of a step without a profiler."""
    for _ in range(WARM_UP):
        run.train_step()
    taken = []
    for _ in range(num):
        start_s = time.perf_counter()
        run.train_step()
        taken.append(time.perf_counter() - start_s)
    needed = inputs_needed(run)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as found:
        for _ in range(num):
            run.train_step()
    layers: dict[tuple[object, ...], Layer] = defaultdict(Layer)
    for event in found.key_averages(group_by_input_shape=True):
        shapes = [tuple(shape) for shape in event.input_shapes if shape]
        if event.key == FORWARD:
            seen, weight = shapes[0], shapes[1]
            layer = layers[seen, weight]
            layer.flops += event.count * flops(seen, weight) * (3 if needed[weight] else 2) / num
        elif event.key == BACKWARD:
            layer = layers[shapes[1], shapes[2]]
        else:
            continue
        layer.seconds[event.key] += event.cpu_time_total / 1e6 / num
    return layers, statistics.median(taken)


def inputs_needed(run: Run) -> dict[tuple[int, ...], bool]:
    """By the shape of its weights: whether a convolution's input has a gradient; the first one's has none."""
    needed: dict[tuple[int, ...], bool] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        weight = layer.get_parameter("weight")
        needed[tuple(weight.shape)] = inputs[0].requires_grad

    layers = [one for one in run.net.modules() if getattr(one, "weight", torch.empty(0)).dim() == 4]
    hooks = [one.register_forward_pre_hook(note) for one in layers]
    run.train_step()
    for hook in hooks:
        hook.remove()
    return needed


def flops(seen: tuple[int, ...], weight: tuple[int, ...]) -> float:
    """Of a convolution that keeps height and width: two for each weight at each place."""
    num, _, height, width = seen
    return 2.0 * num * height * width * float(torch.Size(weight).numel())


def report(layers: dict[tuple[object, ...], Layer], step_s: float, ceiling: float, batch_size: int) -> None:
    print(f"{'convolution':34} {'GFLOP':>7} {'fwd ms':>7} {'bwd ms':>7} {'of ceiling':>10} {'of step':>8}")
    for (seen, weight), layer in sorted(layers.items(), key=lambda item: -sum(item[1].seconds.values())):
        forward, backward = layer.seconds[FORWARD], layer.seconds[BACKWARD]
        share = layer.flops / (forward + backward) / ceiling
        name = f"{' x '.join(map(str, seen))}, {weight[0]} out"
        print(
            f"{name:34} {layer.flops / 1e9:7.2f} {1e3 * forward:7.2f} {1e3 * backward:7.2f} "
            f"{share:10.1%} {(forward + backward) / step_s:8.1%}"
        )
    flops = sum(layer.flops for layer in layers.values())
    seconds = sum(sum(layer.seconds.values()) for layer in layers.values())
    print(
        f"convolutions: {flops / seconds / ceiling:.1%} of the ceiling, in {1e3 * seconds:.1f} ms of a "
        f"step's {1e3 * step_s:.1f}; whole steps: {flops / step_s / ceiling:.1%}, "
        f"{batch_size / step_s:.0f} pictures/s"
    )


if __name__ == "__main__":
    main()
