"""The pages of an evaluation: a head's scores, or a colouriser's, with its best and its worst photos."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float64
from pixelwise.colour.palette import IGNORE
from pixelwise.evaluate import colours
from pixelwise.evaluate.colour_scores import SCORES
from pixelwise.evaluate.colours import GREY, MODEL, ColouredPhoto, ColourEvaluation
from pixelwise.evaluate.heads import HeadEvaluation, ScoredPhoto
from pixelwise.labels.class_names import BACKGROUND, ClassNames
from pixelwise.labels.read import resize_mask
from pixelwise.photos.crop_view import WHOLE, read_view
from pixelwise.photos.overlay import Tint, overlay
from pixelwise.photos.photo import open_photo
from pixelwise.photos.resize import channels_last, resize
from pixelwise.report import page
from pixelwise.segmenting.linear_head import EnlargedLogits

_NUM_WORST, _NUM_BEST = 6, 3  # photos
_LONGEST = 560  # pixels of a photo's longer side on the page
_OPACITY = 0.45
_UNLABELLED = (128, 128, 128)


def write_head_page(path: Path, found: HeadEvaluation) -> Path:
    """Write the scores of a head as a page; return its path. Errors are those of photos and labels."""
    head = found.head
    judged = [photo for photo in found.photos if not math.isnan(photo.miou)]
    return page.write_page(
        path,
        "head.html",
        title=f"{Path(head.name).stem.removesuffix('.head')} on {found.source}",
        found=found,
        head=head,
        tables={"head": found.scores.by_name()} | {name: s.by_name() for name, s in found.baselines.items()},
        reliability=_reliability(found.calibration_bins),
        worst=[_labelled(photo, found) for photo in judged[:_NUM_WORST]],
        best=[_labelled(photo, found) for photo in judged[: -_NUM_BEST - 1 : -1]],
    )


def _reliability(bins: Float64[ndarray, "3 B"]) -> dict[str, str]:
    from pixelwise.report import figures  # scores without a page have no need of them

    return page.drawing_uris(lambda ink: figures.draw_reliability(bins, ink))


def _labelled(scored: ScoredPhoto, found: HeadEvaluation) -> dict[str, Any]:
    """Return a photo twice, small: with the labels it has, and with those it was given."""
    photo, labels = open_photo(scored.photo.photo), scored.photo.read_labels()
    shrink = min(1.0, _LONGEST / max(labels.shape))
    height, width = (max(1, round(shrink * side)) for side in labels.shape)
    pixels = channels_last(read_view(photo, WHOLE, height, width))
    (logits,) = EnlargedLogits.of([found.head.weights], scored.features.read(), (height, width))
    return {
        "name": scored.photo.stem,
        "miou": scored.miou,
        "truth": _tinted(pixels, resize_mask(labels, height, width), found.head.classes),
        "predicted": _tinted(pixels, logits.labels(0, height), found.head.classes),
    }


def _tinted(pixels: np.ndarray, mask: np.ndarray, classes: ClassNames) -> str:
    """Return a photo with the classes of a mask laid over it, grey where a pixel has none, as a data: URI."""
    shown = np.where(mask == IGNORE, classes.num_classes, mask).astype(np.uint8)
    tint = Tint((*classes.colours, _UNLABELLED), _OPACITY, first_is_clear=classes.names[0] == BACKGROUND)
    (painted,) = overlay(
        iter([pixels]), lambda first, num: shown[first : first + num], shown.shape, alpha=False, tint=tint
    )
    return page.jpeg_uri(painted)


def write_colours_page(path: Path, found: ColourEvaluation) -> Path:
    """Write the scores of a colouriser as a page; return its path; a PhotoError where a photo went away."""
    return page.write_page(
        path,
        "colours.html",
        title=f"{Path(found.model.name).name} on {found.source}",
        found=found,
        num_better=sum(photo.gain > 0 for photo in found.photos),
        tables={
            method: {SCORES[name]: score for name, score in scores.items()}
            for method, scores in found.scores.items()
        },
        reliability=_reliability(found.calibration_bins),
        shown={
            title: [_coloured(found, photo) for photo in photos]
            for title, photos in _chosen(found.photos).items()
        },
    )


def _chosen(photos: Sequence[ColouredPhoto]) -> dict[str, list[ColouredPhoto]]:
    worst = sorted(photos, key=lambda photo: -photo.scores[MODEL].ciede2000)[:_NUM_WORST]
    others = [photo for photo in photos if photo not in worst]
    best = sorted(others, key=lambda photo: -photo.gain)[:_NUM_BEST]
    return {"The largest differences to the original": worst, "The most gained over grey": best}


def _coloured(found: ColourEvaluation, scored: ColouredPhoto) -> dict[str, Any]:
    """Return a photo as it is, grey, coloured, and a map of the network's confidence, if it says it."""
    original = colours.read_picture(scored.path, found.size)
    grey, coloured, prediction = colours.colour_picture(original, scored.path, found.model, found.options)
    ours = scored.scores[MODEL]
    pictures = {
        scored.path.name: original,
        f"grey: CIEDE2000 {scored.scores[GREY].ciede2000:.1f}": grey,
        f"coloured: CIEDE2000 {ours.ciede2000:.1f}, RMSE of ab {ours.ab_rmse:.1f}": coloured,
    }
    if prediction.palette is not None:
        confidence = resize(prediction.confidence(), original.shape[1:])
        pictures[f"confidence, white is certain: cross-entropy {ours.cross_entropy:.2f} nats"] = np.repeat(
            (confidence[None] * 255).round().astype(np.uint8), 3, axis=0
        )
    pixels = {text: channels_last(codes) for text, codes in pictures.items()}
    return {"name": scored.path.name, "pictures": {text: page.jpeg_uri(p) for text, p in pixels.items()}}
