"""Scores of a head on photos that it never learned from, with intervals, beside what needs no network."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from numpy import ndarray

from pixelwise.backbones import Backbone
from pixelwise.baselines import Baseline, learn_baselines, unlearned_baselines
from pixelwise.classnames import UNNAMED
from pixelwise.config import Device
from pixelwise.data import LabelledPhoto, LabelledPhotos
from pixelwise.data.labelled import Part, file_checksums
from pixelwise.errors import ConfigError, DataError
from pixelwise.features import FeatureCache, PhotoMaps
from pixelwise.heads import Head
from pixelwise.photos.duplicates import find_duplicates
from pixelwise.photos.photo import open_photo
from pixelwise.processor import ONE_THREAD, choose_device
from pixelwise.progress import progress
from pixelwise.scores import Calibration, ImageCounts, SegmentationScores

_THREADS = 2  # torch computes one photo at a time in each
_MOST_SHOTS = 100  # photos that baselines learn from: colours take no more
_MOST_NAMED = 10  # photos in a note
HEAD = "head"


@dataclass(frozen=True, eq=False)
class Judged:
    """One photo, and what a head made of it."""

    photo: LabelledPhoto
    features: PhotoMaps
    counts: ImageCounts

    @property
    def miou(self) -> float:
        """Mean intersection over union within this photo; NaN where none of its pixels has a label."""
        return self.counts.confusion.miou


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadEvaluation:
    """How good a head is, on which photos, and how good is what needs no network."""

    head: Head
    source: str
    part: Part
    scores: SegmentationScores
    baselines: dict[str, SegmentationScores]
    """By name; empty if they were not asked for."""
    photos: tuple[Judged, ...]
    """Those scored, worst first; last those without labels."""
    twins: tuple[tuple[Path, Path], ...]
    """Photos of the part, each with the photo of the part `train` that shows the same, saved anew."""
    notes: tuple[str, ...]
    """What is to be known beside the scores."""

    @property
    def protocol(self) -> str:
        """What was scored and how, in words."""
        return (
            f"{len(self.photos)} photos, the part {self.part} of {self.source}, each at the size of its own "
            "labels; pixels without label left out; low and high: 95 of 100 draws of as many photos"
        )

    @property
    def calibration(self) -> Calibration:
        """How sure the head was of all pixels together, and how often right."""
        return functools.reduce(operator.add, (c for one in self.photos if (c := one.counts.calibration)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: the head's scores, each {value, low, high}, and what belongs to them."""
        return self.scores.intervals() | {
            "baselines": {name: scores.intervals() for name, scores in self.baselines.items()},
            "part": self.part,
            "num_images": len(self.photos),
            "protocol": self.protocol,
            "duplicates": [[str(path) for path in pair] for pair in self.twins],
            "photos": [{"path": str(one.photo.photo), "miou": one.miou} for one in self.photos],
            "notes": list(self.notes),
        }


def evaluate_head(
    head: Head,
    backbone: Backbone,
    labelled: LabelledPhotos,
    *,
    part: Part | None = None,
    baselines: bool = True,
    without_duplicates: bool = False,
    cache: FeatureCache | None = None,
    device: Device = "auto",
    seed: int = 0,
) -> HeadEvaluation:
    """Scores of a head on a part of a source.

    If none is named, it is the part `test`; where there is none, all photos if the head is known to have
    learned from none of them, and else the part `val`. Photos that are in the part `train` as well, saved
    anew, are named; `without_duplicates` leaves them out. Baselines learn from at most 100 photos of the part
    `train`, evenly taken; where all photos are scored only GrabCut, which learns nothing, is compared with.
    The seed draws the intervals.

    Raises:
        CheckpointError: the head was learned on another backbone.
        ConfigError: the source's classes are not the head's, or it has no such part.
        DataError: photos or masks are missing or do not belong together, or nothing is left to score.
    """
    backbone = head.dress(backbone)
    if head.classes.names != labelled.classes.names and not _both_of_two(head, labelled):
        raise ConfigError(
            f"the head {head.name} knows {', '.join(head.classes.names)}; {labelled.name} has labels of "
            f"{', '.join(labelled.classes.names)}: needed the same classes in the same order"
        )
    part, photos = _scored_part(head, labelled, part)
    learned_from = () if part == "all" else labelled.train
    twins = _find_twins(learned_from, photos)
    notes = [_told(twins, part, without_duplicates)] if twins else []
    if without_duplicates:
        photos = _without(photos, twins, part)
    with progress("looking at photos", len(photos)) as advance:
        features = (cache or FeatureCache()).maps(
            [one.photo for one in photos], backbone, head.sizes, device=choose_device(device), advance=advance
        )
    if known := [one.look.photo.name for one in features if head.knows(one.digest)]:
        notes.insert(0, f"the head saw {_listed(known)} as it learned, scored here: its scores are too good")
    others: Mapping[str, Baseline] = {}
    if baselines and learned_from:
        shots = learned_from[:: -(-len(learned_from) // _MOST_SHOTS)]
        others = learn_baselines(_shown(shots), head.classes.num_classes)
        notes.append(f"baselines learned from {len(shots)} photos of the part train; GrabCut learns nothing")
    elif baselines:
        others = unlearned_baselines(head.classes.num_classes)
        notes.append(
            "baselines that learn have no other photos to learn from here: --part val compares with them"
        )
    counts = _count(head, others, photos, features)
    scores = {
        name: SegmentationScores.of([one[name] for one in counts], head.classes, seed)
        for name in (HEAD, *others)
    }
    judged = (
        Judged(photo, source, one[HEAD]) for photo, source, one in zip(photos, features, counts, strict=True)
    )
    return HeadEvaluation(
        head=head,
        source=labelled.name,
        part=part,
        scores=scores.pop(HEAD),
        baselines=scores,
        photos=tuple(sorted(judged, key=lambda one: (math.isnan(one.miou), one.miou))),
        twins=twins,
        notes=tuple(notes),
    )


def _both_of_two(head: Head, labelled: LabelledPhotos) -> bool:
    """Whether masks in black and white, which name nothing, are of a head of two classes."""
    return labelled.classes.names == UNNAMED and head.classes.num_classes == len(UNNAMED)


def _scored_part(
    head: Head, labelled: LabelledPhotos, part: Part | None
) -> tuple[Part, tuple[LabelledPhoto, ...]]:
    """What is scored, and its photos."""
    every = labelled.labelled
    if part is None and not labelled.test and head.facts.get("photos"):
        digests = file_checksums(one.photo for one in every)
        if not any(head.knows(digest) for digest in digests.values()):
            return "all", every
    return ("all", every) if part == "all" else labelled.require_held_out(part)


def read_pixels(path: Path) -> UInt8[ndarray, "H W 3"]:
    """A whole photo as it is displayed, sRGB codes.

    Raises:
        PhotoError: it cannot be read.
    """
    photo = open_photo(path)
    return photo.upright(photo.thumbnail(photo.height, photo.width)).permute(1, 2, 0).contiguous().numpy()


def _shown(shots: Sequence[LabelledPhoto]) -> Iterator[tuple[UInt8[ndarray, "H W 3"], UInt8[ndarray, "H W"]]]:
    """Pixels and labels of photos that baselines learn from."""
    with progress("learning baselines", len(shots)) as advance:
        for shot in shots:
            yield read_pixels(shot.photo), shot.read_labels().numpy()
            advance(1, shot.stem)


def _count(
    head: Head,
    baselines: Mapping[str, Baseline],
    photos: Sequence[LabelledPhoto],
    features: Sequence[PhotoMaps],
) -> list[dict[str, ImageCounts]]:
    """Of each photo, the counts of the head and of each baseline, at the size of its labels."""
    num_classes = head.classes.num_classes

    def of_photo(photo: LabelledPhoto, source: PhotoMaps) -> dict[str, ImageCounts]:
        labels, maps = photo.read_labels(), source.read()
        size, known = (labels.shape[0], labels.shape[1]), labels.numpy()
        given = {HEAD: head.weights.labels(maps, size).numpy()}
        if baselines:
            pixels = read_pixels(photo.photo)
            given |= {name: baseline.segment(pixels) for name, baseline in baselines.items()}
        probs = {HEAD: head.weights.logits(maps, size).softmax(0)}  # baselines have none
        return {
            name: ImageCounts.of(one, known, num_classes, probabilities=probs.get(name), with_boundary=True)
            for name, one in given.items()
        }

    counted = []
    with (
        ONE_THREAD,
        progress("scoring photos", len(photos)) as advance,
        ThreadPoolExecutor(_THREADS) as pool,
    ):
        for photo, counts in zip(photos, pool.map(of_photo, photos, features), strict=True):
            counted.append(counts)
            advance(1, photo.stem)
    return counted


def _find_twins(
    learned: Sequence[LabelledPhoto], scored: Sequence[LabelledPhoto]
) -> tuple[tuple[Path, Path], ...]:
    """Pairs of a photo scored and one to learn from that show the same."""
    paths = [one.photo for one in scored]
    pairs, to_score = find_duplicates([*(one.photo for one in learned), *paths]), set(paths)
    return tuple(sorted((b, a) for a, b in pairs if b in to_score and a not in to_score))


def _without(
    photos: Sequence[LabelledPhoto], twins: Sequence[tuple[Path, Path]], part: str
) -> tuple[LabelledPhoto, ...]:
    again = {scored for scored, _ in twins}
    left = tuple(one for one in photos if one.photo not in again)
    if not left:
        raise DataError(f"every photo of the part {part} is in the part train too: none is left to score")
    return left


def _told(twins: Sequence[tuple[Path, Path]], part: str, left_out: bool) -> str:
    pairs = _listed([f"{scored.name} ({learned.name})" for scored, learned in twins])
    remedy = "left out" if left_out else "--without-duplicates leaves them out"
    return f"in the part {part} and, saved anew, in the part train as well: {pairs}; {remedy}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
