"""What a network makes of every pixel of the validation pictures, and where it is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, UInt8
from numpy import ndarray
from scipy import ndimage

from pixelwise.colour import srgb_to_lab
from pixelwise.data import Pictures
from pixelwise.data.batches import Batches
from pixelwise.evaluate.pictures import grey_level, log_shares, shares_by_grey
from pixelwise.lab.seeds import over_seeds
from pixelwise.labelspace import Palette
from pixelwise.progress import progress
from pixelwise.runs import open_model
from pixelwise.scores import Confusion, Interval, crossed_sums, interval
from pixelwise.shapes import Bytes, Grey, Logits

Map = Float64[ndarray, "N H W"]
_AT_ONCE = 100  # pictures, whose logits are held in memory
EDGES_FRAC = 0.15
"""Share of all pixels that are called edges: those where brightness changes most."""
_ENDS = (0.0, 1.0, 2.0, 4.0, np.inf)  # of the bins of distance, in pixels
_NEAR_EDGES = 1.0  # pixels at most


@dataclass(frozen=True, eq=False)
class Guesses:
    """What one network made of pictures."""

    labels: UInt8[ndarray, "N H W"]
    """The true class of each pixel."""
    guessed: UInt8[ndarray, "N H W"]
    """The likeliest class of each pixel."""
    num_likelier: UInt8[ndarray, "N H W"]
    """How many classes it held for likelier than the true one."""
    losses: Float64[ndarray, " N"]
    """Cross-entropy of each picture in nats a pixel."""

    @property
    def right(self) -> Bool[ndarray, "N H W"]:
        """Where the likeliest class is the true one."""
        return self.guessed == self.labels

    @property
    def accuracy(self) -> float:
        """Share of right pixels in per cent."""
        return 100 * float(self.right.mean())


def guess(run: Path, images: Bytes) -> Guesses:
    """What a finished run's network makes of pictures.

    Raises:
        CheckpointError: the folder holds no finished run.
    """
    model = open_model(run)
    return _guess(model.logits, images, model.palette, f"looking with {run.name}")


def guess_by_grey(pictures: Pictures, palette: Palette) -> Guesses:
    """What can be said without a network: each validation pixel is as the training pixels of its grey are.

    A table from 256 levels of grey to shares of the classes; nothing is read from around a pixel.
    """
    train = Batches.of(pictures.train, palette, torch.device("cpu"))
    table = log_shares(shares_by_grey(train, palette.num_classes))

    def look_up(grey: Grey) -> Logits:
        return table[grey_level(grey[:, 0])].permute(0, 3, 1, 2)

    return _guess(look_up, pictures.val, palette, "looking up grey levels")


def _guess(look: Callable[[Grey], Logits], images: Bytes, palette: Palette, what: str) -> Guesses:
    labels = palette.encode(images)
    guessed, likelier, losses = [], [], []
    with progress(what, len(images)) as advance:
        for pictures, truth in zip(images.split(_AT_ONCE), labels.split(_AT_ONCE), strict=True):
            logits = look(palette.read_grey(pictures))
            true = logits.gather(1, truth[:, None].long())
            guessed.append(logits.argmax(1).byte())
            likelier.append((logits > true).sum(1).byte())
            losses.append((logits.logsumexp(1) - true[:, 0]).double().mean((1, 2)))
            advance(len(pictures), "")
    parts = (torch.cat(one).numpy() for one in (guessed, likelier, losses))
    return Guesses(labels.numpy(), *parts)


def gain(better: Sequence[Guesses], worse: Sequence[Guesses], seed: int) -> dict[str, Interval]:
    """How much more of the pixels (per cent) is right, and how much less the loss (nats), of paired runs.

    Pictures and runs are both drawn anew for the interval.
    """
    right, losses = (
        np.stack([value(one) - value(other) for one, other in zip(better, worse, strict=True)], 1)
        for value in (lambda one: 100 * one.right.mean((1, 2)), lambda one: -one.losses)
    )
    return {
        name: interval(crossed_sums(values, seed) / values.size)
        for name, values in (("accuracy", right), ("loss", losses))
    }


def distance_to_edges(grey: Float32[ndarray, "N H W"]) -> Map:
    """How far each pixel is from the nearest edge of its picture, in pixels; infinite where there is none.

    Edges are the `EDGES_FRAC` of all pixels where brightness changes most from one neighbour to the other.
    """
    down, right = np.gradient(grey, axis=(1, 2))
    steepness = np.hypot(down, right)
    edges = steepness >= np.quantile(steepness, 1 - EDGES_FRAC)
    far = np.full(grey.shape[1:], np.inf)
    return np.stack([ndimage.distance_transform_edt(~one) if one.any() else far for one in edges])


def bins_by_edges(distances: Map) -> Iterator[tuple[str, Bool[ndarray, "N H W"]]]:
    """Pixels on an edge, then farther and farther away, with what to call them."""
    for start, end in zip((-1.0, *_ENDS[:-1]), _ENDS, strict=True):
        name = "on an edge" if end == 0 else f"{start:.0f} to {end:.0f}" if start else "next to it"
        yield name if np.isfinite(end) else f"over {start:.0f}", (distances > start) & (distances <= end)


def gain_where(
    better: Sequence[Guesses], worse: Sequence[Guesses], where: Bool[ndarray, "N H W"], seed: int
) -> Interval:
    """How much more of the pixels at some places is right, in per cent of them; as `gain` draws."""
    pairs = zip(better, worse, strict=True)
    more = [(one.right & where).sum((1, 2)) - (other.right & where).sum((1, 2)) for one, other in pairs]
    counts = np.stack([np.stack([each, where.sum((1, 2))], -1) for each in more], 1)
    sums = crossed_sums(counts, seed)
    return interval(100 * sums[:, 0] / np.maximum(sums[:, 1], 1))


def right_where(guesses: Sequence[Guesses], where: Bool[ndarray, "N H W"]) -> float:
    """Share of right pixels at some places, in per cent, over all runs."""
    return 100 * float(np.mean([one.right[where].mean() for one in guesses]))


def more_at_edges(
    pictures: Pictures, palette: Palette, better: Sequence[Guesses], worse: Sequence[Guesses]
) -> dict[str, Any]:
    """How much larger the gain is on edges and beside them than elsewhere, seed by seed, in points."""
    near = distance_to_edges(palette.read_grey(pictures.val)[:, 0].numpy()) <= _NEAR_EDGES
    return paired(
        [
            right_where([one], near)
            - right_where([other], near)
            - right_where([one], ~near)
            + right_where([other], ~near)
            for one, other in zip(better, worse, strict=True)
        ]
    )


def borders_frac(labels: UInt8[ndarray, "N H W"]) -> float:
    """Share of neighbouring pixels that have different classes: how much detail there is."""
    beside = (labels[:, 1:] != labels[:, :-1]).ravel(), (labels[..., 1:] != labels[..., :-1]).ravel()
    return float(np.concatenate(beside).mean())


def mean_chroma(labels: UInt8[ndarray, "N H W"], palette: Palette) -> float:
    """How colourful pictures are whose pixels have these classes: mean distance from grey in Lab units."""
    shares = np.bincount(labels.ravel(), minlength=palette.num_classes) / labels.size
    return float(shares @ np.hypot(*_lab(palette)[:, 1:].T))


def agreement(guesses: Guesses, palette: Palette, within: float) -> dict[str, float]:
    """Shares of pixels whose guessed colour is near the true one: in lightness, and in a and b; per cent.

    Near is at most `within` units of Lab apart. The true colour is that of the true class.
    """
    lab = _lab(palette)
    apart = lab[guesses.guessed] - lab[guesses.labels]
    near = {"lightness": np.abs(apart[..., 0]), "chroma": np.hypot(apart[..., 1], apart[..., 2])}
    return {name: 100 * float((distance <= within).mean()) for name, distance in near.items()}


def plain(intervals: dict[str, Interval]) -> dict[str, dict[str, float]]:
    """Intervals as JSON takes them."""
    return {name: asdict(one) for name, one in intervals.items()}


def gain_by_seed(unet: Sequence[Guesses], cnn: Sequence[Guesses]) -> dict[str, Any]:
    """Each seed's own gain, and the interval that new seeds alone would give their mean."""
    measures: dict[str, Callable[[Guesses, Guesses], float]] = {
        "accuracy": lambda one, other: one.accuracy - other.accuracy,
        "loss": lambda one, other: float(other.losses.mean() - one.losses.mean()),
    }
    return {
        name: paired([measure(one, other) for one, other in zip(unet, cnn, strict=True)])
        for name, measure in measures.items()
    }


def paired(gains: Sequence[float]) -> dict[str, Any]:
    """Differences seed by seed, and what they tell of others."""
    return {"gains": list(gains), "over_seeds": over_seeds(gains)}


def by_colour(confusion: Confusion, palette: Palette) -> list[dict[str, Any]]:
    """Of each colour, commonest first: its share of pixels and of guesses, and how much of it is found."""
    counts = confusion.counts
    true, given, total = counts.sum(1), counts.sum(0), counts.sum()
    off = counts - np.diag(counts.diagonal())
    codes = (255 * palette.colours).round().int().tolist()
    return [
        {
            "colour": codes[index],
            "share": float(100 * true[index] / total),
            "given": float(100 * given[index] / total),
            "found": float(100 * counts[index, index] / max(true[index], 1)),
            "taken_for": codes[int(off[index].argmax())],
        }
        for index in np.argsort(-true, kind="stable").tolist()
    ]


def looks(palette: Palette, by_name: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """How much detail pictures have (borders between classes, per cent), and how colourful they are."""
    return {
        name: {"borders": 100 * borders_frac(labels), "chroma": mean_chroma(labels, palette)}
        for name, labels in by_name.items()
    }


def to_the_eye(
    palette: Palette, cnn: Sequence[Guesses], unet: Sequence[Guesses], within: float
) -> dict[str, dict[str, Any]]:
    """Detail, colourfulness, nearness to the true colour of both networks: means, and gains over seeds."""

    def seen(one: Guesses) -> dict[str, float]:
        near = agreement(one, palette, within)
        return looks(palette, {"": one.guessed})[""] | {f"near_{name}": share for name, share in near.items()}

    of_cnn, of_unet = ([seen(one) for one in guesses] for guesses in (cnn, unet))
    return {
        name: {
            "cnn": float(np.mean([one[name] for one in of_cnn])),
            "unet": float(np.mean([one[name] for one in of_unet])),
            "gain": over_seeds([one[name] - other[name] for one, other in zip(of_unet, of_cnn, strict=True)]),
        }
        for name in of_cnn[0]
    }


def places(
    pictures: Pictures, palette: Palette, by_name: dict[str, list[Guesses]], seed: int | None = None
) -> list[dict[str, Any]]:
    """By distance to the nearest edge of the grey picture: share of pixels, and of right ones.

    With a seed, also the gain of the last network over the first.
    """
    distances = distance_to_edges(palette.read_grey(pictures.val)[:, 0].numpy())
    found = []
    for name, where in bins_by_edges(distances):
        if where.any():
            place: dict[str, Any] = {"place": name, "share": 100 * float(where.mean())}
            place |= {net: right_where(guesses, where) for net, guesses in by_name.items()}
            if seed is not None:
                first, last = list(by_name.values())
                place["gain"] = asdict(gain_where(last, first, where, seed))
            found.append(place)
    return found


def _lab(palette: Palette) -> Float64[ndarray, "K 3"]:
    """Lab of the colours of a palette in rgb."""
    return srgb_to_lab(palette.colours.T[:, :, None])[..., 0].T.double().numpy()
