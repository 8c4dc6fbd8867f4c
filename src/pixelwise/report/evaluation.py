"""The scores of a head as one page: beside those of baselines, with its best and its worst photos."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from pixelwise import figures, page
from pixelwise.classnames import BACKGROUND, ClassNames
from pixelwise.evaluate.heads import HeadEvaluation, Judged
from pixelwise.files import write_text
from pixelwise.labelspace import IGNORE
from pixelwise.masks.read import resize_mask
from pixelwise.photos.overlay import Tint, overlay
from pixelwise.photos.photo import open_photo
from pixelwise.scores import Interval

EVALUATION = "evaluation.html"
_NUM_WORST, _NUM_BEST = 6, 3
_LONGEST = 560  # pixels of a photo's longer side on the page
_OPACITY = 0.45
_UNLABELLED = (128, 128, 128)


def write_evaluation(target: Path, found: HeadEvaluation) -> Path:
    """Write the page to `target`, a file, or into it as `evaluation.html` if it is a folder; give its path.

    Raises:
        OutputError: it cannot be written.
        PhotoError, DataError: a photo or its labels went away since they were scored.
    """
    judged = [one for one in found.photos if not math.isnan(one.miou)]
    path = evaluation_path(target)
    sections = [
        page.section("How good it is", *_scores(found)),
        page.section("Is it as often right as it is sure?", *_reliability(found)),
        page.section("Where it fails", *_photos(found, judged[:_NUM_WORST], "worst")),
        page.section("Where it does best", *_photos(found, judged[: -_NUM_BEST - 1 : -1], "best")),
        page.section("How this was measured", page.paragraph(sentence(found.protocol)), *_notes(found)),
    ]
    write_text(path, page.frame(_title(found), _lead(found), *sections))
    return path


def evaluation_path(target: Path) -> Path:
    """The page's file: `target` itself, or one in it if it is a folder or is named like one."""
    return target / EVALUATION if target.is_dir() or not target.suffix else target


def _title(found: HeadEvaluation) -> str:
    return f"{Path(found.head.name).stem.removesuffix('.head')} on {found.source}"


def _lead(found: HeadEvaluation) -> str:
    """The head in two sentences."""
    kinds = " or ".join([", ".join(found.head.classes.names[:-1]), found.head.classes.names[-1]])
    learned = found.head.facts.get("num_images")
    few = f", learned from {learned} photos" if learned else ""
    return (
        f"Every pixel is {kinds}: {found.head.weights.num_learned:,} numbers on a network that stays as it is"
        f"{few}. Of {len(found.photos)} photos that it did not learn from, "
        f"{100 * found.scores.pixel_accuracy.value:.1f}\N{NO-BREAK SPACE}% of the labelled pixels are right."
    )


def _scores(found: HeadEvaluation) -> list[str]:
    """The telling ones large, and all of them beside those of the baselines."""
    tables = {"head": found.scores.by_name()} | {name: s.by_name() for name, s in found.baselines.items()}
    large = {"mean IoU: how much classes overlap with the truth": _shown(found.scores.miou)}
    if found.scores.boundary_f1:
        last, outlines = [*found.scores.boundary_f1.items()][-1]
        large[f"outlines that agree, {last} (boundary F1)"] = _shown(outlines)
    if found.scores.calibration_error:
        large["off in how sure it is"] = _per_cent(found.scores.calibration_error)
    rows = {score: [cell(tables[name].get(score)) for name in tables] for score in tables["head"]}
    return [page.scores(large), page.grid(["", *tables], rows), page.paragraph(_BELOW)]


_BELOW = (
    "From 0 to 1, more is better, but for the calibration error. Small below: where 95 of 100 draws of as "
    "many photos would lie. Majority, colour and GrabCut need no network: what the head scores above them is "
    "what the network sees."
)


def _shown(score: Interval) -> str:
    return f"{score.value:.3f}"


def _per_cent(score: Interval) -> str:
    return f"{100 * score.value:.1f}\N{NO-BREAK SPACE}%"


def cell(score: Interval | None) -> tuple[str, str]:
    """A score, and its interval; a dash where there is none."""
    if score is None or np.isnan(score.value):
        return "\N{EN DASH}", ""
    return f"{score.value:.3f}", f"{score.low:.3f}\N{EN DASH}{score.high:.3f}"


def _reliability(found: HeadEvaluation) -> list[str]:
    light, dark = (
        page.svg_uri(figures.draw_reliability(found.calibration.bins, ink).svg())
        for ink in (figures.ON_LIGHT, figures.ON_DARK)
    )
    drawn = page.light_or_dark(light, dark, "share of right pixels by how sure the head is")
    told = (
        "Pixels by how sure the head is of them, and how many of those are right. On the straight line both "
        "are the same; a curve above it is too modest, one below it too sure. Larger dots are more pixels."
    )
    return [page.row([f"<figure>{drawn}</figure>", page.paragraph(told)], least="19rem")]


def _photos(found: HeadEvaluation, photos: Sequence[Judged], which: str) -> list[str]:
    """Photos with a border to drag between what is there and what was found."""
    told = "Drag across a photo: on the left what people drew, on the right what the head says."
    if which == "worst" and any((one.photo.read_labels() == IGNORE).any() for one in photos):
        told += " Grey has no label and does not count."
    shown = [
        page.figure(
            page.slider(*_truth_and_word(one, found), one.photo.stem),
            f"{one.photo.stem}: mean IoU {one.miou:.3f}",
        )
        for one in photos
    ]
    return [page.paragraph(told), page.row(shown, least="17rem")]


def _truth_and_word(one: Judged, found: HeadEvaluation) -> tuple[str, str]:
    """A photo twice, small: with the labels it has, and with those it was given."""
    photo, labels = open_photo(one.photo.photo), one.photo.read_labels()
    shrink = min(1.0, _LONGEST / max(labels.shape))
    height, width = (max(1, round(shrink * side)) for side in labels.shape)
    stored = (height, width) if photo.orientation < 5 else (width, height)
    pixels = photo.upright(photo.thumbnail(*stored)).permute(1, 2, 0).contiguous().numpy()
    truth = resize_mask(labels.numpy(), height, width)
    word = found.head.weights.labels(one.features.read(), (height, width)).numpy()
    drawn, given = (page.jpeg_uri(_tinted(pixels, mask, found.head.classes)) for mask in (truth, word))
    return drawn, given


def _tinted(
    pixels: UInt8[ndarray, "H W 3"], labels: UInt8[ndarray, "H W"], classes: ClassNames
) -> UInt8[ndarray, "H W 3"]:
    """Classes laid over a photo, and grey where there is no label."""
    shown = np.where(labels == IGNORE, classes.num_classes, labels).astype(np.uint8)
    tint = Tint((*classes.colours, _UNLABELLED), _OPACITY, first_is_clear=classes.names[0] == BACKGROUND)
    (painted,) = overlay(
        iter([pixels]), lambda first, num: shown[first : first + num], shown.shape, alpha=False, tint=tint
    )
    return painted


def _notes(found: HeadEvaluation) -> list[str]:
    return [page.paragraph(sentence(note)) for note in found.notes]


def sentence(text: str) -> str:
    """A remark as a sentence."""
    return f"{text[0].upper()}{text[1:]}."
