"""What an evaluation of a colouriser found, what its figures may not be compared with, and what is wrong."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.data import source_folder
from pixelwise.errors import CheckpointError
from pixelwise.evaluate.calibrated import Calibrated
from pixelwise.evaluate.protocol import Protocol
from pixelwise.photos.find import Failure
from pixelwise.runs import Model, read_manifest
from pixelwise.scores import ClassScores, Interval, PhotoColours

MODEL, GREY, MEAN, PRIOR = "model", "grey", "mean ab", "prior"

COLLAPSED = 0.4
"""Colourfulness, as a share of the originals', below which a colouriser has collapsed to grey."""
_FEW = 20  # photos, whose intervals are themselves unsure
_MOST_NAMED = 10


@dataclass(frozen=True, eq=False)
class ColouredPhoto:
    """One photo, and how far what was made of it is from it."""

    path: Path
    scores: dict[str, PhotoColours]
    """By what made it: `model`, and the baselines."""

    @property
    def gain(self) -> float:
        """By how much CIEDE2000 is less than that of the photo left grey."""
        return self.scores[GREY].ciede2000 - self.scores[MODEL].ciede2000

    @property
    def classes(self) -> ClassScores:
        """How right the network's probabilities are."""
        classes = self.scores[MODEL].classes
        assert classes  # every network gives probabilities
        return classes

    def to_dict(self) -> dict[str, Any]:
        """Plain values of the model's scores, for JSON."""
        ours = self.scores[MODEL]
        return {
            "path": str(self.path),
            "ciede2000": ours.ciede2000,
            "ciede2000_grey": self.scores[GREY].ciede2000,
            "ab_rmse": ours.ab_rmse,
            "colourfulness": ours.colourfulness,
            "colourfulness_original": ours.original_colourfulness,
            "cross_entropy": self.classes.cross_entropy,
            "entropy": self.classes.entropy,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class ColourEvaluation:
    """How good a colouriser is, on which photos, and how good is what needs no network."""

    model: Model
    source: str
    protocol: Protocol
    scores: dict[str, dict[str, Interval]]
    """By what coloured the photos, the model first, and by name."""
    gain: Interval
    """By how much the model's CIEDE2000 is less than that of grey, photo by photo."""
    photos: tuple[ColouredPhoto, ...]
    """In the order of their paths."""
    calibrated: Calibrated
    colourless: tuple[Path, ...]
    """Photos left out: they are grey."""
    toned: tuple[Path, ...]
    """Photos scored whose colours may be no more than a tone, such as sepia."""
    failed: tuple[Failure, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, and what the figures may not be compared with."""
        return tuple(_notes(self))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong, or may be."""
        return tuple(_warnings(self))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: the model's scores, each {value, low, high}, and what belongs to them."""
        told = {who: {name: one.to_dict() for name, one in row.items()} for who, row in self.scores.items()}
        return told.pop(MODEL) | {
            "ciede2000_gain": self.gain.to_dict(),
            "baselines": told,
            "calibration": self.calibrated.to_dict(),
            "model": {"name": self.model.name, "sha256": self.model.checksum},
            "protocol": self.protocol.to_dict(),
            "num_photos": len(self.photos),
            "photos": [one.to_dict() for one in self.photos],
            "colourless": [str(path) for path in self.colourless],
            "toned": [str(path) for path in self.toned],
            "failed": [{"path": str(one.path), "error": one.error} for one in self.failed],
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }


def _notes(found: ColourEvaluation) -> Iterator[str]:
    if found.colourless:
        yield f"without colour, left out: {_listed([one.name for one in found.colourless])}"
    if found.toned:
        yield (
            "of few colours, scored all the same; if any of them is a toned print, take it out: "
            f"{_listed([one.name for one in found.toned])}"
        )
    if found.failed:
        yield f"could not be scored: {_listed([one.path.name for one in found.failed])}"
    yield (
        "compare only figures of the same photos at the same size: colours differ less in small pictures; "
        "sets differ by more than methods do, so compare with the baselines beside"
    )
    yield (
        "do not compare with PSNR or SSIM of RGB, which luminance decides: a photo left grey scores above "
        "20 dB; nor with errors in 8-bit Lab, or of photos cut or squeezed to squares"
    )
    yield (
        "photos that a network learned from score too well, copies and crops of them as well: nothing here "
        "can tell whether these are; nor does one truth per photo say whether colours are plausible"
    )
    if len(found.photos) < _FEW:
        yield f"{len(found.photos)} photos are few: intervals of so few are too narrow"
    if found.protocol.size < found.model.size:
        yield f"the network reads {found.model.size} pixels elsewhere, and had no more than the size here"


def _warnings(found: ColourEvaluation) -> Iterator[str]:
    strength = found.scores[MODEL]["colourfulness_ratio"].value
    if strength < COLLAPSED:
        yield (
            f"collapsed to grey: colours have {strength:.2f} of the originals' strength (below {COLLAPSED}); "
            "a lower --temperature makes them bolder"
        )
    if not found.gain.low > 0:
        gain = f"{found.gain.value:.2f} ({found.gain.low:.2f} to {found.gain.high:.2f})"
        yield f"not surely better than grey: CIEDE2000 is lower than that of grey by {gain}"
    if strange := strangers(found.photos, found.model.palette.num_classes):
        yield (
            f"lost on {len(strange)} of {len(found.photos)} photos, perhaps of a kind that the network never "
            "learned: their colours would surprise it less were all its classes equally likely: "
            f"{_listed([one.path.name for one in strange])}"
        )
    baseline = found.scores.get(PRIOR, {}).get("cross_entropy")
    loss = found.scores[MODEL]["cross_entropy"]
    if baseline and loss.value >= baseline.value:
        yield (
            f"knows no more of these photos than their lightness tells: cross-entropy {loss.value:.3f} nats, "
            f"of the shares of classes by lightness {baseline.value:.3f}; rebalanced training costs some"
        )
    if _learned_from(found.model.name, found.source):
        yield "the network learned from photos of this very folder: these scores are too good"


def strangers(photos: Sequence[ColouredPhoto], num_classes: int) -> list[ColouredPhoto]:
    """Photos of which a network knows less than nothing: its cross-entropy is above a uniform guess's."""
    even = math.log(num_classes)
    return [one for one in photos if one.classes.cross_entropy > even]


def _learned_from(model: str, source: str) -> bool:
    """Whether a run's folder says that it learned from the folder that is evaluated."""
    with contextlib.suppress(CheckpointError, OSError):
        learned, folder = source_folder(read_manifest(Path(model)).config.source), source_folder(source)
        return learned is not None and folder is not None and learned.resolve() == folder.resolve()
    return False


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
