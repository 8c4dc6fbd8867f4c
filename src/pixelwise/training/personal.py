"""A colouriser from a few dozen photos: one linear layer on a frozen backbone, solved exactly.

It is a head whose classes are colours: each place of a quarter of a photo's size belongs to the classes
around its colour. Features are not kept: a forward pass takes a few hundredths of a second.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float, Float32, UInt8
from pixelwise.colour.palette import Palette, softmax
from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.errors import ConfigError, LabelError
from pixelwise.evaluate.colours import GREY, MEAN, MODEL, evaluate_photos
from pixelwise.evaluate.intervals import Interval
from pixelwise.files import require_learnable
from pixelwise.labels.sources import require_source_folder
from pixelwise.network.backbone import Backbone, certified, open_backbone
from pixelwise.network.config import ColourFinetuneConfig, Device
from pixelwise.network.model import LinearModel, write_linear_model
from pixelwise.photos.colour_folder import ColourDataset, open_colour_folder
from pixelwise.photos.read_ahead import worked_ahead
from pixelwise.photos.resize import pool
from pixelwise.report.page import write_page
from pixelwise.segmenting.exact import PixelSample, SampledView, solve_choosing_ridge, views_of
from pixelwise.segmenting.extraction import CropView, read_photo
from pixelwise.segmenting.heads import HeadFacts
from pixelwise.segmenting.linear_head import features_at, grid
from pixelwise.segmenting.solve import SolvedHead
from pixelwise.training.finetune_task import draw, facts_of

_logger = logging.getLogger(__name__)
_NUM_NEAR, _SIGMA = 5, 5.0  # classes that a place is shared by, and how fast shares fall, in Lab units
_COLOURS = 32  # as good as 64 of a few dozen photos, in half the time
_PLACES = 10_000  # in all: three times as many change CIEDE2000 by 0.02
_LEAST_A_PICTURE = 20
_SCORES = {"ciede2000": "CIEDE2000", "ab_rmse": "RMSE of ab", "colourfulness_ratio": "colourfulness"}
Picture = UInt8[ndarray, "3 _H _W"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ColourResult:
    """The model that was learned, how good it is, and the proof that nothing else changed."""

    config: ColourFinetuneConfig
    dataset: ColourDataset
    model: LinearModel
    solved: SolvedHead
    facts: HeadFacts
    extract_s: float  # seconds spent on reading photos and on their features
    solve_s: float
    scores: dict[str, dict[str, Interval]] = field(default_factory=dict)  # of photos held out, if any
    score_s: float = 0.0
    seconds: float = 0.0

    def score_lines(self) -> list[str]:
        """Return the scores for people to read, a line each; none where no photo was held out."""
        return [
            f"{name:8} " + "  ".join(f"{title} {scores[key].value:5.2f}" for key, title in _SCORES.items())
            for name, scores in self.scores.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; `ridge_scores` are losses on photos left out, nats a place."""
        scores = {name: {key: found[key].to_dict() for key in _SCORES} for name, found in self.scores.items()}
        return {
            "task": "colour",
            "num_images": len(self.dataset.train),
            "num_colours": self.model.palette.num_classes,
            "num_learned": self.solved.weights.num_learned,
            "left_out": list(self.dataset.notes),
            "num_scored": len(self.dataset.held_out),
            "after": scores.pop(MODEL, None),
            "before": scores or None,
            "extract_seconds": self.extract_s,
            "solve_seconds": self.solve_s,
            "score_seconds": self.score_s,
            "seconds": self.seconds,
        } | self.facts.to_dict()


def finetune_colours(config: ColourFinetuneConfig, out: Path, device: Device = "auto") -> ColourResult:
    """Learn to colour like the photos of a folder, and write a model to `out`, its card beside it.

    Where there are too few photos to hold any out, there are no scores, and a warning says so.

    Raises:
        ConfigError: an option that cannot work, such as more shots than there are photos.
        DataError: there is no such folder, or no photo in colour in it.
        LabelError: the photos have fewer colours than are asked for.
        OutputError: the model cannot be written.
    """
    start_s = time.perf_counter()
    require_learnable(out)
    dataset = open_colour_folder(require_source_folder(config.source))
    dataset = replace(dataset, train=draw(dataset.train, config.shots, config.seed))
    for note in dataset.notes:
        _logger.warning("%s", note)
    if not dataset.held_out:
        all_of = f"{config.source}: all {len(dataset.train)} photos are learned from"
        _logger.warning("%s, so there is no score of the model; give at least 5", all_of)
    result = _learn(config, dataset, device)
    write_linear_model(out, result.model)
    write_page(card_of(out), "linear.md", name=out.stem, result=result)
    learned_s = time.perf_counter()
    if held_out := dataset.held_out:
        model = replace(result.model, name=str(out))
        found = evaluate_photos(model, config.source, held_out, seed=config.seed)
        scores = {name: found.scores[name] for name in (GREY, MEAN, MODEL) if name in found.scores}
        result = replace(result, scores=scores, score_s=time.perf_counter() - learned_s)
        write_page(card_of(out), "linear.md", name=out.stem, result=result)
    return replace(result, seconds=time.perf_counter() - start_s)


def _learn(config: ColourFinetuneConfig, dataset: ColourDataset, device: Device) -> ColourResult:
    start_s = time.perf_counter()
    wanted = views_of(dataset.train, config.looks)

    def read(crop: CropView) -> Picture:
        return read_photo(crop.photo, config.size, LinearModel.stride, crop.view)

    backbone = open_backbone(config.backbone, device=device)
    if LinearModel.stride % backbone.multiple:
        raise ConfigError(
            f"needed a backbone that reads multiples of {LinearModel.stride} pixels, {backbone.name} reads "
            f"those of {backbone.multiple}; take efficientnet_lite0"
        )
    pictures = list(worked_ahead(read, iter(wanted), num_threads=2))
    palette = _learn_palette(pictures, config)
    with certified(backbone) as certificate:
        photos = [dataset.train.index(crop.photo) for crop in wanted]
        sample = _sample(backbone.in_threads(1), palette, pictures, photos)
        extracted_s = time.perf_counter()
        solved = solve_choosing_ridge(sample, palette.num_classes, None, config.ridge, by_loss=True)
    model = LinearModel(
        name="learned",
        palette=palette,
        size=config.size,
        checksum="",
        trained_on=config.source,
        backbone=backbone,
        weight=solved.weights.weight,
        bias=solved.weights.bias,
    )
    return ColourResult(
        config=config,
        dataset=dataset,
        model=model,
        solved=solved,
        facts=replace(facts_of(solved), certificate=certificate, num_looks=len(wanted)),
        extract_s=extracted_s - start_s,
        solve_s=time.perf_counter() - extracted_s,
    )


def _learn_palette(pictures: Sequence[Picture], config: ColourFinetuneConfig) -> Palette:
    """Return colours of the photos' places; fewer where they have fewer and no number was asked for."""
    coarse = [pool(picture.astype(np.float32), _size_of(picture)).round() for picture in pictures]
    places = np.concatenate([picture.astype(np.uint8).reshape(3, -1) for picture in coarse], axis=1)
    places = places[None, ..., None]
    num = config.num_colours or _COLOURS
    while True:
        try:
            return Palette.learn(places, num, "ab", config.seed)
        except LabelError:
            if config.num_colours or num == 1:
                raise
            num //= 2


def _sample(
    backbone: Backbone, palette: Palette, pictures: Sequence[Picture], photos: Sequence[int]
) -> PixelSample:
    """Return features and class probabilities of places on an even grid over each picture."""
    num = max(_LEAST_A_PICTURE, _PLACES // len(pictures))

    def sample(picture: Picture, photo: int) -> SampledView:
        def read(out: Float32[ndarray, "p D"]) -> None:
            grey = palette.read_grey(picture[None])
            maps = [level[0] for level in backbone(np.repeat(grey, 3, axis=1))]
            features_at(maps, places, size, out)

        size = _size_of(picture)
        places = grid(*size, max(1, round((size[0] * size[1] / num) ** 0.5)))
        chroma = srgb_to_lab(pool(picture / np.float32(255), size))[1:, places[:, 0], places[:, 1]]
        return SampledView(read, soft_probs(palette, chroma.T), photo)

    views = [sample(picture, photo) for picture, photo in zip(pictures, photos, strict=True)]
    return PixelSample.read(views, sum(level.channels for level in backbone.levels))


def _size_of(picture: Picture) -> tuple[int, int]:
    return picture.shape[1] // LinearModel.out_stride, picture.shape[2] // LinearModel.out_stride


def soft_probs(palette: Palette, chroma: Float[ndarray, "n 2"]) -> Float32[ndarray, "n K"]:
    """Return the shares of places in the classes nearest to their colour, others having none.

    Source: R. Zhang et al., arXiv:1603.08511, section 2.2, with 5 classes and a deviation of 5 Lab units.
    """
    squares = np.square(chroma[:, None] - palette.class_chroma).sum(2)
    if palette.num_classes > _NUM_NEAR:
        furthest = np.partition(squares, _NUM_NEAR - 1, axis=1)[:, _NUM_NEAR - 1 : _NUM_NEAR]
        squares[squares > furthest] = np.inf
    return softmax(squares / np.float32(-2 * _SIGMA**2), axis=1)


def card_of(out: Path) -> Path:
    """Return where the card of a model lies: beside it, under its name."""
    return out.with_name(f"{out.name.removesuffix('.safetensors')}.md")
