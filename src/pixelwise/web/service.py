"""The models and heads that are served, and a photo's way from an upload to a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Int64
from numpy import ndarray
from pydantic import BaseModel, ConfigDict

from pixelwise.colourising.options import ColouriseOptions
from pixelwise.colourising.run import colourise_one
from pixelwise.errors import ConfigError
from pixelwise.files import checksum
from pixelwise.labels.class_names import BACKGROUND
from pixelwise.network.backbones import open_backbone
from pixelwise.network.cards import read_card, shipped_heads, shipped_models
from pixelwise.network.config import SegmentOptions
from pixelwise.network.runs import Model, open_model
from pixelwise.photos.find import InputPhoto
from pixelwise.photos.formats import VIPS_FORMATS
from pixelwise.photos.outputs import OutputPaths
from pixelwise.photos.photo import Photo, open_photo
from pixelwise.photos.write import WRITABLE, losses, output_suffix
from pixelwise.segmenting.enlarge import EnlargedLogits
from pixelwise.segmenting.heads import find_head, open_head
from pixelwise.segmenting.run import HeadRunner, write_cut_out, write_labels, write_overlay
from pixelwise.web.batching import Batcher
from pixelwise.web.negotiation import JSON, PHOTO_TYPES, PNG, choose

T = TypeVar("T")
_CPU = torch.device("cpu")
_STRIP_PIXELS = 2**18
_MAX_BATCH = 8  # photos in one forward pass


class Known(BaseModel):
    """A model that colours, or a head that segments."""

    model_config = ConfigDict(extra="forbid")

    name: str
    task: str  # colourise or segment
    classes: list[str] | None  # of a head
    shipped: bool
    purpose: str | None
    source: str | None  # the data it was trained on; like purpose and licence from the cards of the shipped
    licence: str | None
    checksum: str  # SHA-256 of its file


class ClassShare(BaseModel):
    """The part of a photo that a class has."""

    name: str
    colour: str  # #rrggbb, as masks show it
    pixels: int
    fraction: float


class Summary(BaseModel):
    """A head's result on a photo, in numbers."""

    head: str
    width: int  # of the photo as it is displayed
    height: int
    classes: list[ClassShare]


@dataclass(frozen=True, kw_only=True)
class Made:
    """The result of one photo."""

    megapixels: float
    remarks: tuple[str, ...] = ()
    file: Path | None = None
    media_type: str = JSON
    summary: Summary | None = None  # where there is no file


@dataclass(frozen=True, kw_only=True)
class Service:
    """Models and heads, open and ready."""

    models: dict[str, Model]
    runners: dict[str, HeadRunner]  # one for each head, by its name
    known: tuple[Known, ...]
    batcher: Batcher

    def colourise(self, upload: Path, name: str, options: ColouriseOptions, accept: str) -> Made:
        """Write a coloured copy of an uploaded photo, beside it.

        Raises:
            ConfigError: there is no such model.
            PhotoError: the photo cannot be read, or a hint or a box lies outside it.
            Refusal: it cannot be had in any format of `accept`.
        """
        model = _named(self.models, name, "model")
        photo = open_photo(upload, options.max_megapixels)
        media_type, suffix = _format(photo, accept)
        outputs = OutputPaths(upload.with_name("coloured" + suffix), [upload], single_file=True)
        logits_fn = partial(self.batcher.forward, model)
        done = colourise_one(InputPhoto(upload), outputs, model, options, logits_fn=logits_fn)
        return Made(
            file=done.path,
            media_type=media_type,
            megapixels=done.megapixels,
            remarks=_of_photo(done.notes, upload),
        )

    def segment(self, upload: Path, name: str, options: SegmentOptions, accept: str) -> Made:
        """Write the mask of an uploaded photo, beside it; or its overlay or cut-out, or sum it up in numbers.

        Raises:
            ConfigError: there is no such head, or it knows no background to cut out of.
            PhotoError: the photo cannot be read.
            Refusal: the result cannot be had in any format of `accept`.
        """
        runner = _named(self.runners, name, "head")
        classes = runner.heads[0].classes
        if options.cut_out and classes.names[0] != BACKGROUND:
            raise ConfigError(f"needed a head whose first class is {BACKGROUND} to cut out what is not")
        photo = open_photo(upload, options.max_megapixels)
        suffix, media_type = ".png", PNG
        if options.overlay:
            media_type, suffix = _format(photo, accept)
        elif not options.cut_out:
            media_type = choose(accept, (PNG, JSON))
        (logits,) = runner(photo)
        if media_type == JSON:
            return Made(megapixels=photo.megapixels, summary=_summary(name, runner, photo, logits))
        target, remarks = upload.with_name("result" + suffix), photo.notes
        if options.overlay:
            write_overlay(target, photo, logits, classes, options.opacity)
            remarks = (*remarks, *losses(photo, suffix))
        elif options.cut_out:
            write_cut_out(target, photo, logits)
        else:
            write_labels(target, photo, logits, classes)
        return Made(
            file=target,
            media_type=media_type,
            megapixels=photo.megapixels,
            remarks=_of_photo(remarks, upload),
        )


def open_service(
    num_lanes: int,
    models: Sequence[Path] = (),
    heads: Sequence[Path] = (),
    device: torch.device = _CPU,
) -> Service:
    """Open all that is shipped, and the models and heads in the files given, which go by the files' names.

    At most `num_lanes` batches of photos that wait run at a time, each of at most 8 photos.

    Raises:
        CheckpointError: a file holds no such thing, or another backbone's head.
        ConfigError: two have one name.
    """
    opened = {name: open_model(name) for name in shipped_models()}
    for path in models:
        _add(opened, path.stem, open_model(path))
    found = {name: open_head(name) for name in shipped_heads()}
    for path in heads:
        _add(found, path.stem.removesuffix(".head"), open_head(path))
    for model in opened.values():
        model.net.to(device)
    backbones = {name: open_backbone(name) for name in sorted({one.backbone for one in found.values()})}
    runners = {name: HeadRunner([head], backbones[head.backbone], device) for name, head in found.items()}
    known = [_known(name, "colourise", model.checksum) for name, model in opened.items()]
    for name, head in found.items():
        sha256 = checksum(find_head(head.name))
        known.append(_known(name, "segment", sha256, list(head.classes.names)))
    return Service(models=opened, runners=runners, known=tuple(known), batcher=Batcher(num_lanes, _MAX_BATCH))


def _add(opened: dict[str, T], name: str, one: T) -> None:
    if name in opened:
        raise ConfigError(f"needed different names, got {name} twice; rename the file of one")
    opened[name] = one


def _known(name: str, task: str, sha256: str, classes: list[str] | None = None) -> Known:
    shipped = name in (shipped_models() if task == "colourise" else shipped_heads())
    card = read_card(name) if shipped else None
    return Known(
        name=name,
        task=task,
        classes=classes,
        shipped=shipped,
        purpose=card.purpose if card else None,
        source=card.source if card else None,
        licence=card.licence if card else None,
        checksum=sha256,
    )


def _named(known: dict[str, T], name: str, what: str) -> T:
    if name not in known:
        raise ConfigError(f"needed a {what}, one of {', '.join(known)}, got {name!r:.80}")
    return known[name]


def _format(photo: Photo, accept: str) -> tuple[str, str]:
    """Return media type and suffix of a photo's copy: its own format where Accept leaves the choice."""
    own = _MEDIA_TYPES[output_suffix(photo)[0].lower()]
    media_type = choose(accept, tuple(PHOTO_TYPES), own)
    return media_type, PHOTO_TYPES[media_type]


_MEDIA_TYPES = {
    other: media_type
    for media_type, suffix in PHOTO_TYPES.items()
    for other in VIPS_FORMATS[WRITABLE[suffix]]
}
"""By all suffixes of a format."""


def _of_photo(remarks: Sequence[str], upload: Path) -> tuple[str, ...]:
    """Return remarks without our name of the file."""
    return tuple(one.replace(str(upload), "photo") for one in remarks)


def _summary(name: str, runner: HeadRunner, photo: Photo, logits: EnlargedLogits) -> Summary:
    classes = runner.heads[0].classes
    counts: Int64[ndarray, " K"] = np.zeros(classes.num_classes, np.int64)
    rows = max(1, _STRIP_PIXELS // photo.width)
    for first in range(0, photo.height, rows):
        labels = logits.labels(first, min(rows, photo.height - first))
        counts += np.bincount(labels.ravel(), minlength=classes.num_classes)
    height, width = photo.upright_size
    shares = [
        ClassShare(
            name=one, colour="#{:02x}{:02x}{:02x}".format(*colour), pixels=num, fraction=num / counts.sum()
        )
        for one, colour, num in zip(classes.names, classes.colours, counts.tolist(), strict=True)
    ]
    return Summary(head=name, width=width, height=height, classes=shares)
