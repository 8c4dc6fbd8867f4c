"""The pages of an evaluation: a head's scores, or a colouriser's, with its best and its worst photos."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from torch import Tensor

from pixelwise.colour.palette import IGNORE
from pixelwise.evaluate.colour_result import GREY, MODEL, ColouredPhoto, ColourEvaluation
from pixelwise.evaluate.colour_scores import SCORES
from pixelwise.evaluate.colours import colour_picture, read_picture
from pixelwise.evaluate.heads import HeadEvaluation, ScoredPhoto
from pixelwise.files import write_text
from pixelwise.labels.class_names import BACKGROUND, ClassNames
from pixelwise.labels.read import resize_mask
from pixelwise.photos.overlay import Tint, overlay
from pixelwise.photos.photo import open_photo
from pixelwise.report import figures, page

EVALUATION = "evaluation.html"
_NUM_WORST, _NUM_BEST = 6, 3  # photos of a head's page
_NUM_WORST_COLOURED, _NUM_USUAL_COLOURED, _NUM_BEST_COLOURED = 5, 3, 4
_LONGEST = 560  # pixels of a photo's longer side on the page
_OPACITY = 0.45
_UNLABELLED = (128, 128, 128)


def evaluation_path(target: Path) -> Path:
    """Return the page's file: `target` itself, or one in it if it is a folder or is named like one."""
    return target / EVALUATION if target.is_dir() or not target.suffix else target


def write_head_page(path: Path, found: HeadEvaluation) -> Path:
    """Write the scores of a head as a page; return its path.

    Raises:
        OutputError: it cannot be written.
        PhotoError, DataError: a photo or its labels went away since they were scored.
    """
    head, bins = found.head, found.calibration_bins
    judged = [one for one in found.photos if not math.isnan(one.miou)]
    text = page.render(
        "head.html",
        title=f"{Path(head.name).stem.removesuffix('.head')} on {found.source}",
        found=found,
        head=head,
        tables={"head": found.scores.by_name()} | {name: s.by_name() for name, s in found.baselines.items()},
        reliability=page.drawing_uris(lambda ink: figures.draw_reliability(bins, ink)),
        worst=[_labelled(one, found) for one in judged[:_NUM_WORST]],
        best=[_labelled(one, found) for one in judged[: -_NUM_BEST - 1 : -1]],
    )
    write_text(path, text)
    return path


def _labelled(one: ScoredPhoto, found: HeadEvaluation) -> dict[str, Any]:
    """Return a photo twice, small: with the labels it has, and with those it was given."""
    photo, labels = open_photo(one.photo.photo), one.photo.read_labels()
    shrink = min(1.0, _LONGEST / max(labels.shape))
    height, width = (max(1, round(shrink * side)) for side in labels.shape)
    stored = (height, width) if photo.orientation < 5 else (width, height)
    pixels = photo.upright(photo.thumbnail(*stored)).permute(1, 2, 0).contiguous().numpy()
    truth = resize_mask(labels.numpy(), height, width)
    predicted = found.head.weights.labels(one.features.read(), (height, width)).numpy()
    truth_uri, predicted_uri = (
        page.jpeg_uri(_tinted(pixels, mask, found.head.classes)) for mask in (truth, predicted)
    )
    return {"name": one.photo.stem, "miou": one.miou, "truth": truth_uri, "predicted": predicted_uri}


def _tinted(
    pixels: UInt8[ndarray, "H W 3"], labels: UInt8[ndarray, "H W"], classes: ClassNames
) -> UInt8[ndarray, "H W 3"]:
    """Return classes laid over a photo, and grey where there is no label."""
    shown = np.where(labels == IGNORE, classes.num_classes, labels).astype(np.uint8)
    tint = Tint((*classes.colours, _UNLABELLED), _OPACITY, first_is_clear=classes.names[0] == BACKGROUND)
    (painted,) = overlay(
        iter([pixels]), lambda first, num: shown[first : first + num], shown.shape, alpha=False, tint=tint
    )
    return painted


def write_colours_page(path: Path, found: ColourEvaluation) -> Path:
    """Write the scores of a colouriser as a page; return its path.

    Raises:
        OutputError: it cannot be written.
        PhotoError: a photo went away since it was scored.
    """
    fitted = found.calibrated
    text = page.render(
        "colours.html",
        title=f"{Path(found.model.name).name} on {found.source}",
        found=found,
        num_better=sum(one.gain > 0 for one in found.photos),
        tables={
            method: {SCORES[name]: score for name, score in scores.items()}
            for method, scores in found.scores.items()
        },
        reliability=page.drawing_uris(lambda ink: figures.draw_reliability(fitted.before, ink, fitted.after)),
        shown={name: [_coloured(found, one) for one in some] for name, some in _chosen(found.photos).items()},
    )
    write_text(path, text)
    return path


def _chosen(photos: Sequence[ColouredPhoto]) -> dict[str, list[ColouredPhoto]]:
    """Return the photos to show by title; none twice."""
    by_error = sorted(photos, key=lambda one: one.scores[MODEL].ciede2000)
    worst = by_error[: -_NUM_WORST_COLOURED - 1 : -1]
    by_gain = sorted(photos, key=lambda one: -one.gain)
    best = [one for one in by_gain if one not in worst][:_NUM_BEST_COLOURED]
    rest = [one for one in by_error if one not in worst and one not in best]
    middle = rest[max(0, len(rest) - _NUM_USUAL_COLOURED) // 2 :][:_NUM_USUAL_COLOURED]
    titles = ("The largest differences to the original", "In the middle", "The most gained over grey")
    return dict(zip(titles, (worst, middle, best), strict=True))


def _coloured(found: ColourEvaluation, one: ColouredPhoto) -> dict[str, Any]:
    """Return a photo as it is, grey, coloured, and a map of how sure the network is."""
    original = read_picture(one.path, found.protocol.size)
    grey, coloured, prediction = colour_picture(original, one.path, found.model, found.protocol)
    size = (original.shape[1], original.shape[2])
    sure = torch.nn.functional.interpolate(prediction.confidence()[None, None], size, mode="bilinear")[0]
    ours, classes = one.scores[MODEL], one.classes
    pictures = {
        one.path.name: original,
        f"grey: CIEDE2000 {one.scores[GREY].ciede2000:.1f}": grey,
        f"coloured: CIEDE2000 {ours.ciede2000:.1f}, RMSE of ab {ours.ab_rmse:.1f}": coloured,
        f"confidence, white is certain: {classes.entropy:.2f} nats of surprise expected, "
        f"{classes.cross_entropy:.2f} had": (sure * 255).round().byte().expand(3, -1, -1),
    }
    return {
        "name": one.path.name,
        "pictures": {text: page.jpeg_uri(_channels_last(codes)) for text, codes in pictures.items()},
    }


def _channels_last(codes: UInt8[Tensor, "3 H W"]) -> UInt8[ndarray, "H W 3"]:
    return codes.permute(1, 2, 0).contiguous().numpy()
