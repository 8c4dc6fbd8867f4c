"""Figures of the questions about colouring: runs compared, colours confused, where and why skips help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int64
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter
from numpy import ndarray

from pixelwise.figures import ON_LIGHT, Drawing, new_figure, styled
from pixelwise.labelspace import Palette
from pixelwise.runs import Row
from pixelwise.scores import Interval

INKS = {"CNN": ON_LIGHT.train, "U-Net": ON_LIGHT.val}
"""The colour of each network, in every figure."""
_OTHER = "#767676"
_BAR = 0.38  # width of a bar, two of which stand beside each other


def draw_runs(runs: Mapping[str, Sequence[Sequence[Row]]]) -> Drawing:
    """Validation loss and accuracy by epoch: means of runs of several seeds, bands from least to most.

    `runs` has the rows of each seed by the network's name.
    """
    with styled(ON_LIGHT):
        figure = new_figure(10, 3.8)
        left, right = figure.subplots(1, 2)
        for name, seeds in runs.items():
            _draw_band(left, seeds, "val_loss", name)
            _draw_band(right, seeds, "val_accuracy", name)
        losses = _losses_shown(runs)
        left.set_ylim(0.95 * min(losses), 1.05 * max(losses))
        left.set_title("Validation loss, nats per pixel", loc="left")
        right.set_title("Validation pixels in the right class, %", loc="left")
        left.legend(frameon=False)
    return Drawing(figure, ON_LIGHT)


def _losses_shown(runs: Mapping[str, Sequence[Sequence[Row]]]) -> list[float]:
    """Losses that are to be seen: of what is not compared the last one alone, since it may start anywhere."""
    return [
        row["val_loss"]
        for name, seeds in runs.items()
        for rows in seeds
        for row in (rows if name in INKS else rows[-1:])
    ]


def _draw_band(axes: Axes, seeds: Sequence[Sequence[Row]], key: str, name: str) -> None:
    epochs = [row["epoch"] for row in seeds[0]]
    values = np.array([[row[key] for row in rows] for rows in seeds])
    colour, line = (INKS[name], "-") if name in INKS else (_OTHER, "--")
    axes.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
    axes.plot(epochs, values.mean(0), line, color=colour, label=name, marker="o", markersize=4, linewidth=1.8)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def draw_confusion(counts: Int64[ndarray, "K K"], palette: Palette) -> Drawing:
    """What the pixels of each colour are taken for: a row for each true colour, in per cent of its pixels.

    Colours stand from dark to light, in both directions, painted beside their rows and below their columns.
    """
    order = np.argsort(palette.colours.sum(1).numpy(), kind="stable")
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    with styled(ON_LIGHT):
        figure = new_figure(6.2, 5.6)
        axes = figure.subplots()
        shown = axes.imshow(shares[np.ix_(order, order)], cmap="Greys", vmin=0, vmax=max(1.0, shares.max()))
        for place, colour in enumerate(palette.colours[order].tolist()):
            axes.add_patch(Rectangle((-2.1, place - 0.5), 1.3, 1, color=colour, linewidth=0, clip_on=False))
            axes.add_patch(
                Rectangle((place - 0.5, len(order) - 0.2), 1, 1.3, color=colour, linewidth=0, clip_on=False)
            )
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        axes.set_xlabel("taken for", labelpad=22)
        axes.set_ylabel("true colour", labelpad=26)
        figure.colorbar(shown, label="% of the true colour's pixels", shrink=0.8)
    return Drawing(figure, ON_LIGHT)


def draw_recall(counts: Int64[ndarray, "K K"], palette: Palette) -> Drawing:
    """How many pixels of each colour are found, by how many there are; a dot of each colour."""
    there = 100 * counts.sum(1) / counts.sum()
    given = 100 * counts.sum(0) / counts.sum()
    found = 100 * counts.diagonal() / np.maximum(counts.sum(1), 1)
    style = {"c": palette.colours.numpy(), "s": 90, "edgecolors": ON_LIGHT.text, "linewidths": 0.8}
    with styled(ON_LIGHT):
        figure = new_figure(10, 3.8)
        left, right = figure.subplots(1, 2)
        left.scatter(there, found, **style)
        left.set_title("Pixels of each colour that are found, %", loc="left")
        right.axline((0, 0), slope=1, color=ON_LIGHT.grid, linewidth=1.8, zorder=0)
        right.scatter(there, given, **style)
        right.set_title("Pixels that are given each colour, %", loc="left")
        for axes in (left, right):
            axes.set_xlabel("share of all pixels that truly have it, %")
            axes.set_axisbelow(True)
    return Drawing(figure, ON_LIGHT)


def draw_where(
    places: Sequence[str], right: Mapping[str, Sequence[float]], gains: Sequence[Interval]
) -> Drawing:
    """Right pixels of each network by distance to the nearest edge, and how many more the second has."""
    middles = np.arange(len(places))
    with styled(ON_LIGHT):
        figure = new_figure(10, 3.8)
        left, beside = figure.subplots(1, 2)
        for index, (name, shares) in enumerate(right.items()):
            left.bar(middles + (index - 0.5) * _BAR, shares, _BAR, color=INKS[name], label=name)
        left.set_title("Right pixels, %", loc="left")
        left.set_ylim(0, 1.25 * max(map(max, right.values())))
        left.legend(frameon=False, ncols=2, loc="upper left")
        values = np.array([one.value for one in gains])
        reach = np.array([[one.value - one.low, one.high - one.value] for one in gains]).clip(0).T
        beside.errorbar(middles, values, reach, color=ON_LIGHT.text, fmt="o", capsize=3)
        beside.axhline(0, color=ON_LIGHT.grid, linewidth=1.8)
        beside.set_title("U-Net minus CNN, percentage points", loc="left")
        for axes in (left, beside):
            axes.set_xticks(middles, places)
            axes.set_xlabel("pixels to the nearest edge of the grey picture")
            axes.grid(visible=False, axis="x")
            axes.set_axisbelow(True)
    return Drawing(figure, ON_LIGHT)


def draw_ablation(accuracies: Mapping[str, Sequence[float]]) -> Drawing:
    """Accuracy of each variant of the network: a dot for each seed, a line for their mean."""
    with styled(ON_LIGHT):
        figure = new_figure(7.5, 0.5 * len(accuracies) + 1.1)
        axes = figure.subplots()
        for place, (name, values) in enumerate(accuracies.items()):
            colour = INKS.get(name, _OTHER)
            axes.plot(values, [place] * len(values), "o", color=colour, alpha=0.6, markersize=7)
            axes.plot([float(np.mean(values))] * 2, [place - 0.3, place + 0.3], color=colour, linewidth=2.5)
        axes.set_yticks(range(len(accuracies)), list(accuracies))
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_title("Validation pixels in the right class, %", loc="left")
    return Drawing(figure, ON_LIGHT)


def draw_depth(
    gradients: Mapping[str, Sequence[Mapping[str, float]]],
    details: Mapping[str, Sequence[Mapping[str, float]]],
) -> Drawing:
    """By block: how long gradients are before the first step, and what is left of detail after the last.

    Both have a mapping by block for each seed, by the network's name.
    """
    with styled(ON_LIGHT):
        figure = new_figure(10, 3.8)
        left, right = figure.subplots(1, 2)
        _draw_by_block(left, gradients)
        left.set_yscale("log")
        left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        left.yaxis.set_minor_locator(NullLocator())
        left.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        left.set_title("Gradient over weights, before the first step", loc="left")
        _draw_by_block(right, details)
        right.set_title("Detail in what the block reads, %", loc="left")
        right.set_ylim(-3, 105)
        left.legend(frameon=False)
    return Drawing(figure, ON_LIGHT)


def _draw_by_block(axes: Axes, by_net: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    for name, seeds in by_net.items():
        blocks = list(seeds[0])
        values = np.array([[one[block] for block in blocks] for one in seeds])
        axes.fill_between(blocks, values.min(0), values.max(0), color=INKS[name], alpha=0.2, linewidth=0)
        axes.plot(
            blocks, values.mean(0), color=INKS[name], label=name, marker="o", markersize=4, linewidth=1.8
        )
