"""Scores of a head on labelled photos that it was not learned from, with intervals, beside baselines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float64, Int64, UInt8
from pixelwise.colour.palette import IGNORE
from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.errors import ConfigError, DataError, ShapeError, listed
from pixelwise.evaluate.segmentation import ImageCounts, SegmentationScores
from pixelwise.labels.class_names import UNNAMED
from pixelwise.labels.confusion import LabelArray
from pixelwise.labels.labelled import LabelledPhoto, LabelledPhotos, Part, file_checksums
from pixelwise.network.backbone import Backbone
from pixelwise.photos.duplicates import find_duplicates
from pixelwise.photos.photo import open_photo
from pixelwise.photos.resize import channels_last
from pixelwise.progress import progress
from pixelwise.segmenting.feature_cache import FeatureCache, PhotoMaps
from pixelwise.segmenting.heads import Head
from pixelwise.segmenting.linear_head import EnlargedLogits, Weights

_THREADS = 2  # one photo at a time in each
_MOST_SHOTS = 100  # photos that baselines learn from: colours take no more

PhotoArray = UInt8[ndarray, "H W 3"]  # sRGB codes
Baseline = Callable[[PhotoArray], LabelArray]
_BINS = 32  # of each channel of Lab, so that a few photos fill the bins around their colours
_BLUR = 1.0  # bins; colours next to those seen are likely of the same class


@dataclass(frozen=True, eq=False)
class ScoredPhoto:
    """A photo, and the counts of a head's prediction."""

    photo: LabelledPhoto
    features: PhotoMaps
    counts: ImageCounts

    @property
    def miou(self) -> float:
        """Mean intersection over union within this photo; NaN where none of its pixels has a label."""
        return self.counts.confusion.miou


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadEvaluation:
    """Scores of a head on labelled photos, beside those of its baselines."""

    head: Head
    source: str
    part: Part
    scores: SegmentationScores
    baselines: dict[str, SegmentationScores]  # by name; empty if they were not asked for
    photos: tuple[ScoredPhoto, ...]  # worst first; last those without labels
    twins: tuple[tuple[Path, Path], ...]
    """Photos of the part, each with the photo of the part `train` that shows the same, saved anew."""
    notes: tuple[str, ...]

    @property
    def protocol(self) -> str:
        """Part, photos and rules of the scores, in words."""
        return (
            f"{len(self.photos)} photos, the part {self.part} of {self.source}, each at the size of its own "
            "labels; pixels without label left out; low and high: 95 of 100 draws of as many photos"
        )

    @property
    def calibration_bins(self) -> Float64[ndarray, "3 15"]:
        """Bins of all pixels together."""
        by_photo = [photo.counts.calibration for photo in self.photos]
        return np.sum([bins for bins in by_photo if bins is not None], 0)

    def to_dict(self) -> dict[str, Any]:
        """Return the scores, each {value, low, high}, and what belongs to them, for JSON."""
        return self.scores.intervals() | {
            "baselines": {name: scores.intervals() for name, scores in self.baselines.items()},
            "part": self.part,
            "num_images": len(self.photos),
            "protocol": self.protocol,
            "duplicates": [[str(path) for path in pair] for pair in self.twins],
            "photos": [{"path": str(photo.photo.photo), "miou": photo.miou} for photo in self.photos],
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
    seed: int = 0,
) -> HeadEvaluation:
    """Score a head on a part of a source.

    If none is named, it is the part `test`; where there is none, all photos if the head is known to have
    learned from none of them, and else the part `val`. Photos that are in the part `train` as well, saved
    anew, are named; `without_duplicates` leaves them out. Baselines learn from the part `train`; there are
    none where all photos are scored. The seed draws the intervals.

    Raises:
        CheckpointError: the head was learned on another backbone.
        ConfigError: the source's classes are not the head's, or it has no such part.
        DataError: photos or masks are missing or do not belong together, or nothing is left to score.
    """
    backbone = head.apply_weights(backbone)
    _require_same_classes(head, labelled)
    part, photos = _scored_part(head, labelled, part)
    train = () if part == "all" else labelled.train
    notes, twins = [], _find_twins(train, photos)
    if twins:
        names = listed([f"{scored.name} ({learned.name})" for scored, learned in twins])
        remedy = "left out" if without_duplicates else "--without-duplicates leaves them out"
        notes.append(f"in the part {part} and, saved anew, in the part train as well: {names}; {remedy}")
    if without_duplicates:
        in_both = {scored for scored, _ in twins}
        photos = tuple(photo for photo in photos if photo.photo not in in_both)
        if not photos:
            raise DataError(f"every photo of the part {part} is in the part train too: none is left to score")
    paths = [photo.photo for photo in photos]
    features = FeatureCache().maps(paths, backbone, head.sizes)
    if known := [photo.crop.photo.name for photo in features if head.knows(photo.digest)]:
        notes.insert(0, f"the head saw {listed(known)} as it learned, scored here: its scores are too good")
    learned: dict[str, Baseline] = {}
    if baselines:
        learned, note = _learn_from_train(train, head.classes.num_classes)
        notes.append(note)
    counts = count_photos(photos, features, [head.weights], list(learned.values()), detailed=True)
    scores, *others = (SegmentationScores.of(images, head.classes, seed) for images in counts)
    compared = dict(zip(learned, others, strict=True))
    for name, baseline in compared.items():
        if (ahead := baseline.miou.value) >= scores.miou.value < 1:
            found = f"no better than the baseline {name}, whose mean IoU is {ahead:.3f}"
            notes.append(f"{found}: label more photos, or photos more like these")
    scored = [ScoredPhoto(*parts) for parts in zip(photos, features, counts[0], strict=True)]
    return HeadEvaluation(
        head=head,
        source=labelled.name,
        part=part,
        scores=scores,
        baselines=compared,
        photos=tuple(sorted(scored, key=lambda photo: (math.isnan(photo.miou), photo.miou))),
        twins=twins,
        notes=tuple(notes),
    )


def _require_same_classes(head: Head, labelled: LabelledPhotos) -> None:
    known, names = head.classes.names, labelled.classes.names
    black_and_white = names == UNNAMED and len(known) == len(UNNAMED)
    if known != names and not black_and_white:
        found = (
            f"the head {head.name} knows {', '.join(known)}; {labelled.name} has labels of {', '.join(names)}"
        )
        raise ConfigError(f"{found}: needed the same classes in the same order")


def _scored_part(
    head: Head, labelled: LabelledPhotos, part: Part | None
) -> tuple[Part, tuple[LabelledPhoto, ...]]:
    every = labelled.labelled
    if part is None and not labelled.test and head.facts.photos:
        digests = file_checksums(photo.photo for photo in every)
        if not any(head.knows(digest) for digest in digests.values()):
            return "all", every
    return ("all", every) if part == "all" else labelled.require_held_out(part)


def _find_twins(
    train: Sequence[LabelledPhoto], scored: Sequence[LabelledPhoto]
) -> tuple[tuple[Path, Path], ...]:
    """Return pairs of a photo scored and one learned from that show the same."""
    paths = {photo.photo: None for photo in scored}
    pairs = find_duplicates([*(photo.photo for photo in train), *paths])
    return tuple(sorted((b, a) for a, b in pairs if b in paths and a not in paths))


def _learn_from_train(train: Sequence[LabelledPhoto], num_classes: int) -> tuple[dict[str, Baseline], str]:
    if not train:
        return {}, "baselines have no other photos to learn from here: --part val compares with them"
    shots = train[:: -(-len(train) // _MOST_SHOTS)]
    pairs = ((read_pixels(shot.photo), shot.read_labels()) for shot in shots)
    note = f"baselines learned from {len(shots)} photos of the part train"
    return learn_baselines(pairs, num_classes), note


def count_photos(
    photos: Sequence[LabelledPhoto],
    features: Sequence[PhotoMaps],
    heads: Sequence[Weights],
    baselines: Sequence[Baseline] = (),
    detailed: bool = False,
) -> list[list[ImageCounts]]:
    """Return the counts of each photo, at the size of its labels, for each head and then for each baseline.

    Photos, features and labels are read once for all. With `detailed` the outlines are counted, too, and the
    calibration of heads.
    """

    def count(photo: LabelledPhoto, source: PhotoMaps) -> list[ImageCounts]:
        (codes, scale), labels = source.read_codes(), photo.read_labels()
        size, num_classes, counts = (labels.shape[0], labels.shape[1]), len(heads[0].bias), []
        scaled = [Weights(head.weight * scale, head.bias) for head in heads]
        for logits in EnlargedLogits.of(scaled, codes, size):
            given, probs = logits.labels(0, size[0]), logits.probs(0, size[0]) if detailed else None
            counts.append(ImageCounts.of(given, labels, num_classes, probs=probs, with_boundary=detailed))
        if baselines:
            pixels = read_pixels(photo.photo)
            guesses = [baseline(pixels) for baseline in baselines]
            counts += [
                ImageCounts.of(guess, labels, num_classes, with_boundary=detailed) for guess in guesses
            ]
        return counts

    by_photo = []
    # without details steps are so short that a second thread would wait for Python's lock
    num_threads = _THREADS if detailed or baselines else 1
    with progress("scoring photos", len(photos)) as advance, ThreadPoolExecutor(num_threads) as pool:
        for photo, counts in zip(photos, pool.map(count, photos, features), strict=True):
            by_photo.append(counts)
            advance(1, photo.stem)
    return [[counts[i] for counts in by_photo] for i in range(len(heads) + len(baselines))]


def read_pixels(path: Path) -> PhotoArray:
    """Return a whole photo as it is displayed, in sRGB codes."""
    photo = open_photo(path)
    return channels_last(photo.upright(photo.thumbnail(photo.height, photo.width)))


def learn_baselines(shots: Iterable[tuple[PhotoArray, LabelArray]], num_classes: int) -> dict[str, Baseline]:
    """Learn baselines in one pass over labelled photos; pixels whose label is IGNORE count for nothing.

    `majority` is the commonest class; `colour histogram` the class that a colour most often had, by Bayes'
    rule over bins of Lab. DataError where no pixel has a label, ShapeError where a photo and its labels
    differ in height or width.
    """
    by_bin = np.zeros((num_classes, _BINS**3), np.int64)
    for photo, labels in shots:
        if photo.shape[:2] != labels.shape:
            raise ShapeError(f"needed labels for a photo of {photo.shape[:2]}, got {labels.shape}")
        known = labels != IGNORE
        index = labels[known].astype(np.int64) * _BINS**3 + _bins(photo)[known]
        by_bin += np.bincount(index, minlength=by_bin.size).reshape(by_bin.shape)
    if not by_bin.any():
        raise DataError("needed labelled pixels to learn baselines from, got none")
    counts = by_bin.reshape(-1, _BINS, _BINS, _BINS).astype(np.float64)
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(counts, sigma=(0, _BLUR, _BLUR, _BLUR))
    # colours far from any seen get the commonest class; elsewhere this weighs next to nothing
    prior = by_bin.sum(1) / by_bin.sum()
    table = (blurred + 1e-6 * prior[:, None, None, None]).argmax(0).astype(np.uint8).ravel()
    return {
        "majority": lambda photo: np.full(photo.shape[:2], prior.argmax(), np.uint8),
        "colour histogram": lambda photo: table[_bins(photo)],
    }


def _bins(photo: PhotoArray) -> Int64[ndarray, "H W"]:
    """Return the number of each pixel's bin, by L * 255 / 100, a + 128 and b + 128 in 8 bit."""
    light, a, b = srgb_to_lab(np.moveaxis(photo, -1, 0) / np.float32(255))
    lab = np.stack([light * 2.55, a + 128, b + 128]).round().clip(0, 255).astype(np.uint8)
    return np.ravel_multi_index(tuple(lab // (256 // _BINS)), (_BINS, _BINS, _BINS))
