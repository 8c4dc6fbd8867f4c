"""The models and heads that are served, and a photo's way from an upload to a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy import ndarray
from pydantic import BaseModel, ConfigDict

from pixelwise.colour.arrays import Int64
from pixelwise.colourising.prediction import require_possible
from pixelwise.colourising.run import colourise_one
from pixelwise.errors import ConfigError
from pixelwise.files import checksum
from pixelwise.labels.class_names import BACKGROUND, ClassNames
from pixelwise.network.backbone import open_backbone
from pixelwise.network.cards import read_card, shipped_heads, shipped_models
from pixelwise.network.config import Device
from pixelwise.network.model import Colouriser, open_model
from pixelwise.photos.find import InputPhoto
from pixelwise.photos.outputs import OutputPaths
from pixelwise.photos.photo import Photo, open_photo
from pixelwise.photos.write import WRITABLE, losses, output_suffix
from pixelwise.segmenting.heads import find_head, open_head
from pixelwise.segmenting.linear_head import EnlargedLogits
from pixelwise.segmenting.run import HeadRunner, rows_of, write_cut_out, write_labels, write_overlay
from pixelwise.web.batching import Batcher
from pixelwise.web.negotiation import JSON, PHOTO_TYPES, PNG, choose
from pixelwise.web.parameters import ColouriseParameters, SegmentParameters

T = TypeVar("T")


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
    remarks: Sequence[str] = ()
    file: Path | None = None
    media_type: str = JSON
    summary: Summary | None = None  # where there is no file


@dataclass(frozen=True, kw_only=True)
class Service:
    """Models and heads, open and ready."""

    models: dict[str, Colouriser]
    runners: dict[str, HeadRunner]  # one for each head, by its name
    known: list[Known]
    batcher: Batcher

    def colourise(self, upload: Path, asked: ColouriseParameters, max_megapixels: float, accept: str) -> Made:
        """Write a coloured copy of an uploaded photo, beside it.

        Raises:
            ConfigError: there is no such model, or an option means nothing to it.
            PhotoError: the photo cannot be read, or a hint or a box lies outside it.
            Refusal: it cannot be had in any format of `accept`.
        """
        options = asked.options(max_megapixels)
        model = _named(self.models, asked.model, "model")
        require_possible(options, model)
        photo = open_photo(upload, max_megapixels)
        media_type, suffix = _format(photo, accept)
        outputs = OutputPaths(upload.with_name("coloured" + suffix), [upload], single_file=True)
        forward = partial(self.batcher.forward, model)
        done = colourise_one(InputPhoto(upload), outputs, model, options, forward=forward)
        return Made(megapixels=done.megapixels, remarks=done.notes, file=done.path, media_type=media_type)

    def segment(self, upload: Path, asked: SegmentParameters, max_megapixels: float, accept: str) -> Made:
        """Write the mask of an uploaded photo, beside it; or its overlay or cut-out, or sum it up in numbers.

        Raises:
            ConfigError: there is no such head, or it knows no background to cut out of.
            PhotoError: the photo cannot be read.
            Refusal: the result cannot be had in any format of `accept`.
        """
        options = asked.options(max_megapixels)
        runner = _named(self.runners, asked.head, "head")
        classes = runner.heads[0].classes
        if options.cut_out and classes.names[0] != BACKGROUND:
            raise ConfigError(f"needed a head whose first class is {BACKGROUND} to cut out what is not")
        photo = open_photo(upload, max_megapixels)
        media_type, suffix = PNG, ".png"
        if options.overlay:
            media_type, suffix = _format(photo, accept)
        elif not options.cut_out:
            media_type = choose(accept, (PNG, JSON))
        (logits,) = runner(photo)
        if media_type == JSON:
            summary = _summary(asked.head, classes, photo, logits)
            return Made(megapixels=photo.megapixels, summary=summary)
        target, remarks = upload.with_name("result" + suffix), list(photo.notes)
        if options.overlay:
            write_overlay(target, photo, logits, classes, options.opacity)
            remarks += losses(photo, suffix)
        elif options.cut_out:
            write_cut_out(target, photo, logits)
        else:
            write_labels(target, photo, logits, classes)
        return Made(megapixels=photo.megapixels, remarks=remarks, file=target, media_type=media_type)


def open_service(
    num_lanes: int, models: Sequence[Path] = (), heads: Sequence[Path] = (), device: Device = "auto"
) -> Service:
    """Open all that is shipped, and the models and heads in the files given, which go by the files' names.

    At most `num_lanes` batches of photos that wait run at a time. CheckpointError where a file holds no such
    thing, or another backbone's head; ConfigError where two have one name.
    """
    opened = _open_all(partial(open_model, device=device), shipped_models(), models)
    found = _open_all(open_head, shipped_heads(), heads)
    opened_once = cache(partial(open_backbone, device=device))
    runners = {name: HeadRunner([head], opened_once(head.backbone)) for name, head in found.items()}
    known = [_known(name, "colourise", model.checksum, None, model.licence) for name, model in opened.items()]
    for name, head in found.items():
        known.append(_known(name, "segment", checksum(find_head(head.name)), list(head.classes.names)))
    return Service(models=opened, runners=runners, known=known, batcher=Batcher(num_lanes))


def _open_all(
    open_one: Callable[[str | Path], T], shipped: Sequence[str], files: Sequence[Path]
) -> dict[str, T]:
    opened = {name: open_one(name) for name in shipped}
    for path in files:
        name = path.stem.removesuffix(".head")
        if name in opened:
            raise ConfigError(f"needed different names, got {name} twice; rename the file of one")
        opened[name] = open_one(path)
    return opened


def _known(name: str, task: str, sha256: str, classes: list[str] | None, licence: str = "") -> Known:
    shipped = name in (shipped_models() if task == "colourise" else shipped_heads())
    card = read_card(name) if shipped else None
    return Known(
        name=name,
        task=task,
        classes=classes,
        shipped=shipped,
        purpose=card.purpose if card else None,
        source=card.source if card else None,
        licence=card.licence if card else licence or None,
        checksum=sha256,
    )


def _named(opened: dict[str, T], name: str, kind: str) -> T:
    if name not in opened:
        raise ConfigError(f"needed a {kind}, one of {', '.join(opened)}, got {name!r:.80}")
    return opened[name]


def _format(photo: Photo, accept: str) -> tuple[str, str]:
    """Return media type and suffix of a photo's copy: its own format where Accept leaves the choice."""
    own = WRITABLE[output_suffix(photo)[0].lower()]
    own_type = next(kind for kind, suffix in PHOTO_TYPES.items() if WRITABLE[suffix] == own)
    media_type = choose(accept, tuple(PHOTO_TYPES), own_type)
    return media_type, PHOTO_TYPES[media_type]


def _summary(head: str, classes: ClassNames, photo: Photo, logits: EnlargedLogits) -> Summary:
    counts: Int64[ndarray, " K"] = np.zeros(classes.num_classes, np.int64)
    with closing(rows_of(photo, 1, logits.labels)) as strips:
        for labels in strips:
            counts += np.bincount(labels.ravel(), minlength=classes.num_classes)
    shares = []
    for name, colour, num in zip(classes.names, classes.colours, counts.tolist(), strict=True):
        shown = "#{:02x}{:02x}{:02x}".format(*colour)
        shares.append(ClassShare(name=name, colour=shown, pixels=num, fraction=num / counts.sum()))
    height, width = photo.upright_size
    return Summary(head=head, width=width, height=height, classes=shares)
