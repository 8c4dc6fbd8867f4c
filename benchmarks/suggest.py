"""Which way of choosing photos to label raises the overlap soonest, measured on flowers17.

    python benchmarks/suggest.py [--seeds 8] [--data-dir DIR]

From 5 photos drawn by a seed, 5 more are chosen at a time until there are 20; after each time a head is
learned at ridge 0.1 on some 220 pixels of each photo and scored on as many of each photo of the part test.
Candidates are all photos of the part train; seeds differ in the start, and `laplace from 0` in nothing.
`random` draws; `entropy` and `margin` take the photos whose pixels are least certain on average; `distance`
those whose mean features are farthest from all labelled ones; `laplace` is `pixelwise suggest`, and
`laplace from 0` has chosen the first 5 as well, without any head. Given are means over seeds, and by how much
the mean of the later steps is ahead of that of `random`, with its standard error.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch
from torch import Tensor

from pixelwise.backbones import open_backbone
from pixelwise.data import LabelledPhoto, load_labelled
from pixelwise.features import FeatureCache
from pixelwise.finetune.last_layer import Look, gather
from pixelwise.finetune.suggest import Basis, choose, doubt, lattice
from pixelwise.head import Pixels, Weights, solve
from pixelwise.progress import progress, show_progress

STEP, LAST = 5, 20
PIXELS_A_PHOTO = 220
RIDGE = 0.1
CRITERIA = ("random", "entropy", "margin", "distance", "laplace", "laplace from 0")


class Pool:
    """Features of photos to choose from, all in memory."""

    def __init__(self, photos: tuple[LabelledPhoto, ...], cache: FeatureCache) -> None:
        backbone = open_backbone()
        with progress("looking at photos", len(photos)) as advance:
            maps = cache.maps([one.photo for one in photos], backbone, advance=advance)
        looks = [
            Look(i, one.read(), photo.read_labels())
            for i, (photo, one) in enumerate(zip(photos, maps, strict=True))
        ]
        self.pixels = [gather([look], PIXELS_A_PHOTO) for look in looks]
        self.lattices = torch.stack([lattice(look.maps) for look in looks])
        self.points = Basis.of(self.lattices[::2].flatten(0, 1)).project(self.lattices)
        means = self.points.mean(1)
        self.means = (means - means.mean(0)) / means.std(0)

    def joined(self, photos: list[int]) -> Pixels:
        """Labelled pixels of some photos."""
        features, labels = (
            torch.cat([getattr(self.pixels[index], name) for index in photos])
            for name in ("features", "labels")
        )
        return Pixels(features, labels, 2)


def pick(
    name: str, pool: Pool, head: Weights | None, left: list[int], known: list[int], rng: random.Random
) -> list[int]:
    """The next photos to label, of those `left`."""
    if name.startswith("laplace"):
        doubts = doubt(pool.lattices, head)
        chosen = choose(
            pool.points[left], doubts[left], pool.points[known], doubts[known], ridge=RIDGE, num=STEP
        )
        return [left[index] for index, _ in chosen]
    if name == "random":
        return rng.sample(left, STEP)
    if name == "distance":
        chosen = []
        for _ in range(STEP):
            far = torch.cdist(pool.means, pool.means[known + chosen]).min(1).values
            chosen.append(max(set(left) - set(chosen), key=lambda index: float(far[index])))
        return chosen
    probs = (pool.lattices[left] @ head.weight.T + head.bias).softmax(-1)
    score = (
        torch.special.entr(probs).sum(-1) if name == "entropy" else 1 - (probs[..., 0] - probs[..., 1]).abs()
    )
    return [left[index] for index in score.mean(1).topk(STEP).indices.tolist()]


def run(name: str, pool: Pool, test: Pixels, seed: int) -> list[float]:
    """Mean intersection over union at 5, 10, 15 and 20 photos."""
    rng = random.Random(seed)
    candidates = rng.sample(range(len(pool.pixels)), len(pool.pixels))
    known = pick(name, pool, None, candidates, [], rng) if name.endswith("0") else candidates[:STEP]
    scores = []
    head = None
    while True:
        head = solve(pool.joined(known), RIDGE, head, gradient_norm=3e-5).weights
        scores.append(test.confusion(head).miou)
        if len(known) == LAST:
            return scores
        left = [index for index in candidates if index not in known]
        known = known + pick(name, pool, head, left, known, rng)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    show_progress(True)
    labelled, cache = load_labelled("flowers17", options.data_dir), FeatureCache()
    pool = Pool(labelled.train, cache)
    held_out = Pool(labelled.test, cache)
    test = held_out.joined(list(range(len(held_out.pixels))))
    scores = torch.zeros(len(CRITERIA), options.seeds, LAST // STEP)
    with progress("choosing and learning", scores[..., 0].numel()) as advance:
        for seed in range(options.seeds):
            for place, name in enumerate(CRITERIA):
                scores[place, seed] = torch.tensor(run(name, pool, test, seed))
                advance(1, name)
    tell(scores)


def tell(scores: Tensor) -> None:
    later = scores[:, :, 1:].mean(-1)
    ahead = later - later[0]
    print("| choosing | " + " | ".join(str(n) for n in range(STEP, LAST + 1, STEP)) + " | ahead of random |")
    for name, means, gap in zip(CRITERIA, scores.mean(1), ahead, strict=True):
        told = " | ".join(f"{mean:.4f}" for mean in means.tolist())
        error = float(gap.std()) / len(gap) ** 0.5
        print(f"| {name} | {told} | {gap.mean():+.4f} ± {error:.4f} |")


if __name__ == "__main__":
    main()
