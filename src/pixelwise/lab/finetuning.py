"""Questions C1, C2 and C3: only the last layer learns, with a certificate; its scores and its masks."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy import ndarray
from PIL import Image
from torch import Tensor, nn
from torchvision.models.segmentation import deeplabv3_resnet101

from pixelwise.api.segmentation import segment
from pixelwise.colour.arrays import UInt8
from pixelwise.colour.palette import IGNORE
from pixelwise.errors import FrozenError
from pixelwise.lab.answer import PHOTOS, Answer, Setting
from pixelwise.lab.costs import HANDOUT_LAYER, HANDOUT_NETWORK
from pixelwise.lab.networks import num_parameters
from pixelwise.labels.confusion import Confusion
from pixelwise.labels.labelled import LabelledPhoto
from pixelwise.labels.sources import load_labelled
from pixelwise.network.config import FinetuneConfig
from pixelwise.progress import progress
from pixelwise.report.figures import Drawing, new_drawing
from pixelwise.segmenting.feature_cache import FeatureCache
from pixelwise.segmenting.heads import open_head
from pixelwise.training.finetune import FinetuneResult, finetune
from pixelwise.training.frozen import certified, learn_only

_NUM_CLASSES, _CHANNELS = 2, 256  # of the handout's last layer: outputs and inputs
_SIDE, _BATCH = 64, 2  # of the pictures of one step: batch norm in training mode needs two
_HANDOUT_SIZE = 224
_SHOTS, _FEW_SHOTS = 40, 5
_EPOCHS, _FEW_EPOCHS = 10, 5
_FEW_SCORED, _NUM_SHOWN = 40, 3  # photos; those shown are of each kind
_SHOWN_SIZE = (440, 330)  # pixels at most, across and down
_FLOWER = (86, 180, 233)  # Source of the colours: Okabe and Ito 2008, Color Universal Design
_MISSED, _TOO_MUCH, _UNKNOWN = (213, 94, 0), (240, 228, 66), (128, 128, 128)
_OPACITY = 0.6


def answer_c1(setting: Setting) -> Answer:
    """List the parameters that learn, and certify that nothing else changes; show it without freezing.

    The handout's network has random weights: names, numbers and the certificate do not depend on them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setting.seed)
        net = deeplabv3_resnet101(weights=None, weights_backbone=None, num_classes=21, aux_loss=True)
        net.classifier[4] = nn.Conv2d(_CHANNELS, _NUM_CLASSES, 1)
        images = torch.rand(_BATCH, 3, _SIDE, _SIDE)
    names = learn_only(net, HANDOUT_LAYER)
    with certified(net, leave_out=names) as certificate:
        _take_step(net, names, images)
    handout = {
        "network": HANDOUT_NETWORK,
        "weights": "random",
        "num_parameters": num_parameters(net),
        "prefix": HANDOUT_LAYER,
        "learned": list(names),
        "num_learned": sum(net.get_parameter(name).numel() for name in names),
        "certificate": asdict(certificate),
        "thawed": _step_in_training_mode(net, names, images),
    }
    return Answer({"handouts": handout})


def _take_step(net: nn.Module, names: Sequence[str], images: Tensor) -> None:
    """Take one step of Adam on some parameters, by the cross-entropy of class 0 at every pixel."""
    adam = torch.optim.Adam([net.get_parameter(name) for name in names])
    logits = net(images)["out"]
    F.cross_entropy(logits, torch.zeros(len(logits), *logits.shape[2:], dtype=torch.long)).backward()
    adam.step()


def _step_in_training_mode(net: nn.Module, names: Sequence[str], images: Tensor) -> dict[str, Any]:
    """Take a step where only gradients are switched off; return how many buffers changed."""
    for part in net.modules():
        part.training = True  # frozen parts ignore .train()
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    message = ""
    try:
        with certified(net, leave_out=names):
            _take_step(net, names, images)
    except FrozenError as error:
        message = str(error)
    changed = [name for name, buffer in net.named_buffers() if not torch.equal(buffer, before[name])]
    return {"num_buffers": len(before), "num_changed": len(changed), "first": changed[:3], "error": message}


def _methods(setting: Setting) -> dict[str, FinetuneConfig]:
    """Return the handout's loop, the exact head that sees photos as the loop does, and one as by default."""
    shots, epochs = (_FEW_SHOTS, _FEW_EPOCHS) if setting.quick else (_SHOTS, _EPOCHS)
    default = FinetuneConfig(source=PHOTOS, shots=shots, seed=setting.seed)
    alike = replace(default, sizes=(_HANDOUT_SIZE,))
    found = {
        "the handout's loop": replace(alike, solver="adam", epochs=epochs),
        "exact head, read alike": replace(alike, looks=1),
    }
    return found if setting.quick else found | {"exact head, our own reading": default}


def _learn(config: FinetuneConfig, path: Path, setting: Setting) -> FinetuneResult:
    """Learn a head from features that are computed for it, so that its seconds include them."""
    cache = FeatureCache(path.with_suffix(".features"))
    shutil.rmtree(cache.folder, ignore_errors=True)
    return finetune(config, path, setting.data_dir, setting.device, cache)


def _head_path(setting: Setting, number: int) -> Path:
    return setting.folder("heads", PHOTOS) / f"{number}.head.safetensors"


def answer_c2(setting: Setting) -> Answer:
    """Score the network before and after its last layer learned, by the handout's loop and exactly."""
    values: dict[str, Any] = {"source": PHOTOS, "ways": []}
    for number, (name, config) in enumerate(_methods(setting).items()):
        result = _learn(config, _head_path(setting, number), setting)
        assert result.scores is not None  # flowers17 has a part to score on
        learned, facts = result.learned, result.head.facts
        row = {
            "name": name,
            "sizes": list(result.head.sizes),
            "num_learned": learned.num_learned,
            "epochs": facts.epochs,
            "losses": facts.losses,
            "before": result.scores.before.intervals(),
            "after": result.scores.after.intervals(),
            "certificate": asdict(learned.certificate),
            "seconds": learned.extract_s + learned.solve_s,
        }
        values["ways"].append(row)
        values |= {"num_photos": facts.num_images, "num_scored": result.scores.after.num_images}
    return Answer(values)


class Mask(NamedTuple):
    """A photo with its labels and the mask that a head gives it."""

    photo: LabelledPhoto
    labels: UInt8[ndarray, "H W"]  # 0 background, 1 flower, or IGNORE
    predicted: UInt8[ndarray, "H W"]
    miou: float  # within this photo; NaN if it has no labelled pixel


def answer_c3(setting: Setting) -> Answer:
    """Show the photos that are cut out best, worst, and those in the middle, beside the truth."""
    number, (name, config) = list(enumerate(_methods(setting).items()))[-1]
    path = _head_path(setting, number)
    head = open_head(path) if path.is_file() else _learn(config, path, setting).head
    _, photos = load_labelled(PHOTOS, setting.data_dir, setting.seed).require_held_out()
    photos, masks = photos[: _FEW_SCORED if setting.quick else None], list[Mask]()
    with progress("cutting out", len(photos)) as advance:
        for photo in photos:
            labels, predicted = photo.read_labels(), segment(photo.photo, head).labels
            masks.append(Mask(photo, labels, predicted, Confusion.of(predicted, labels, _NUM_CLASSES).miou))
            advance(1, photo.photo.name)
    ranked = sorted((mask for mask in masks if not math.isnan(mask.miou)), key=lambda mask: mask.miou)
    middle = max(0, len(ranked) // 2 - _NUM_SHOWN // 2)
    groups = {
        "best": ranked[::-1][:_NUM_SHOWN],
        "middle": ranked[middle : middle + _NUM_SHOWN],
        "worst": ranked[:_NUM_SHOWN],
    }
    values: dict[str, Any] = {
        "way": name,
        "num_scored": len(ranked),
        "photo_miou": {mask.photo.stem: mask.miou for mask in ranked},
        "quarter_miou": ranked[len(ranked) // 4].miou,
        "median_miou": ranked[len(ranked) // 2].miou,
    }
    values |= {group: [mask.photo.stem for mask in shown] for group, shown in groups.items()}
    drawn = [setting.draw(f"c3-{group}", _draw_masks(shown)) for group, shown in groups.items()]
    return Answer(values, drawn)


def _draw_masks(masks: Sequence[Mask]) -> Drawing:
    colours = {"flower": _FLOWER, "missed": _MISSED, "too much": _TOO_MUCH, "no label": _UNKNOWN}
    with new_drawing(10, 2.15 * len(masks) + 0.5) as drawing:
        rows = drawing.figure.subplots(len(masks), 4, squeeze=False)
        for row, mask in zip(rows, masks, strict=True):
            for axes, view in zip(row, _views(mask), strict=True):
                axes.imshow(view)
                axes.set_xticks([])
                axes.set_yticks([])
                axes.grid(visible=False)
            row[0].set_ylabel(f"{mask.photo.stem}\nmean IoU {mask.miou:.2f}", fontsize=9)
        for axes, title in zip(rows[0], ("Photo", "Truth", "Prediction", "Difference"), strict=True):
            axes.set_title(title, loc="left")
        for name, colour in colours.items():
            rows[0, 0].scatter([], [], s=70, marker="s", label=name, color=np.array(colour) / 255)
        drawing.figure.legend(loc="outside lower center", ncols=len(colours), frameon=False)
    return drawing


def _views(mask: Mask) -> list[UInt8[ndarray, "H W 3"]]:
    """Return a photo, small, and three times in grey with colours over parts of it."""
    with Image.open(mask.photo.photo) as opened:
        photo = opened.convert("RGB")
    photo.thumbnail(_SHOWN_SIZE)
    labels, predicted = (
        np.asarray(Image.fromarray(classes).resize(photo.size, Image.Resampling.NEAREST))
        for classes in (mask.labels, mask.predicted)
    )
    missed, too_much = (labels == 1) & (predicted != 1), (labels == 0) & (predicted == 1)
    unknown, pixels = (labels == IGNORE, _UNKNOWN), np.asarray(photo)
    views = [pixels]
    for tints in (
        [(labels == 1, _FLOWER), unknown],
        [(predicted == 1, _FLOWER)],
        [(missed, _MISSED), (too_much, _TOO_MUCH), unknown],
    ):
        grey = pixels.mean(2, keepdims=True).repeat(3, 2)
        for where, colour in tints:
            grey[where] = (1 - _OPACITY) * grey[where] + _OPACITY * np.array(colour)
        views.append(grey.round().astype(np.uint8))
    return views
