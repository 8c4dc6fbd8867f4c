"""Questions C1, C2 and C3: only the last layer learns, with a certificate; its scores and its masks."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable, Sequence
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

from pixelwise.colour.arrays import UInt8
from pixelwise.colour.palette import IGNORE
from pixelwise.errors import DownloadError, FrozenError, OutputError
from pixelwise.evaluate.heads import count_photos
from pixelwise.evaluate.segmentation import ImageCounts
from pixelwise.lab.answer import PHOTOS, Answer, Setting
from pixelwise.lab.costs import HANDOUT_LAYER, HANDOUT_NETWORK
from pixelwise.lab.networks import num_parameters
from pixelwise.labels.confusion import Confusion
from pixelwise.labels.labelled import LabelledPhoto, LabelledPhotos
from pixelwise.labels.read import resize_mask
from pixelwise.labels.sources import load_labelled
from pixelwise.network.backbone import EMBEDDED, Backbone, open_backbone
from pixelwise.network.config import FinetuneConfig
from pixelwise.progress import announce, progress
from pixelwise.report.figures import Drawing, new_drawing
from pixelwise.segmenting.feature_cache import FeatureCache
from pixelwise.segmenting.heads import Head, open_head
from pixelwise.segmenting.linear_head import EnlargedLogits
from pixelwise.training.backbones import open_torch_backbone
from pixelwise.training.backbones.backbone import load_weights, read_weights
from pixelwise.training.backbones.coco import published_weights
from pixelwise.training.finetune import finetune, random_head
from pixelwise.training.finetune_epochs import LAST_LAYER, Learner
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


def choose_network(setting: Setting) -> Setting:
    """Return the setting with the handout's network or, where its weights cannot be had, the embedded one.

    CheckpointError where there is a file of weights, but missing, damaged or of another network.
    """
    try:
        backbone = open_torch_backbone(HANDOUT_NETWORK, setting.weights)
    except (DownloadError, OutputError) as error:
        announce(f"C1 to C3 take {EMBEDDED}: {error}")
        backbone = open_torch_backbone()
    digests = setting.digests | {backbone.name: backbone.checksum}
    return replace(setting, network=backbone.name, digests=digests)


def answer_c1(setting: Setting) -> Answer:
    """List the parameters that learn, and certify that nothing else changes; show it without freezing.

    Names, numbers and certificates depend on no weights, so the handout's network is there without its own,
    too; then the network that C2 and C3 learn on follows.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setting.seed)
        images = torch.rand(_BATCH, 3, _SIDE, _SIDE)
        net, weights = _open_handout_network(setting)
        rows = [_learn_step(net, lambda: net(images)["out"], HANDOUT_LAYER)]
        rows[0] |= {"network": HANDOUT_NETWORK, "weights": weights}
        if setting.network != HANDOUT_NETWORK:
            backbone = open_torch_backbone(setting.network)
            learner = Learner(backbone, 1, _NUM_CLASSES)
            row = _learn_step(learner, lambda: learner([images]), *LAST_LAYER)
            rows.append(row | {"network": setting.network, "weights": backbone.source})
    return Answer({"network": setting.network, "rows": rows})


def _open_handout_network(setting: Setting) -> tuple[nn.Module, str]:
    """Return the handout's network with a new last layer, and the name of its file of weights, if any."""
    tensors, path = dict[str, Tensor](), None
    if setting.network == HANDOUT_NETWORK:
        path = setting.weights or published_weights(HANDOUT_NETWORK)
        tensors = read_weights(path)
    has_auxiliary = not path or any(name.startswith("aux_classifier.") for name in tensors)
    net = deeplabv3_resnet101(weights=None, weights_backbone=None, num_classes=21, aux_loss=has_auxiliary)
    if path:
        load_weights(net, tensors, path)
    net.classifier[4] = nn.Conv2d(_CHANNELS, _NUM_CLASSES, 1)
    return net, path.name if path else ""


def _learn_step(net: nn.Module, logits: Callable[[], Tensor], *prefixes: str) -> dict[str, Any]:
    """Let only parameters below prefixes learn, for one step; return which, and that nothing else changed."""
    names = learn_only(net, *prefixes)
    with certified(net, leave_out=names) as certificate:
        _take_step(net, names, logits)
    return {
        "num_parameters": num_parameters(net),
        "prefixes": list(prefixes),
        "learned": list(names),
        "num_learned": sum(net.get_parameter(name).numel() for name in names),
        "certificate": asdict(certificate),
        "thawed": _step_in_training_mode(net, names, logits),
    }


def _take_step(net: nn.Module, names: Sequence[str], logits: Callable[[], Tensor]) -> None:
    """Take one step of Adam on some parameters, by the cross-entropy of class 0 at every pixel."""
    adam = torch.optim.Adam([net.get_parameter(name) for name in names])
    found = logits()
    F.cross_entropy(found, torch.zeros(len(found), *found.shape[2:], dtype=torch.long)).backward()
    adam.step()


def _step_in_training_mode(
    net: nn.Module, names: Sequence[str], logits: Callable[[], Tensor]
) -> dict[str, Any]:
    """Take a step where only gradients are switched off; return how many buffers changed."""
    for part in net.modules():
        part.training = True  # frozen parts ignore .train()
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    message = ""
    try:
        with certified(net, leave_out=names):
            _take_step(net, names, logits)
    except FrozenError as error:
        message = str(error)
    num_changed = sum(not torch.equal(buffer, before[name]) for name, buffer in net.named_buffers())
    return {"num_buffers": len(before), "num_changed": num_changed, "error": message}


def _methods(setting: Setting) -> dict[str, FinetuneConfig]:
    """Return the handout's loop, the exact head that sees photos as the loop does, and one as by default.

    That is left out on the handout's network, which by default reads five times as many pixels.
    """
    shots, epochs = (_FEW_SHOTS, _FEW_EPOCHS) if setting.quick else (_SHOTS, _EPOCHS)
    weights = str(setting.weights) if setting.weights else None
    default = FinetuneConfig(
        source=PHOTOS, shots=shots, seed=setting.seed, backbone=setting.network, weights=weights
    )
    alike = replace(default, sizes=(_HANDOUT_SIZE,))
    found = {
        "the handout's loop": replace(alike, solver="adam", epochs=epochs),
        "exact head, read alike": replace(alike, looks=1),
    }
    if setting.quick or setting.network == HANDOUT_NETWORK:
        return found
    return found | {"exact head, our own reading": default}


def _open_photos(setting: Setting) -> tuple[LabelledPhotos, Backbone, FeatureCache]:
    """Return the photos, the network that reads them, and the features of photos that it has read."""
    labelled = load_labelled(PHOTOS, setting.data_dir, setting.seed)
    labelled.require_held_out()
    if setting.quick:  # photos of one flower follow each other
        labelled = replace(labelled, test=labelled.test[:: max(1, len(labelled.test) // _FEW_SCORED)])
    backbone = open_backbone(setting.network, setting.weights, setting.device, threads=1)
    return labelled, backbone, FeatureCache(_heads_folder(setting) / "features")


def _heads_folder(setting: Setting) -> Path:
    return setting.folder("heads", PHOTOS, with_network=True)


def answer_c2(setting: Setting) -> Answer:
    """Score the network before and after its last layer learned, by the handout's loop and exactly."""
    labelled, backbone, cache = _open_photos(setting)
    shutil.rmtree(cache.folder, ignore_errors=True)  # so that the seconds to learn include the features
    _, photos = labelled.held_out()
    values: dict[str, Any] = {"network": backbone.name, "weights": backbone.source, "ways": []}
    for number, (name, config) in enumerate(_methods(setting).items()):
        path = _heads_folder(setting) / f"{number}.head.safetensors"
        result = finetune(config, path, setting.data_dir, setting.device, cache, backbone, labelled)
        assert result.scores is not None  # there are photos to score on
        learned, head = result.learned, result.head
        features = cache.maps([photo.photo for photo in photos], backbone, head.sizes)
        start = learned.random_head or random_head(head.weights, config.seed)
        before, after = count_photos(photos, features, [start, head.weights])
        row = {
            "name": name,
            "sizes": list(head.sizes),
            "num_learned": learned.num_learned,
            "epochs": head.facts.epochs,
            "losses": head.facts.losses,
            "before": result.scores.before.intervals() | starter_scores(before),
            "after": result.scores.after.intervals() | starter_scores(after),
            "certificate": asdict(learned.certificate),
            "seconds": learned.extract_s + learned.solve_s,
        }
        values["ways"].append(row)
    values |= {"num_photos": head.facts.num_images, "num_scored": len(photos)}
    return Answer(values | {"masks": starter_masks(photo.read_labels() for photo in photos)})


def starter_scores(counts: Sequence[ImageCounts]) -> dict[str, float]:
    """Return what the starter code prints as mIOU: a step function of the flower's IoU in each photo.

    It is the share of the thresholds 0.50, 0.55, ... 0.95 that the intersection over union is above.
    `photo_iou` is the mean of that itself.
    """
    iou = np.array([image.confusion.iou[1] for image in counts])
    iou = iou[~np.isnan(iou)]
    thresholds = np.arange(50, 100, 5) / 100
    return {"starter_miou": float((iou[:, None] > thresholds).mean()), "photo_iou": float(iou.mean())}


def starter_masks(masks: Iterable[UInt8[ndarray, "H W"]]) -> dict[str, float]:
    """Return what becomes of labels as the starter code resizes them: colours mixed, then compared with one.

    `flower_lost` is the share of the flower's pixels that are background to it, `unlabelled` that of all
    pixels that have no label, and are background to it, too.
    """
    size, totals = (_HANDOUT_SIZE, _HANDOUT_SIZE), np.zeros(4)
    for labels in masks:
        right, flower = resize_mask(labels, *size), torch.from_numpy(labels == 1)[None, None].float()
        share = F.interpolate(flower, size, mode="bilinear", align_corners=False)[0, 0].numpy()
        is_lost = share < 1 - 1 / 256  # a mixture that, rounded, is another colour than the flower's
        is_flower = right == 1
        totals += [is_flower.sum(), (is_flower & is_lost).sum(), right.size, (right == IGNORE).sum()]
    return {"flower_lost": totals[1] / totals[0], "unlabelled": totals[3] / totals[2]}


class Mask(NamedTuple):
    """A photo with its labels and the mask that a head gives it."""

    photo: LabelledPhoto
    labels: UInt8[ndarray, "H W"]  # 0 background, 1 flower, or IGNORE
    predicted: UInt8[ndarray, "H W"]
    miou: float  # within this photo; NaN if it has no labelled pixel


def answer_c3(setting: Setting) -> Answer:
    """Show the photos that are cut out best, worst, and those in the middle, beside the truth."""
    labelled, backbone, cache = _open_photos(setting)
    number, (name, config) = list(enumerate(_methods(setting).items()))[-1]
    path = _heads_folder(setting) / f"{number}.head.safetensors"
    if path.is_file():
        head = open_head(path)
    else:
        head = finetune(config, path, setting.data_dir, setting.device, cache, backbone, labelled).head
    masks = _cut_out(labelled.held_out()[1], head, backbone, cache)
    ranked = sorted((mask for mask in masks if not math.isnan(mask.miou)), key=lambda mask: mask.miou)
    middle = max(0, len(ranked) // 2 - _NUM_SHOWN // 2)
    groups = {
        "best": ranked[::-1][:_NUM_SHOWN],
        "middle": ranked[middle : middle + _NUM_SHOWN],
        "worst": ranked[:_NUM_SHOWN],
    }
    median = ranked[len(ranked) // 2]
    values: dict[str, Any] = {
        "network": backbone.name,
        "way": name,
        "num_scored": len(ranked),
        "photo_miou": {mask.photo.stem: mask.miou for mask in ranked},
        "quarter_miou": ranked[len(ranked) // 4].miou,
        "median_miou": median.miou,
    }
    values |= {group: [mask.photo.stem for mask in shown] for group, shown in groups.items()}
    shown = {"three": [ranked[-1], median, ranked[0]]} | groups
    return Answer(values, [setting.draw(f"c3-{group}", _draw_masks(some)) for group, some in shown.items()])


def _cut_out(
    photos: Sequence[LabelledPhoto], head: Head, backbone: Backbone, cache: FeatureCache
) -> list[Mask]:
    masks, features = list[Mask](), cache.maps([photo.photo for photo in photos], backbone, head.sizes)
    with progress("cutting out", len(photos)) as advance:
        for photo, maps in zip(photos, features, strict=True):
            labels = photo.read_labels()
            size = labels.shape[0], labels.shape[1]
            (logits,) = EnlargedLogits.of([head.weights], maps.read(), size)
            predicted = logits.labels(0, size[0])
            masks.append(Mask(photo, labels, predicted, Confusion.of(predicted, labels, _NUM_CLASSES).miou))
            advance(1, photo.stem)
    return masks


def _draw_masks(masks: Sequence[Mask]) -> Drawing:
    colours = {"flower": _FLOWER, "missed": _MISSED, "too much": _TOO_MUCH, "no label": _UNKNOWN}
    with new_drawing(7.2, 1.35 * len(masks) + 0.5) as drawing:
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
