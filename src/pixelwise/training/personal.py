"""A colouriser from a few dozen photos: one linear layer on a frozen backbone, solved exactly.

It is a head whose classes are colours. The photos are read as a network reads them, grey, and each place of a
quarter of their size belongs to the classes around its colour. Features are not kept: at the size at which
colours are read a forward pass takes a few hundredths of a second.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from pixelwise.colour.palette import Palette
from pixelwise.errors import LabelError
from pixelwise.evaluate.colour_result import GREY, MEAN, MODEL
from pixelwise.evaluate.colours import evaluate_photos
from pixelwise.evaluate.intervals import Interval
from pixelwise.files import require_writable, write_text
from pixelwise.labels.sources import require_source_folder
from pixelwise.network.config import ColourFinetuneConfig, Device, LinearNetConfig
from pixelwise.network.device import ONE_THREAD, choose_device
from pixelwise.network.frozen import Certificate, certified
from pixelwise.network.models.linear import LinearNet
from pixelwise.network.models.places import chroma_of, coarsened
from pixelwise.network.runs import open_model, write_model
from pixelwise.photos.colour_folder import ColourDataset, open_colour_folder
from pixelwise.photos.read_ahead import worked_ahead
from pixelwise.progress import progress
from pixelwise.segmenting.exact import PixelSample, num_views, solve_sample, views_of
from pixelwise.segmenting.extraction import CropView, read_photo
from pixelwise.segmenting.linear_head import features_at, grid
from pixelwise.segmenting.solve import Chosen, Solved
from pixelwise.segmenting.task import draw

_logger = logging.getLogger(__name__)
_COLOURS = 32  # as good as 64 of a few dozen photos, in half the time
_PLACES = 10_000  # in all: three times as many change CIEDE2000 by 0.02
_LEAST_A_PICTURE = 20
SCORES = ("ciede2000", "ab_rmse", "colourfulness_ratio")
"""Those of `scores.colour_scores` that are reported."""

Scores = dict[str, Interval]
"""Scores of photos, by the names of `scores.colour_scores`."""
Picture = UInt8[Tensor, "3 _H _W"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ColourResult:
    """What was learned, how good it is, and the proof that nothing else changed."""

    config: ColourFinetuneConfig
    dataset: ColourDataset
    net: LinearNet
    palette: Palette
    solved: Solved
    chosen: Chosen | None
    certificate: Certificate
    num_views: int
    extract_s: float
    """Seconds spent on reading photos and on their features."""
    solve_s: float
    before: dict[str, Scores] = field(default_factory=dict)
    """Of photos held out, left grey and in the mean colour of the others; empty where none is held out."""
    after: Scores | None = None
    score_s: float = 0.0
    seconds: float = 0.0

    @property
    def num_learned(self) -> int:
        """Numbers in the linear layer."""
        return self.solved.weights.num_learned

    def score_lines(self) -> list[str]:
        """Return the scores for people to read, a line each; none where no photo was held out."""
        if not self.after:
            return []
        return [
            f"{name:8} CIEDE2000 {one['ciede2000'].value:5.2f}  RMSE of ab {one['ab_rmse'].value:5.2f}  "
            f"colourfulness {one['colourfulness_ratio'].value:.2f} of the originals'"
            for name, one in (*self.before.items(), ("learned", self.after))
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; `ridge_scores` are losses on photos left out, nats a place."""
        solved, tried = self.solved, self.chosen.scores if self.chosen else {}
        return {
            "task": "colour",
            "num_images": len(self.dataset.train),
            "num_looks": self.num_views,
            "num_colours": self.palette.num_classes,
            "num_learned": self.num_learned,
            "left_out": list(self.dataset.notes),
            "num_scored": len(self.dataset.held_out),
            "before": {name: _plain(scores) for name, scores in self.before.items()} or None,
            "after": _plain(self.after) if self.after else None,
            "extract_seconds": self.extract_s,
            "solve_seconds": self.solve_s,
            "score_seconds": self.score_s,
            "seconds": self.seconds,
            "ridge": solved.ridge,
            "ridge_scores": {f"{ridge:g}": loss for ridge, loss in tried.items()},
            "loss": solved.loss,
            "num_steps": solved.num_steps,
            "gradient_norm": solved.gradient_norm,
            "certificate": self.certificate.to_dict(),
        }


def _plain(scores: Scores) -> dict[str, Any]:
    return {name: scores[name].to_dict() for name in SCORES}


def finetune_colours(config: ColourFinetuneConfig, out: Path, device: Device = "auto") -> ColourResult:
    """Learn to colour like the photos of a folder, and write a model to `out`, its card beside it.

    The model is written once it is learned; its card again with its scores. Where no photo is held out, since
    there are too few, there are no scores, and a warning says so.

    Raises:
        ConfigError: an option that cannot work, such as more shots than there are photos.
        DataError: there is no such folder, or no photo in colour in it.
        FrozenError: the backbone changed, which is a fault of ours.
        LabelError: the photos have fewer colours than are asked for.
        OutputError: the model cannot be written.
        PhotoError: a photo cannot be read any more.
    """
    start_s = time.perf_counter()
    require_writable(out)
    dataset = open_colour_folder(require_source_folder(config.source))
    dataset = replace(dataset, train=draw(dataset.train, config.shots, config.seed))
    for note in dataset.notes:
        _logger.warning("%s", note)
    if not dataset.held_out:
        _logger.warning(
            "%s: all %d photos are learned from, so there is no score of the model; give at least 5",
            config.source,
            len(dataset.train),
        )
    result = _learn(config, dataset, device)
    write_model(out, result.net, result.net.config, result.palette, config.size)
    write_text(card_of(out), describe(result, out.stem))
    if dataset.held_out:
        learned_s = time.perf_counter()
        held_out, model = dataset.held_out, open_model(out)
        found = evaluate_photos(model, config.source, held_out, [], device=device, seed=config.seed).scores
        before = {name: found[name] for name in (GREY, MEAN) if name in found}
        score_s = time.perf_counter() - learned_s
        result = replace(result, before=before, after=found[MODEL], score_s=score_s)
        write_text(card_of(out), describe(result, out.stem))
    return replace(result, seconds=time.perf_counter() - start_s)


def _learn(config: ColourFinetuneConfig, dataset: ColourDataset, device: Device) -> ColourResult:
    start_s = time.perf_counter()
    num = config.looks or num_views(len(dataset.train))
    wanted = [CropView(path, view) for path in dataset.train for view in views_of(path.stem, num)]

    def read(one: CropView) -> Picture:
        return read_photo(one.photo, config.size, LinearNet.stride, one.view)

    with ONE_THREAD:
        pictures = list(worked_ahead(read, iter(wanted), num_threads=2))
    palette = _learn_palette(pictures, config)
    net = LinearNet(LinearNetConfig(num_colours=palette.num_classes, backbone=config.backbone)).eval()
    net.requires_grad_(False).to(choose_device(device))
    with certified(net.backbone) as watch, ONE_THREAD:
        sample = _sample(net, palette, pictures, [dataset.train.index(one.photo) for one in wanted])
        extracted_s = time.perf_counter()
        solved, chosen = solve_sample(sample, palette.num_classes, None, config.ridge, by_loss=True)
        net.classes.weight.copy_(solved.weights.weight)
        net.classes.bias.copy_(solved.weights.bias)
    assert watch.certificate is not None
    return ColourResult(
        config=config,
        dataset=dataset,
        net=net,
        palette=palette,
        solved=solved,
        chosen=chosen,
        certificate=watch.certificate,
        num_views=len(wanted),
        extract_s=extracted_s - start_s,
        solve_s=time.perf_counter() - extracted_s,
    )


def _learn_palette(pictures: Sequence[Picture], config: ColourFinetuneConfig) -> Palette:
    """Return colours of the photos' places; fewer where they have fewer and no number was asked for."""
    places = torch.cat([coarsened(one[None]).flatten(2) for one in pictures], dim=2)[..., None]
    num = config.num_colours or _COLOURS
    while True:
        try:
            return Palette.learn(places, num, "ab", config.seed)
        except LabelError:
            if config.num_colours or num == 1:
                raise
            num //= 2


def _sample(
    net: LinearNet, palette: Palette, pictures: Sequence[Picture], photos: Sequence[int]
) -> PixelSample:
    """Return features and class probabilities of places on an even grid over each picture."""
    num = max(_LEAST_A_PICTURE, _PLACES // len(pictures))

    @torch.no_grad()
    def sample(picture_and_photo: tuple[Picture, int]) -> PixelSample:
        picture, photo = picture_and_photo
        grey = palette.read_grey(picture[None]).to(net.classes.weight.device)
        maps = [one[0].float().cpu() for one in net.look(grey)]
        soft = palette.soft_labels(chroma_of(picture[None].float() / 255))
        size = (soft.classes.shape[2], soft.classes.shape[3])
        probs = torch.zeros(1, palette.num_classes, *size).scatter_add_(1, soft.classes, soft.shares)[0]
        places = grid(*size, max(1, round((size[0] * size[1] / num) ** 0.5)))
        labels = probs[:, places[:, 0], places[:, 1]].T
        return PixelSample(features_at(maps, places, size), labels, torch.full((len(places),), photo))

    samples = []
    with progress("extracting features", len(pictures)) as advance:
        for one in worked_ahead(sample, zip(pictures, photos, strict=True), num_threads=2):
            samples.append(one)
            advance(1, "")
    return PixelSample.joined(samples)


def card_of(out: Path) -> Path:
    """Return where the card of a model lies: beside it, under its name."""
    return out.with_name(f"{out.name.removesuffix('.safetensors')}.md")


def describe(result: ColourResult, name: str) -> str:
    """Return the card of a model: what it learned from, how good it is, what it cannot do."""
    dataset, solved, backbone = result.dataset, result.solved, result.net.backbone
    lines = [
        f"# {name}\n",
        "A colouriser of photos: a frozen backbone and one linear layer, solved exactly by pixelwise.\n",
        f"- learned from: {result.config.source}, {len(dataset.train)} photos, {result.num_views} views",
        f"- backbone: {backbone.name} ({backbone.licence}), as it was published",
        f"- palette: {result.palette.num_classes} colours of Lab's a and b, of these photos",
        f"- read at: a short side of {result.config.size} pixels",
        f"- solved: {result.num_learned} numbers, ridge {solved.ridge:g}, {solved.num_steps} steps to a "
        f"gradient of {solved.gradient_norm:.1e}",
        "- limits: it knows what is in photos like these and guesses at others; its colours are likely, and "
        "need not be those that things had",
    ]
    if scores := result.score_lines():
        lines.append(f"\nOn {len(dataset.held_out)} photos held out, none of them learned from:\n")
        lines += [f"    {line}" for line in scores]
    if dataset.notes:
        lines.append("\nLeft out:\n")
        lines += [f"- {note.removeprefix('left out ')}" for note in dataset.notes]
    return "\n".join(lines) + "\n"
