"""Question B5, which is ours: why a table of greys beats the handout's networks, and what beats the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from pixelwise.colour.arrays import Float, Float64
from pixelwise.colour.palette import Palette
from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.lab import outcomes
from pixelwise.lab.answer import PICTURES, Answer, Setting
from pixelwise.lab.colouring import compare_pictures, train_alike
from pixelwise.network.config import UNetConfig
from pixelwise.report.figures import draw_strips
from pixelwise.training.data.pictures import Pictures
from pixelwise.training.evaluation import evaluate
from pixelwise.training.models.handout import CNN, NUM_GREYS, grey_level
from pixelwise.training.recipes import recipe
from pixelwise.training.runs import open_torch_model, read_metrics

_NUM_SEEDS, _EPOCHS, _QUICK_EPOCHS = 3, 24, 1


def answer_b5(setting: Setting) -> Answer:
    """Compare the table with what is linear in grey, the handout's U-Net, and one with the table inside."""
    pictures, seeds = setting.pictures(), range(1 if setting.quick else _NUM_SEEDS)
    unets = [train_alike(setting, f"unet-seed{seed}", UNetConfig(), seed) for seed in seeds]  # those of B2
    runs = [_train(setting, "beyond", seed) for seed in seeds]
    model, changed = open_torch_model(unets[0]), open_torch_model(runs[0])
    baseline = evaluate(model, pictures, setting.seed)["grey level"]
    palette = model.palette
    counts, val_counts = count_greys(pictures.train, palette), count_greys(pictures.val, palette)
    linear = fit_linear(counts)
    logits = {"unet": model.logits, "beyond": changed.logits}
    values = {
        "table": {name: score.to_dict() for name, score in baseline.items()},
        "linear": score_by_grey(linear, val_counts) | {"spread": spread(linear)},
        "unet": outcomes.training(unets)
        | {"spread": _spread_of_skip(cast(CNN, model.net)), "steps": read_metrics(unets[0])[-1]["step"]},
        "unet_trained_alike": outcomes.training([_train(setting, "best", 0)]),
        "beyond": outcomes.training(runs) | {"table_parameters": NUM_GREYS * palette.num_classes},
        "chroma_error": _chroma_errors(pictures, palette, np.log(counts + 1.0), logits),
    }
    strips = draw_strips(compare_pictures({"U-Net": unets[0], "U-Net with a table": runs[0]}))
    return Answer(values, [setting.draw("b5-pictures", strips)])


def _train(setting: Setting, name: str, seed: int) -> Path:
    """Train a U-Net by the recipe `beyond`, or for as long by `best`, which differs by the table alone."""
    epochs = _QUICK_EPOCHS if setting.quick else _EPOCHS
    options = {"epochs": epochs, "precision": setting.precision, "seed": setting.seed_of(seed)}
    return setting.trained(f"{name}-seed{seed}", recipe(name, "unet", PICTURES, **options))


def count_greys(images: Tensor, palette: Palette) -> Float64[ndarray, "greys K"]:
    """Return how many pixels of each grey level have each class."""
    codes = images.numpy()
    grey, classes = grey_level(torch.from_numpy(palette.read_grey(codes))).numpy(), palette.encode(codes)
    joint = grey * palette.num_classes + classes
    counts = np.bincount(joint.ravel(), minlength=NUM_GREYS * palette.num_classes)
    return counts.reshape(NUM_GREYS, -1).astype(np.float64)


def fit_linear(counts: Float64[ndarray, "greys K"]) -> Float64[ndarray, "greys K"]:
    """Return the logits of the best classifier that is linear in the grey value alone, by grey level.

    It is multinomial logistic regression, which is convex: nothing of this form has a lower training loss.
    """
    grey = torch.linspace(0, 1, NUM_GREYS, dtype=torch.float64)
    inputs = torch.stack([torch.ones_like(grey), grey], 1)
    weight = torch.zeros(2, counts.shape[1], dtype=torch.float64, requires_grad=True)
    shares = torch.from_numpy(counts / counts.sum())
    solver = torch.optim.LBFGS(
        [weight], max_iter=5000, tolerance_grad=1e-9, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        solver.zero_grad()
        value = -(shares * (inputs @ weight).log_softmax(-1)).sum()
        value.backward()
        return value

    solver.step(loss)
    return (inputs @ weight).detach().numpy()


def spread(logits: Float64[ndarray, "greys K"]) -> float:
    """Return the largest difference of two classes' weights of the grey value, of logits linear in it."""
    return float(np.ptp(logits[-1] - logits[0]))


@torch.no_grad()
def _spread_of_skip(net: CNN) -> float:
    """Return the same of a U-Net's last convolution, for even grey all over."""
    weights = net.classes.weight[:, -1].sum((1, 2))
    return float(weights.max() - weights.min())


def score_by_grey(
    logits: Float64[ndarray, "greys K"], counts: Float64[ndarray, "greys K"]
) -> dict[str, float]:
    """Return loss in nats and right pixels in per cent where every pixel has the logits of its grey level."""
    log_probs, num = torch.from_numpy(logits).log_softmax(1).numpy(), counts.sum()
    right = counts[np.arange(len(counts)), logits.argmax(1)].sum()
    return {"loss": float(-(counts * log_probs).sum() / num), "accuracy": float(100 * right / num)}


def _chroma_errors(
    pictures: Pictures, palette: Palette, table: Float64[ndarray, "greys K"], logits: dict[str, Any]
) -> dict[str, float]:
    """Return root mean square errors of Lab a and b on validation pictures, whose lightness is kept.

    Chroma is the mean of the classes' own by their probabilities. `grey` has none, `table` that of the grey
    level, and the others that of their logits.
    """
    codes = pictures.val.numpy()
    grey, true = palette.read_grey(codes), srgb_to_lab(codes / np.float32(255))[:, 1:]
    by_level = palette.chroma(table.T[None, :, None], 1.0)[0, :, 0]
    levels = grey_level(torch.from_numpy(grey)).numpy()
    found = {"grey": np.zeros_like(true), "table": by_level[:, levels].swapaxes(0, 1)}
    found |= {name: palette.chroma(give(grey), 1.0) for name, give in logits.items()}
    return {name: _root_mean_square(chroma - true) for name, chroma in found.items()}


def _root_mean_square(difference: Float[ndarray, "N 2 H W"]) -> float:
    return float(np.sqrt(np.square(difference.astype(np.float64)).sum(1).mean()))
