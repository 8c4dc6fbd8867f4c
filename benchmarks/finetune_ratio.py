"""How many times sooner a head is learned than by the handout's loop, and how good both are.

    PIXELWISE_DATA=FOLDER python benchmarks/finetune_ratio.py [--shots 0] [--draws 1] [--quick]

Both learn the last layer from the same photos of flowers17, in one process, one after the other. Ours looks
at each photo and solves (first run, nothing kept), then does it again for other labels, `flowers17:classes`,
with the features that are kept by then (second run). The handout's loop is ten epochs of Adam that read the
photos and run the backbone again for every batch, in single precision; other labels cost it the same again.
Seconds are from photos to a head, the backbone opened, certificates included; scoring, the same for both, is
not in them. Few photos are looked at several times by ours, which then gains less time and more quality.

For efficientnet_lite0 at the sizes it is read at and at the handout's 224 pixels; and, in time alone, for
deeplabv3_resnet101 with random weights: there ours is run whole, and the loop's seconds follow from an epoch
over a few photos and one over more. `--quick` takes few photos, learned from and scored: to see that it runs.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from pixelwise.backbones import Backbone, open_backbone
from pixelwise.config import FinetuneConfig
from pixelwise.data import LabelledPhotos, load_labelled
from pixelwise.data.labelled import LabelledPhoto
from pixelwise.evaluate.counting import count, fresh_features
from pixelwise.features import FeatureCache
from pixelwise.finetune.epochs import learn_in_epochs
from pixelwise.finetune.exact import learn_last_layer
from pixelwise.finetune.shots import draw
from pixelwise.finetune.task import FinetuneTask, LearnedHead
from pixelwise.processor import choose_device
from pixelwise.scores import SegmentationScores

SOURCE, OTHER_LABELS = "flowers17", "flowers17:classes"
HANDOUT_SIZE, EPOCHS = 224, 10
QUICK_SHOTS, QUICK_SCORED = 3, 6
NUM_TIMED = (4, 16)  # photos of the heavy backbone that its loop is timed over, fewer and more


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shots", type=int, default=0, help="photos to learn from; 0: all")
    parser.add_argument("--draws", type=int, default=1, help="how often, each time from other photos")
    parser.add_argument("--heavy", default="deeplabv3_resnet101", help="the backbone that is timed alone")
    parser.add_argument("--quick", action="store_true", help="few photos")
    options = parser.parse_args()
    device = choose_device("auto")
    print(f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {device}")
    labelled, other = load_labelled(SOURCE), load_labelled(OTHER_LABELS)
    num = options.shots or (QUICK_SHOTS if options.quick else len(labelled.train))
    every = len(labelled.test) // QUICK_SCORED if options.quick else 1
    scored = labelled.test[::every]
    for sizes in (open_backbone().sizes, (HANDOUT_SIZE,)):
        rounds = [compare(labelled, other, num, sizes, seed, scored) for seed in range(options.draws)]
        tell(f"efficientnet_lite0, photos read at {sizes}, {num} photos learned from", rounds)
    extrapolate(labelled, options.heavy, (1, 3) if options.quick else NUM_TIMED, num)


def compare(
    labelled: LabelledPhotos,
    other: LabelledPhotos,
    num: int,
    sizes: tuple[int, ...],
    seed: int,
    scored: tuple[LabelledPhoto, ...],
) -> dict[str, float]:
    """Seconds and IoU of one draw of photos."""
    with tempfile.TemporaryDirectory() as folder:
        cache = FeatureCache(Path(folder))
        first_s, first, task = ours(labelled, num, sizes, seed, cache)
        second_s, _, _ = ours(other, num, sizes, seed, cache)
        start_s = time.perf_counter()
        theirs = by_adam(replace(task, backbone=open_backbone()))
        loop_s = time.perf_counter() - start_s
        (mine, handouts) = (score(task, learned, scored) for learned in (first, theirs))
    return {
        "first_s": first_s,
        "extract_s": first.extract_s,
        "second_s": second_s,
        "loop_s": loop_s,
        "num_looks": first.num_views,
        "iou": mine.iou["flower"].value,
        "loop_iou": handouts.iou["flower"].value,
        "num_scored": mine.num_images,
    }


def ours(
    labelled: LabelledPhotos, num: int, sizes: tuple[int, ...], seed: int, cache: FeatureCache
) -> tuple[float, LearnedHead, FinetuneTask]:
    start_s = time.perf_counter()
    task = task_of(labelled, num, sizes, open_backbone(), cache, seed)
    learned = learn_last_layer(task)
    return time.perf_counter() - start_s, learned, task


def task_of(
    labelled: LabelledPhotos,
    num: int,
    sizes: tuple[int, ...],
    backbone: Backbone,
    cache: FeatureCache,
    seed: int,
) -> FinetuneTask:
    return FinetuneTask(
        config=FinetuneConfig(source=labelled.name, sizes=sizes, seed=seed),
        classes=labelled.classes,
        shots=draw(labelled.train, num, seed),
        backbone=backbone,
        sizes=sizes,
        cache=cache,
        device=choose_device("auto"),
    )


def by_adam(task: FinetuneTask, epochs: int = EPOCHS) -> LearnedHead:
    config = FinetuneConfig(
        source=task.config.source,
        sizes=task.sizes,
        solver="adam",
        epochs=epochs,
        seed=task.config.seed,
    )
    return learn_in_epochs(replace(task, config=config))


def score(task: FinetuneTask, learned: LearnedHead, photos: tuple[LabelledPhoto, ...]) -> SegmentationScores:
    sources = fresh_features(photos, learned.backbone, task.sizes, task.device)
    (counts,) = count([learned.weights], photos, sources)
    return SegmentationScores.of(counts, task.classes)


def tell(what: str, rounds: list[dict[str, float]]) -> None:
    def spread(values: list[float], digits: int) -> str:
        middle = f"{statistics.median(values):.{digits}f}"
        return middle + (
            f" ({min(values):.{digits}f} to {max(values):.{digits}f})" if len(values) > 1 else ""
        )

    def column(name: str, digits: int = 2) -> str:
        return spread([one[name] for one in rounds], digits)

    first = spread([one["loop_s"] / one["first_s"] for one in rounds], 1)
    second = spread([one["loop_s"] / one["second_s"] for one in rounds], 0)
    gain = spread([one["iou"] - one["loop_iou"] for one in rounds], 4)
    print(f"{what}, n = {len(rounds)}", flush=True)
    print(f"  handout's loop, {EPOCHS} epochs: {column('loop_s')} s, flower IoU {column('loop_iou', 4)}")
    print(
        f"  ours, first run: {column('first_s')} s, {column('extract_s')} of them {column('num_looks', 0)} "
        f"looks, flower IoU {column('iou', 4)}; {first} times sooner"
    )
    print(f"  ours, second run with other labels: {column('second_s')} s; {second} times sooner")
    print(f"  IoU more than the loop's, on {rounds[0]['num_scored']} photos: {gain}", flush=True)


def extrapolate(labelled: LabelledPhotos, name: str, num_timed: tuple[int, int], num: int) -> None:
    """Ours whole, and the loop from an epoch over fewer photos and one over more."""
    torch.manual_seed(0)
    backbone = open_backbone(name, random_weights=True)

    def task(num: int, cache: FeatureCache) -> FinetuneTask:
        made = task_of(labelled, num, (HANDOUT_SIZE,), backbone, cache, 0)
        return replace(made, config=replace(made.config, looks=1))

    with tempfile.TemporaryDirectory() as folder:
        whole = task(num, FeatureCache(Path(folder)))
        first_s, second_s = (timed(lambda: learn_last_layer(whole)) for _ in range(2))
        few_s, more_s = (timed(lambda n=n: by_adam(task(n, whole.cache), epochs=1)) for n in num_timed)
    fewer, more = num_timed
    each_s = (more_s - few_s) / (more - fewer)
    loop_s = few_s + (EPOCHS * num - fewer) * each_s
    print(
        f"{name}, random weights, photos read at {HANDOUT_SIZE}, {num} photos learned from\n"
        f"  handout's loop, {EPOCHS} epochs: would take {loop_s:.0f} s, from one epoch of {fewer} photos, "
        f"{few_s:.2f} s, and one of {more}, {more_s:.2f} s\n"
        f"  ours: {first_s:.1f} s, then {second_s:.2f} s: "
        f"{loop_s / first_s:.1f} and {loop_s / second_s:.0f} times sooner"
    )


def timed(work: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    work()
    return time.perf_counter() - start_s


if __name__ == "__main__":
    main()
