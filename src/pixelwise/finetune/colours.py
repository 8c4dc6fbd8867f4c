"""A colouriser from a few dozen photos: one linear layer on a frozen backbone, solved exactly.

What a head of masks is to classes with names, this is to classes that are colours. The photos are read as a
network reads them, grey, and each place of a quarter of their size belongs to the classes around its colour.
Features are not kept: at the size at which colours are read a look takes a few hundredths of a second.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from pixelwise.config import ColourFinetuneConfig, Device, LinearNetConfig
from pixelwise.data.places import chroma_of, coarsened
from pixelwise.errors import LabelError
from pixelwise.evaluate.colours import evaluate_photos
from pixelwise.evaluate.found import GREY, MEAN, MODEL
from pixelwise.features import PhotoLook, read_photo
from pixelwise.files import require_writable, write_text
from pixelwise.finetune.album import Album, open_album
from pixelwise.finetune.last_layer import DEFAULT_RIDGE, Gathered, best_ridge
from pixelwise.finetune.shots import looks, num_looks
from pixelwise.frozen import Certificate, certified
from pixelwise.head import Chosen, Moments, Solved, choose_ridge_by_loss, features_at, grid, solve
from pixelwise.labelspace import Palette
from pixelwise.models import LinearNet
from pixelwise.photos.ahead import worked_ahead
from pixelwise.processor import ONE_THREAD, choose_device
from pixelwise.progress import progress
from pixelwise.runs import open_model, write_model
from pixelwise.scores import Interval

_logger = logging.getLogger(__name__)
_COLOURS = 32  # as good as 64 of a few dozen photos, in half the time
_PLACES = 10_000  # in all: three times as many change CIEDE2000 by 0.02
_LEAST_A_LOOK = 20
SCORES = ("ciede2000", "ab_rmse", "colourfulness_ratio")
"""Of those of `scores.colour_scores`, what is told."""

Scores = dict[str, Interval]
"""Of photos, by name, as `scores.colour_scores` has them."""
Picture = UInt8[Tensor, "3 H W"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ColourResult:
    """What was learned, how good it is, and that nothing else changed."""

    config: ColourFinetuneConfig
    album: Album
    net: LinearNet
    palette: Palette
    solved: Solved
    chosen: Chosen | None
    certificate: Certificate
    num_looks: int
    extract_s: float
    """Seconds spent on reading photos and looking at them."""
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

    @property
    def ridge_scores(self) -> dict[str, float]:
        """Loss on photos left out by each ridge that was tried, in nats a place; none where one was given."""
        return {f"{ridge:g}": loss for ridge, loss in self.chosen.scores.items()} if self.chosen else {}

    def scores_told(self) -> list[str]:
        """The scores, a line each, for people to read; none where no photo was held out."""
        if not self.after:
            return []
        return [
            f"{name:8} CIEDE2000 {one['ciede2000'].value:5.2f}  RMSE of ab {one['ab_rmse'].value:5.2f}  "
            f"colourfulness {one['colourfulness_ratio'].value:.2f} of the originals'"
            for name, one in (*self.before.items(), ("learned", self.after))
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "task": "colour",
            "num_images": len(self.album.shots),
            "num_looks": self.num_looks,
            "num_colours": self.palette.num_classes,
            "num_learned": self.num_learned,
            "left_out": list(self.album.notes),
            "num_scored": len(self.album.held_out),
            "before": {name: _plain(scores) for name, scores in self.before.items()} or None,
            "after": _plain(self.after) if self.after else None,
            "extract_seconds": self.extract_s,
            "solve_seconds": self.solve_s,
            "score_seconds": self.score_s,
            "seconds": self.seconds,
            "ridge": self.solved.ridge,
            "ridge_scores": self.ridge_scores,
            "loss": self.solved.loss,
            "num_steps": self.solved.num_steps,
            "gradient_norm": self.solved.gradient_norm,
            "certificate": self.certificate.to_dict(),
        }


def finetune_colours(config: ColourFinetuneConfig, out: Path, device: Device = "auto") -> ColourResult:
    """Learn to colour as the photos of a folder are, and write it as a model to `out`, its card beside it.

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
    album = open_album(config)
    for note in album.notes:
        _logger.warning("%s", note)
    if not album.held_out:
        _logger.warning(
            "%s: all %d photos are learned from, so how good the model is cannot be told; give at least 5",
            config.source,
            len(album.shots),
        )
    result = _learn(config, album, device)
    write_model(out, result.net, result.net.config, result.palette, config.size)
    write_text(card_of(out), describe(result, out.stem))
    if album.held_out:
        score_start_s = time.perf_counter()
        result = _scored(result, out, device)
        result = replace(result, score_s=time.perf_counter() - score_start_s)
        write_text(card_of(out), describe(result, out.stem))
    return replace(result, seconds=time.perf_counter() - start_s)


def _learn(config: ColourFinetuneConfig, album: Album, device: Device) -> ColourResult:
    start_s = time.perf_counter()
    num = config.looks or num_looks(len(album.shots))
    wanted = [PhotoLook(path, view) for path in album.shots for view in looks(path.stem, num)]
    seen = [one.photo for one in wanted]
    read = functools.partial(_read, size=config.size)
    with ONE_THREAD:
        pictures = list(worked_ahead(read, iter(wanted), num_threads=2))
    palette = _learn_palette(pictures, config)
    net = LinearNet(LinearNetConfig(num_colours=palette.num_classes, backbone=config.backbone)).eval()
    net.requires_grad_(False).to(choose_device(device))
    with certified(net.backbone) as watch:
        gathered = _gather(net, palette, pictures, [album.shots.index(path) for path in seen])
        looked_s = time.perf_counter()
        solved, chosen = _solve(gathered, palette.num_classes, config.ridge)
        net.classes.weight.copy_(solved.weights.weight)
        net.classes.bias.copy_(solved.weights.bias)
    assert watch.certificate is not None
    return ColourResult(
        config=config,
        album=album,
        net=net,
        palette=palette,
        solved=solved,
        chosen=chosen,
        certificate=watch.certificate,
        num_looks=len(wanted),
        extract_s=looked_s - start_s,
        solve_s=time.perf_counter() - looked_s,
    )


def _read(look: PhotoLook, size: int) -> Picture:
    return read_photo(look.photo, size, LinearNet.stride, look.view)


def _learn_palette(pictures: Sequence[Picture], config: ColourFinetuneConfig) -> Palette:
    """Colours of the photos' places; fewer where they have fewer and no number was asked for."""
    places = torch.cat([coarsened(one[None]).flatten(2) for one in pictures], dim=2)[..., None]
    num = config.num_colours or _COLOURS
    while True:
        try:
            return Palette.learn(places, num, "ab", config.seed)[0]
        except LabelError:
            if config.num_colours or num == 1:
                raise
            num //= 2


def _gather(net: LinearNet, palette: Palette, pictures: Sequence[Picture], photos: Sequence[int]) -> Gathered:
    """Features and probabilities of classes of places on an even grid over each picture."""
    a_look = max(_LEAST_A_LOOK, _PLACES // len(pictures))
    gathered = []
    work = functools.partial(_gather_from, net, palette, a_look)
    with ONE_THREAD, progress("looking at photos", len(pictures)) as advance:
        for one in worked_ahead(work, zip(pictures, photos, strict=True), num_threads=2):
            gathered.append(one)
            advance(1, "")
    features, labels, numbers = (
        torch.cat([getattr(one, name) for one in gathered]) for name in ("features", "labels", "photos")
    )
    return Gathered(features, labels, numbers)


@torch.no_grad()
def _gather_from(net: LinearNet, palette: Palette, a_look: int, numbered: tuple[Picture, int]) -> Gathered:
    picture, photo = numbered
    grey = palette.read_grey(picture[None]).to(net.classes.weight.device)
    maps = [one[0].float().cpu() for one in net.look(grey)]
    shares = _probs(palette, picture)
    size = (shares.shape[1], shares.shape[2])
    places = grid(*size, max(1, round((size[0] * size[1] / a_look) ** 0.5)))
    probs = shares[:, places[:, 0], places[:, 1]].T
    return Gathered(features_at(maps, places, size), probs, torch.full((len(places),), photo))


def _probs(palette: Palette, picture: Picture) -> Tensor:
    """The share of each class in each place, (K, h, w)."""
    soft = palette.soft_labels(chroma_of(picture[None].float() / 255))
    shares = torch.zeros(1, palette.num_classes, *soft.classes.shape[2:])
    return shares.scatter_add_(1, soft.classes, soft.shares)[0]


def _solve(gathered: Gathered, num_classes: int, ridge: float | None) -> tuple[Solved, Chosen | None]:
    with ONE_THREAD:  # pixels are shared among threads already
        pixels = gathered.pixels(num_classes, None)
        moments, chosen = Moments.of(pixels), None
        if ridge is None:
            chosen = best_ridge(gathered, num_classes, None, moments, choose_ridge_by_loss)
            ridge = chosen.ridge if chosen else DEFAULT_RIDGE
        return solve(pixels, ridge, chosen.start if chosen else None, moments), chosen


def _scored(result: ColourResult, out: Path, device: Device) -> ColourResult:
    """The same with scores, of the model as it was written."""
    source, held_out = result.config.source, result.album.held_out
    found = evaluate_photos(open_model(out), source, held_out, [], device=device, seed=result.config.seed)
    before = {name: found.scores[name] for name in (GREY, MEAN) if name in found.scores}
    return replace(result, before=before, after=found.scores[MODEL])


def _plain(scores: Scores) -> dict[str, Any]:
    return {name: scores[name].to_dict() for name in SCORES}


def card_of(out: Path) -> Path:
    """Where the card of a model lies: beside it, under its name."""
    return out.with_name(f"{out.name.removesuffix('.safetensors')}.md")


def describe(result: ColourResult, name: str) -> str:
    """The card of a model: what it learned from, how good it is, what it cannot do."""
    album, solved, backbone = result.album, result.solved, result.net.backbone
    facts = {
        "learned from": f"{result.config.source}, {len(album.shots)} photos, {result.num_looks} looks",
        "backbone": f"{backbone.name} ({backbone.licence}), as it was published",
        "palette": f"{result.palette.num_classes} colours of Lab's a and b, of these photos",
        "read at": f"a short side of {result.config.size} pixels",
        "solved": f"{result.num_learned} numbers, ridge {solved.ridge:g}, {solved.num_steps} steps to a "
        f"gradient of {solved.gradient_norm:.1e}",
        "limits": "it knows what is in photos like these and guesses at others; what it gives are likely "
        "colours, which need not be those that things had",
    }
    parts = [
        f"# {name}",
        "A colouriser of photos: a frozen backbone and one linear layer, solved exactly by pixelwise.",
        "\n".join(f"- {fact}: {text}" for fact, text in facts.items()),
    ]
    if scores := result.scores_told():
        parts.append(f"On {len(album.held_out)} photos held out, none of them learned from:")
        parts.append("\n".join(f"    {line}" for line in scores))
    if album.notes:
        parts.append("Left out:")
        parts.append("\n".join(f"- {note.removeprefix('left out ')}" for note in album.notes))
    return "\n\n".join(parts) + "\n"
