"""C1, C2 and C3: only the last layer learns, proved; what it scores before and after; what it cuts out."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch._dynamo  # what torch imports with its first optimiser: seconds that are no learning
import torch.nn.functional as F
from jaxtyping import UInt8
from numpy import ndarray
from torch import Tensor, nn
from torchvision.models.segmentation import deeplabv3_resnet101

from pixelwise.backbones import Backbone, open_backbone
from pixelwise.config import FinetuneConfig
from pixelwise.data import LabelledPhoto, load_labelled
from pixelwise.data.synthetic import draw_shapes
from pixelwise.errors import FrozenError
from pixelwise.evaluate.counting import count
from pixelwise.features import FeatureCache, PhotoMaps
from pixelwise.finetune import FinetuneResult, finetune
from pixelwise.finetune.policies import LAST_LAYER, Learner
from pixelwise.finetune.run import random_head
from pixelwise.frozen import Certificate, certified, learn_only, names_below
from pixelwise.heads import Head, open_head
from pixelwise.lab.answer import PHOTOS, Answer, Setting
from pixelwise.lab.commands import evaluate_command, finetune_command
from pixelwise.lab.finetuning_figures import CutOut, draw_cut_outs, draw_drift, draw_scores
from pixelwise.labelspace import IGNORE
from pixelwise.processor import choose_device
from pixelwise.scores import ImageCounts, SegmentationScores, miou_gain

HANDOUTS_LAYER = "classifier.4"
"""The prefix of the last layer's names in the handout's network."""

_NUM_VOC, _NUM_CLASSES, _CHANNELS = 21, 2, 256
_SIDE, _BATCH = 64, 2  # of the pictures of one step: batch norm in training mode needs two
_DRIFT_SIDE, _DRIFT_BATCH, _NUM_BATCHES = 128, 8, 10
_HANDOUT_SIZE = 224
_SHOTS, _FEW_SHOTS = 40, 10
_EPOCHS, _FEW_EPOCHS = 10, 5
_OWN = "own.head.safetensors"
_NUM_SHOWN = 3  # photos of each kind
_NEAR = 3  # pixels from an outline, within which people who draw masks differ, too


def answer_c1(setting: Setting) -> Answer:
    """The names that learn, and the certificate that nothing else changes; what happens without freezing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setting.seed)
        net = handouts_network()
        net.classifier[4] = nn.Conv2d(_CHANNELS, _NUM_CLASSES, 1)
        images = torch.rand(_BATCH, 3, _SIDE, _SIDE)
        backbone = open_backbone()
        learner = Learner(backbone, len(backbone.sizes), _NUM_CLASSES)
    drift = drifted(backbone, _shapes(_NUM_BATCHES * _DRIFT_BATCH + 1, setting.seed))
    values = {
        "handouts": {
            "network": "deeplabv3_resnet101",
            "weights": "random",
            "num_parameters": sum(one.numel() for one in net.parameters()),
            "prefix": HANDOUTS_LAYER,
        }
        | _learned_once(net, (HANDOUTS_LAYER,), lambda: net(images)["out"])
        | {"thawed": _learned_thawed(net, (HANDOUTS_LAYER,), lambda: net(images)["out"])},
        "embedded": {
            "network": backbone.name,
            "weights": "as published",
            "num_parameters": sum(one.numel() for one in learner.parameters()),
            "prefix": ", ".join(LAST_LAYER),
        }
        | _learned_once(learner, LAST_LAYER, lambda: learner([images] * len(backbone.sizes))),
        "drift": {"batch_size": _DRIFT_BATCH, "side": _DRIFT_SIDE, "shifts": drift},
    }
    return Answer(values, (setting.draw("c1-drift", draw_drift(drift)),))


def handouts_network() -> Any:
    """DeepLabv3 on ResNet-101 with the second classifier that its training uses, and random weights."""
    return deeplabv3_resnet101(weights=None, weights_backbone=None, num_classes=_NUM_VOC, aux_loss=True)


def learned_once(net: nn.Module, prefixes: Sequence[str], look: Callable[[], Tensor]) -> Certificate:
    """One step of Adam on the parameters below prefixes, all else frozen; the certificate of all else.

    Raises:
        ConfigError: there is no parameter below one of the prefixes.
        FrozenError: something else changed.
    """
    names = learn_only(net, *prefixes)
    with certified(net, leave_out=names) as watch:
        _step(net, names, look)
    assert watch.certificate is not None
    return watch.certificate


def _learned_once(net: nn.Module, prefixes: Sequence[str], look: Callable[[], Tensor]) -> dict[str, Any]:
    certificate = learned_once(net, prefixes, look)
    names = names_below(net, *prefixes)
    parameters = dict(net.named_parameters())
    return {
        "learned": list(names),
        "num_learned": sum(parameters[name].numel() for name in names),
        "certificate": certificate.to_dict(),
    }


def _learned_thawed(net: nn.Module, prefixes: Sequence[str], look: Callable[[], Tensor]) -> dict[str, Any]:
    """The same step where gradients are all that is switched off: what changed, and what the watch says."""
    names = learn_only(net, *prefixes)
    _train(net)
    before = {name: one.clone() for name, one in net.named_buffers()}
    said = ""
    try:
        with certified(net, leave_out=names):
            _step(net, names, look)
    except FrozenError as error:
        said = str(error)
    changed = [name for name, one in net.named_buffers() if not torch.equal(one, before[name])]
    return {"num_buffers": len(before), "num_changed": len(changed), "first": changed[:3], "error": said}


def _train(net: nn.Module) -> None:
    """Put a network in training mode that refuses it: all that a usual one has and a frozen one has not."""
    for part in net.modules():
        part.training = True


def _step(net: nn.Module, names: Sequence[str], look: Callable[[], Tensor]) -> None:
    """The handout's: parameters chosen by name go to Adam."""
    learned_parameters = [one for name, one in net.named_parameters() if name in names]
    adam = torch.optim.Adam(learned_parameters)
    logits = look()
    F.cross_entropy(logits, torch.zeros(len(logits), *logits.shape[2:], dtype=torch.long)).backward()
    adam.step()


def drifted(backbone: Backbone, images: Tensor) -> list[dict[str, float]]:
    """By how much features change as a network in training mode sees batches, though no parameter learns.

    `images` (N, 3, H, W) are sRGB in [0, 1]; the first is looked at in evaluation mode after each batch of
    the rest. A shift is the distance of its deepest features from those at first, over their length.
    """
    looked, batches = images[:1], images[1:].split(_DRIFT_BATCH)
    thawed = copy.deepcopy(backbone)
    with torch.no_grad():
        first = backbone(looked)[-1]
        shifts = [{"batches": 0, "frozen": 0.0, "thawed": 0.0}]
        for number, batch in enumerate(batches, 1):
            backbone.train()(batch)  # frozen: told to train, it does not
            _train(thawed)
            thawed(batch)
            frozen, moved = (net(looked)[-1] for net in (backbone, thawed.eval()))
            shifts.append(
                {
                    "batches": number,
                    "frozen": float((frozen - first).norm() / first.norm()),
                    "thawed": float((moved - first).norm() / first.norm()),
                }
            )
    return shifts


def _shapes(num: int, seed: int) -> Tensor:
    """Drawn pictures, enlarged to the size of small photos."""
    drawn = draw_shapes(num, torch.Generator().manual_seed(seed)).float() / 255
    return F.interpolate(drawn, size=(_DRIFT_SIDE, _DRIFT_SIDE), mode="bilinear", align_corners=False)


@dataclass(frozen=True)
class Way:
    """A way of learning the last layer."""

    name: str
    config: FinetuneConfig
    file: str
    """Name of the head's file, by hand."""

    def folder(self, setting: Setting) -> Path:
        """Where its head lies, and the features that it is learned from; each configuration has its own."""
        digest = hashlib.sha256(json.dumps(asdict(self.config), sort_keys=True).encode()).hexdigest()
        return setting.kept("heads", PHOTOS) / f"{self.file.partition('.')[0]}-{digest[:8]}"

    def cache(self, setting: Setting) -> FeatureCache:
        """Features of its own: what another way has looked at would save this one seconds."""
        return FeatureCache(self.folder(setting) / "features")


def ways(setting: Setting) -> list[Way]:
    """The handout's loop, and the exact head: on the same photos read alike, then as we would read them."""
    shots = _FEW_SHOTS if setting.quick else _SHOTS
    size = (_HANDOUT_SIZE,)
    epochs = _FEW_EPOCHS if setting.quick else _EPOCHS

    def config(**options: Any) -> FinetuneConfig:
        return FinetuneConfig(source=PHOTOS, shots=shots, seed=setting.seed, **options)

    alike = [
        Way("the handout's loop", config(solver="adam", epochs=epochs, sizes=size), "adam.head.safetensors"),
        Way("exact head, read alike", config(sizes=size, looks=1), "exact.head.safetensors"),
    ]
    return alike if setting.quick else [*alike, Way("exact head, our own reading", config(), _OWN)]


def answer_c2(setting: Setting) -> Answer:
    """Scores before and after the last layer learned, by the handout's loop and exactly.

    Raises:
        DataError: flowers17 is not to be had.
        Interrupted: Ctrl-C came while the loop learned.
    """
    tried = ways(setting)
    results = {way.name: _learn(setting, way) for way in tried}
    photos = _scored(setting)
    loop, exact = (result.head for result in list(results.values())[:2])
    counts = count([loop.weights, exact.weights], photos, _maps(setting, tried[1], photos, loop.sizes))
    values = {
        "source": loop.facts["source"],
        "part": results["the handout's loop"].scored_on,
        "num_photos": loop.facts["num_images"],
        "num_scored": len(photos),
        "all_background_miou": _all_background(counts[0]),
        "ways": [_told(name, result) for name, result in results.items()],
        "gain": miou_gain(counts[0], counts[1], setting.seed).to_dict(),
        "command": "\n".join(finetune_command(setting, way.config, way.file) for way in tried),
    }
    drawing = draw_scores(loop.facts["losses"], values["ways"])
    return Answer(values, (setting.draw("c2-scores", drawing),))


def _all_background(counts: Sequence[ImageCounts]) -> float:
    """Mean intersection over union of calling every pixel background: its share, and nothing of flowers."""
    by_class = sum(one.confusion.counts.sum(1) for one in counts)
    return float(by_class[0] / by_class.sum()) / _NUM_CLASSES


def _told(name: str, result: FinetuneResult) -> dict[str, Any]:
    """What a way of learning came to, as plain values."""
    learned, facts, scores = result.learned, result.head.facts, result.scores
    assert scores is not None  # flowers17 has a part to score on
    return {
        "name": name,
        "sizes": list(result.head.sizes),
        "num_learned": learned.num_learned,
        "num_looks": learned.num_views,
        "how": learned.how,
        "epochs": facts.get("epochs"),
        "losses": facts.get("losses"),
        "before": scores.before.intervals(),
        "after": scores.after.intervals(),
        "certificate": learned.certificate.to_dict(),
        "seconds": learned.extract_s + learned.solve_s,
        "solve_seconds": learned.solve_s,
    }


def _learn(setting: Setting, way: Way) -> FinetuneResult:
    """Learn a head anew, from features that are computed for it, or its seconds would tell of the cache."""
    cache = way.cache(setting)
    shutil.rmtree(cache.folder, ignore_errors=True)
    return finetune(way.config, way.folder(setting) / way.file, setting.data_dir, setting.device, cache)


def _scored(setting: Setting) -> tuple[LabelledPhoto, ...]:
    _, photos = load_labelled(PHOTOS, setting.data_dir, setting.seed).require_held_out()
    return photos


def _maps(
    setting: Setting, way: Way, photos: Sequence[LabelledPhoto], sizes: Sequence[int]
) -> list[PhotoMaps]:
    """Features of photos, most of which are there from learning and scoring."""
    device = choose_device(setting.device)
    return way.cache(setting).maps([one.photo for one in photos], open_backbone(), sizes, device=device)


def answer_c3(setting: Setting) -> Answer:
    """Photos that are cut out best, worst, and as the middle one, beside the truth.

    Raises:
        DataError: flowers17 is not to be had.
    """
    way = ways(setting)[-1]
    head = _open(setting, way)
    photos = _scored(setting)
    before = random_head(head.weights, setting.seed)
    maps = _maps(setting, way, photos, head.sizes)
    counts = count([before, head.weights], photos, maps)
    scores = [one.confusion.miou for one in counts[1]]
    known = (index for index, one in enumerate(scores) if not math.isnan(one))
    ranked = sorted(known, key=scores.__getitem__)
    middle = len(ranked) // 2 - _NUM_SHOWN // 2
    groups = {
        "best": ranked[: -_NUM_SHOWN - 1 : -1],
        "middle": ranked[middle : middle + _NUM_SHOWN],
        "worst": ranked[:_NUM_SHOWN],
    }
    summary = [SegmentationScores.of(one, head.classes, setting.seed) for one in counts]
    values = {
        "way": way.name,
        "num_scored": len(photos),
        "before": summary[0].intervals(),
        "after": summary[1].intervals(),
        "photo_miou": {photos[index].stem: scores[index] for index in ranked},
        "near": _NEAR,
        **_by_photo({photos[index].stem: _mistakes(photos[index], head, maps[index]) for index in ranked}),
        **{name: [photos[index].stem for index in some] for name, some in groups.items()},
        "quarter_miou": scores[ranked[len(ranked) // 4]],
        "median_miou": scores[ranked[len(ranked) // 2]],
        "command": evaluate_command(setting, way.file, PHOTOS, page="flowers.html"),
    }
    figures = [
        setting.draw(
            f"c3-{name}",
            draw_cut_outs([_cut_out(photos[index], head, maps[index], scores[index]) for index in some]),
        )
        for name, some in groups.items()
    ]
    return Answer(values, tuple(figures))


def _open(setting: Setting, way: Way) -> Head:
    """The head of C2, if it is there; learned now, if not.

    Raises:
        CheckpointError: it was learned on another backbone.
    """
    path = way.folder(setting) / way.file
    head = open_head(path) if path.is_file() else _learn(setting, way).head
    head.require(open_backbone())
    return head


def _cut_out(photo: LabelledPhoto, head: Head, maps: PhotoMaps, miou: float) -> CutOut:
    """What a head makes of a photo."""
    height, width = photo.read_labels().shape
    return CutOut.of(photo, head.weights.labels(maps.read(), (height, width)).numpy(), miou)


def _mistakes(photo: LabelledPhoto, head: Head, maps: PhotoMaps) -> dict[str, float | None]:
    labels = photo.read_labels().numpy()
    height, width = labels.shape
    return mistakes(labels, head.weights.labels(maps.read(), (height, width)).numpy())


def mistakes(labels: UInt8[ndarray, "H W"], given: UInt8[ndarray, "H W"]) -> dict[str, float | None]:
    """Of the wrong pixels the share that lies within some pixels of an outline; the flower's of the photo.

    Both are of labelled pixels, and None where there is nothing to have a share of. Distance is that to the
    nearest pixel that is labelled otherwise or not at all, as those between flower and background are.
    """
    from_others = sum(
        cv2.distanceTransform((labels == number).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for number in range(_NUM_CLASSES)
    )
    known = labels != IGNORE
    near = from_others[known & (labels != given)] <= _NEAR
    return {
        "near_outline_frac": float(near.mean()) if near.size else None,
        "flower_frac": float((labels[known] == 1).mean()) if known.any() else None,
    }


def _by_photo(found: dict[str, dict[str, float | None]]) -> dict[str, dict[str, float | None]]:
    """By what was found, then by photo."""
    names = ("near_outline_frac", "flower_frac")
    return {name: {stem: one[name] for stem, one in found.items()} for name in names}
