"""What question A4 found, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator
from torch import Tensor

from pixelwise.figures import ON_LIGHT, Drawing, Strip, beside, draw_strips, new_figure, styled
from pixelwise.labelspace import Palette

_GREEN = "#009e73"  # Okabe and Ito's, as are those of the ink


def draw_grid(grid: dict[str, Any]) -> Drawing:
    """Accuracy over a and b, with stored statistics and with those of the batch."""
    with styled(ON_LIGHT):
        figure = new_figure(11, 0.5 * len(grid["b"]) + 1.5)
        axes = figure.subplots(1, 2, sharey=True)
        high = max(max(row) for name in ("stored", "batch") for row in grid[name])
        titles = {"stored": "Statistics as stored", "batch": "Statistics of the batch"}
        for place, (name, title) in zip(axes, titles.items(), strict=True):
            place.imshow(grid[name], cmap="cividis", vmin=0, vmax=high, aspect="auto", origin="lower")
            for row, values in enumerate(grid[name]):
                for column, value in enumerate(values):
                    ink = "white" if value < 0.6 * high else "black"
                    place.text(column, row, f"{value:.0f}", ha="center", va="center", color=ink, fontsize=9)
            place.set_xticks(range(len(grid["a"])), [f"{a:g}" for a in grid["a"]])
            place.set_yticks(range(len(grid["b"])), [f"{b:g}" for b in grid["b"]])
            place.set_xlabel("a")
            place.set_title(title, loc="left")
            place.grid(False)
        axes[0].set_ylabel("b")
        figure.suptitle("Right pixels, %, of the trained CNN on ax + b", fontsize=11, x=0.02, ha="left")
    return Drawing(figure, ON_LIGHT)


def draw_paddings(paddings: dict[str, Any]) -> Drawing:
    """Every point of the grid by b / a, over what x padded with -b / a gives."""
    with styled(ON_LIGHT):
        figure = new_figure(7.5, 4)
        axes = figure.subplots()
        for name, filters, colour, marker in (
            ("positive", "W", ON_LIGHT.val, "o"),
            ("negative", "-W", ON_LIGHT.train, "s"),
        ):
            ratio, on_ax_b, on_padded_x = (
                [point[key] for point in paddings[name]] for key in ("ratio", "on_ax_b", "on_padded_x")
            )
            axes.plot(ratio, on_padded_x, color=colour, label=f"{filters} on x padded with -b/a")
            label = f"W on ax + b, a {name}"
            axes.plot(ratio, on_ax_b, marker, color=colour, markersize=5, alpha=0.7, label=label)
        axes.set_xscale("symlog", linthresh=0.5)
        reach = [10**power for power in range(3)]
        axes.set_xticks([*(-one for one in reach[::-1]), 0, *reach])
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(0)
        axes.set_xlabel("b / a")
        axes.set_title("Right pixels, %, statistics of the batch", loc="left")
        axes.legend(frameon=False, fontsize=9, loc="upper left")
    return Drawing(figure, ON_LIGHT)


def draw_border(border: dict[str, Any]) -> Drawing:
    """Where logits move on x + b, and how much by the distance from the border."""
    with styled(ON_LIGHT):
        figure = new_figure(11, 4)
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.35])
        drawn = left.imshow(border["map"], cmap="magma", vmin=0)
        left.set_title(f"How far logits move on x + {border['b']:g}", loc="left")
        left.set_xlabel("column")
        left.set_ylabel("row")
        left.grid(False)
        figure.colorbar(drawn, ax=left, label="in their standard deviations", shrink=0.85)
        curves = {
            "batch": ("padded with 0, statistics of the batch", ON_LIGHT.train, "o"),
            "absorbed": ("padded with 0, weights that undo it", ON_LIGHT.val, "s"),
            "padded_with_b": ("padded with b, statistics of the batch", _GREEN, "^"),
        }
        for name, (label, colour, marker) in curves.items():
            values = np.maximum(border["by_distance"][name], 1e-17)
            right.plot(border["distance"], values, color=colour, marker=marker, markersize=4, label=label)
        right.set_yscale("log")
        right.set_xlabel("distance from the border, pixels")
        right.set_title("The same by distance from the border", loc="left")
        right.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(0, 0.55))
    return Drawing(figure, ON_LIGHT)


_STAGES = ("given", "convolution", "max pooling", "batch norm", "ReLU")


def draw_stages(on_x: Sequence[Tensor], on_minus_x: Sequence[Tensor]) -> Drawing:
    """One filter of the first block, layer by layer: on a picture above, on its negative below."""
    with styled(ON_LIGHT):
        figure = new_figure(11, 4.7)
        axes = figure.subplots(2, len(_STAGES))
        for place, maps, name in zip(axes, (on_x, on_minus_x), ("x", "-x"), strict=True):
            for one, values, stage in zip(place, maps, _STAGES, strict=True):
                if stage in ("batch norm", "ReLU"):
                    one.imshow(values.numpy(), cmap="PuOr_r", vmin=-3, vmax=3, interpolation="nearest")
                else:
                    one.imshow(values.numpy(), cmap="gray", interpolation="nearest")
                one.set_title(name if stage == "given" else stage, fontsize=11)
                one.set_axis_off()
    return Drawing(figure, ON_LIGHT)


def draw_epsilon(epsilon: dict[str, Any]) -> Drawing:
    """Accuracy as a goes to 0."""
    rows = {
        "without_epsilon": ("ax, first epsilon taken away", "-", "", _GREEN),
        "reading_ax": ("ax", "-", "", ON_LIGHT.val),
        "epsilon_over_a2": ("x, first epsilon over a\N{SUPERSCRIPT TWO}", "", "o", ON_LIGHT.train),
    }
    with styled(ON_LIGHT):
        figure = new_figure(6.5, 3.7)
        axes = figure.subplots()
        for name, (label, line, marker, colour) in rows.items():
            axes.plot(
                epsilon["a"],
                epsilon[name],
                label=label,
                color=colour,
                linewidth=1.8,
                linestyle=line,
                marker=marker,
                markersize=6,
            )
        axes.set_xscale("log")
        axes.set_ylim(0)
        axes.set_xlabel("a")
        axes.set_title("Right pixels, %, statistics of the batch", loc="left")
        axes.legend(frameon=False, fontsize=9, loc="lower right")
    return Drawing(figure, ON_LIGHT)


def draw_skip(skip: dict[str, Any]) -> Drawing:
    """Pixels that the U-Net classes otherwise, by a and by b."""
    with styled(ON_LIGHT):
        figure = new_figure(11, 3.7)
        for axes, name in zip(figure.subplots(1, 2, sharey=True), ("a", "b"), strict=True):
            for reads, label, colour, marker in (
                ("reads_ax_b", "the skip from the picture reads ax + b", ON_LIGHT.train, "o"),
                ("reads_x", "it reads x, all else ax + b", ON_LIGHT.val, "s"),
            ):
                values = [row[reads]["changed"] for row in skip[name]]
                axes.plot([row[name] for row in skip[name]], values, color=colour, marker=marker, label=label)
            axes.set_xlabel("a, at b = 0" if name == "a" else "b, at a = 1")
            if name == "a":
                axes.set_xscale("log")
                axes.set_title("Pixels that the U-Net classes otherwise than on x, %", loc="left")
                axes.legend(frameon=False, fontsize=9)
    return Drawing(figure, ON_LIGHT)


def draw_pictures(
    images: UInt8[Tensor, "N 3 H W"], classes: Sequence[tuple[str, Int64[Tensor, "N H W"]]]
) -> Drawing:
    """Pictures, and below them what was predicted, each with its title."""
    palette = Palette.read("handout24")
    rows = [("Truth", images / 255), *((title, palette.decode(labels)) for title, labels in classes)]
    return draw_strips([Strip(title, beside(shown)) for title, shown in rows])


def draw_retrained(retrained: dict[str, Any]) -> Drawing:
    """Accuracy after training on ax + b, seed by seed, beside that on x."""
    with styled(ON_LIGHT):
        figure = new_figure(11, 3.8)
        for axes, net, name in zip(
            figure.subplots(1, 2, sharey=True), ("cnn", "unet"), ("CNN", "U-Net"), strict=True
        ):
            rows = [retrained[net]["on_x"], *retrained[net]["rows"]]
            _draw_seeds(axes, rows, "stored", ON_LIGHT.train, -0.12)
            _draw_seeds(axes, rows, "batch", ON_LIGHT.val, 0.12)
            axes.set_xticks(range(len(rows)), [row["reads"] for row in rows])
            axes.set_title(f"{name}: right pixels after training on ax + b, %", loc="left")
        axes.set_ylim(0)  # of both
        axes.legend(frameon=False, fontsize=9, loc="lower left")
    return Drawing(figure, ON_LIGHT)


def _draw_seeds(axes: Axes, rows: Sequence[dict[str, Any]], name: str, colour: str, aside: float) -> None:
    """A point for each seed, a line for their mean."""
    for place, row in enumerate(rows):
        values, label = row[name]["accuracy"], f"statistics {'as ' if name == 'stored' else 'of the '}{name}"
        axes.plot([place + aside] * len(values), values, "o", color=colour, markersize=4, alpha=0.7)
        line = [place + aside - 0.09, place + aside + 0.09]
        axes.plot(line, [np.mean(values)] * 2, color=colour, linewidth=2, label="" if place else label)
