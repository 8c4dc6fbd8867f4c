"""The scores of a colouriser as one page: beside baselines, photo by photo, with those that show most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from pixelwise import figures, page
from pixelwise.evaluate.colours import colour_picture, read_picture
from pixelwise.evaluate.found import GREY, MODEL, ColouredPhoto, ColourEvaluation
from pixelwise.files import write_text
from pixelwise.report.evaluation import cell, evaluation_path, sentence
from pixelwise.scores.colours import SCORES

_NUM_WORST, _NUM_USUAL, _NUM_BEST = 5, 3, 4


def write_colour_evaluation(target: Path, found: ColourEvaluation) -> Path:
    """Write the page to `target`, a file, or into it as `evaluation.html` if it is a folder; give its path.

    Raises:
        OutputError: it cannot be written.
        PhotoError: a photo went away since it was scored.
    """
    path = evaluation_path(target)
    shown = _chosen(found.photos)
    sections = [
        *(page.warning(sentence(warning)) for warning in found.warnings),
        page.section("How good it is", *_scores(found)),
        page.section("Photo by photo", *_spread(found)),
        page.section("Is it as often right as it is sure?", *_reliability(found)),
        *(page.section(title, *_photos(found, told, photos)) for title, (told, photos) in shown.items()),
        page.section("How this was measured", page.table(found.protocol.steps)),
        page.section("What to know beside these figures", *_paragraphs(found.notes)),
    ]
    write_text(path, page.frame(f"{Path(found.model.name).name} on {found.source}", _lead(found), *sections))
    return path


def _lead(found: ColourEvaluation) -> str:
    """The model in two sentences."""
    scores = found.scores[MODEL]
    strength, gain = scores["colourfulness_ratio"].value, found.gain.value
    nearer = f"{abs(gain):.2f} {'nearer to' if gain > 0 else 'farther from'} the truth than grey"
    return (
        f"{len(found.photos)} photos coloured from their grey, each compared with what it was: by CIEDE2000 "
        f"they are {nearer}, and {100 * strength:.0f}\N{NO-BREAK SPACE}% as colourful as the originals."
    )


def _scores(found: ColourEvaluation) -> list[str]:
    """The telling ones large, and all of them beside those of the baselines."""
    ours = found.scores[MODEL]
    large = {
        "CIEDE2000 to the original: less is better": f"{ours['ciede2000'].value:.2f}",
        "root mean square error of ab: less is better": f"{ours['ab_rmse'].value:.2f}",
        "colourfulness, of the originals'": f"{100 * ours['colourfulness_ratio'].value:.0f}"
        "\N{NO-BREAK SPACE}%",
    }
    names = {SCORES[name]: name for name in SCORES}
    rows = {label: [cell(one[name]) for one in found.scores.values()] for label, name in names.items()}
    return [page.scores(large), page.grid(["", *found.scores], rows), page.paragraph(_BELOW)]


_BELOW = (
    "Small below: where 95 of 100 draws of as many photos would lie. Less is better of CIEDE2000, RMSE and "
    "cross-entropy, more of PSNR and accuracy; colourfulness is best near a ratio of 1. Dull colours come "
    "near to every truth, so read errors together with colourfulness: mean ab shows how near, and how dull."
)


def _spread(found: ColourEvaluation) -> list[str]:
    """CIEDE2000 of each photo, by what coloured it."""
    each = {name: [one.scores[name].ciede2000 for one in found.photos] for name in found.scores}
    light, dark = (
        page.svg_uri(figures.draw_spread(each, "CIEDE2000 to the original, one dot a photo", ink).svg())
        for ink in (figures.ON_LIGHT, figures.ON_DARK)
    )
    drawn = page.light_or_dark(light, dark, "CIEDE2000 of each photo, by what coloured it")
    won = sum(one.gain > 0 for one in found.photos)
    told = f"Nearer to the truth than grey on {won} of {len(found.photos)} photos. Lines are means."
    return [f"<figure>{drawn}</figure>", page.paragraph(told)]


def _reliability(found: ColourEvaluation) -> list[str]:
    fitted = found.calibrated
    light, dark = (
        page.svg_uri(figures.draw_reliability(fitted.before, ink, fitted.after).svg())
        for ink in (figures.ON_LIGHT, figures.ON_DARK)
    )
    drawn = page.light_or_dark(light, dark, "share of right pixels by how sure the network is")
    before, after = (f"{100 * one.value:.1f}" for one in (fitted.error_before, fitted.error_after))
    told = (
        f"Pixels by how sure the network is of the likeliest of {found.model.palette.num_classes} classes, "
        "and how many of those are right. On the straight line both are the same; a curve above it is too "
        f"modest, one below it too sure. On average it is off by {before}\N{NO-BREAK SPACE}%; with its "
        f"logits divided by {fitted.temperature:.2f}, or by what the other half of the photos asks for, by "
        f"{after}\N{NO-BREAK SPACE}%.",
        "This temperature calibrates. The one that photos are decoded with is a matter of taste: "
        "lower is bolder, higher is duller.",
    )
    parts = [f"<figure>{drawn}</figure>", f"<div>{''.join(page.paragraph(one) for one in told)}</div>"]
    return [page.row(parts, least="19rem")]


def _chosen(photos: Sequence[ColouredPhoto]) -> dict[str, tuple[str, Sequence[ColouredPhoto]]]:
    """Which photos are shown, why, and under which title; none twice."""
    by_error = sorted(photos, key=lambda one: one.scores[MODEL].ciede2000)
    by_gain = sorted(photos, key=lambda one: -one.gain)
    worst = by_error[: -_NUM_WORST - 1 : -1]
    best = [one for one in by_gain if one not in worst][:_NUM_BEST]
    rest = [one for one in by_error if one not in worst and one not in best]
    start = max(0, (len(rest) - _NUM_USUAL) // 2)
    chosen = {
        "Where it is farthest off": ("The largest differences to the original.", worst),
        "As it usually is": ("Photos in the middle, by difference.", rest[start : start + _NUM_USUAL]),
        "Where it does best": ("The most gained over grey.", best),
    }
    return {title: (told, some) for title, (told, some) in chosen.items() if some}


def _photos(found: ColourEvaluation, told: str, photos: Sequence[ColouredPhoto]) -> list[str]:
    """A row for each photo: as it is, grey, coloured, and how sure the network is."""
    return [page.paragraph(told), *(_row(found, one) for one in photos)]


def _row(found: ColourEvaluation, one: ColouredPhoto) -> str:
    original = read_picture(one.path, found.protocol.size)
    grey, coloured, prediction = colour_picture(original, one.path, found.model, found.protocol)
    sure = prediction.confidence()
    ours, left_grey = one.scores[MODEL], one.scores[GREY]
    pictures = {
        f"{one.path.name}": _pixels(original),
        f"grey: CIEDE2000 {left_grey.ciede2000:.1f}": _pixels(grey),
        f"coloured: CIEDE2000 {ours.ciede2000:.1f}, RMSE of ab {ours.ab_rmse:.1f}": _pixels(coloured),
        f"how sure, white is certain: {one.classes.entropy:.2f} nats of surprise expected, "
        f"{one.classes.cross_entropy:.2f} had": _map(sure, (original.shape[1], original.shape[2])),
    }
    shown = [
        page.figure(page.image(page.jpeg_uri(pixels), f"{one.path.stem}, {caption}"), caption)
        for caption, pixels in pictures.items()
    ]
    return page.row(shown, least="11rem")


def _pixels(codes: UInt8[Tensor, "3 H W"]) -> UInt8[ndarray, "H W 3"]:
    return codes.permute(1, 2, 0).contiguous().numpy()


def _map(values: Float[Tensor, "h w"], size: tuple[int, int]) -> UInt8[ndarray, "H W 3"]:
    """Values from 0 to 1 as greys, enlarged."""
    large = torch.nn.functional.interpolate(values[None, None], size, mode="bilinear")[0]
    return _pixels((large * 255).round().byte().expand(3, -1, -1))


def _paragraphs(texts: Sequence[str]) -> list[str]:
    return [page.paragraph(sentence(text)) for text in texts]
