"""C1, C2 and C3: only the last layer learns, proved; what it scores before and after; what it cuts out."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # what torch imports with its first optimiser: seconds that are no learning
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.segmentation import deeplabv3_resnet101

from pixelwise.backbones import Backbone, open_backbone
from pixelwise.config import FinetuneConfig
from pixelwise.data import LabelledPhoto, load_labelled
from pixelwise.data.synthetic import draw_shapes
from pixelwise.errors import FrozenError
from pixelwise.features import FeatureCache
from pixelwise.finetune import FinetuneResult, finetune
from pixelwise.finetune.policies import LAST_LAYER, Learner
from pixelwise.finetune.run import untaught
from pixelwise.finetune.score import count
from pixelwise.frozen import Certificate, certified, learn_only, names_below
from pixelwise.head import Weights
from pixelwise.heads import Head, open_head
from pixelwise.lab.answer import Answer, Setting
from pixelwise.lab.finetuning_figures import CutOut, draw_cut_outs, draw_drift, draw_scores
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
_NUM_SHOWN = 3  # photos of each kind


def answer_c1(setting: Setting) -> Answer:
    """The names that learn, and the certificate that nothing else changes; what happens without freezing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setting.seed)
        net = handouts_network()
        num_parameters = sum(one.numel() for one in net.parameters())
        net.classifier[4] = nn.Conv2d(_CHANNELS, _NUM_CLASSES, 1)
        images = torch.rand(_BATCH, 3, _SIDE, _SIDE)
        backbone = open_backbone()
        learner = Learner(backbone, len(backbone.sizes), _NUM_CLASSES)
    drift = drifted(backbone, _shapes(_NUM_BATCHES * _DRIFT_BATCH + 1, setting.seed))
    values = {
        "handouts": {
            "network": "deeplabv3_resnet101",
            "weights": "random",
            "num_parameters": num_parameters,
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
class _Way:
    """A way of learning the last layer."""

    name: str
    config: FinetuneConfig


def _ways(setting: Setting) -> list[_Way]:
    """The handout's loop, and the exact head: on the same photos read alike, then as we would read them."""
    shots = _FEW_SHOTS if setting.quick else _SHOTS
    source, size = "flowers17", (_HANDOUT_SIZE,)
    epochs = _FEW_EPOCHS if setting.quick else _EPOCHS

    def config(**options: Any) -> FinetuneConfig:
        return FinetuneConfig(source=source, shots=shots, seed=setting.seed, **options)

    ways = [
        _Way("the handout's loop", config(solver="adam", epochs=epochs, sizes=size)),
        _Way("exact head, read alike", config(sizes=size, looks=1)),
    ]
    return ways if setting.quick else [*ways, _Way("exact head, our own reading", config())]


def answer_c2(setting: Setting) -> Answer:
    """Scores before and after the last layer learned, by the handout's loop and exactly.

    Raises:
        DataError: flowers17 is not to be had.
        Interrupted: Ctrl-C came while the loop learned.
    """
    results = {way.name: _learn(setting, way) for way in _ways(setting)}
    photos = _scored(setting)
    loop, exact = (result.head for result in list(results.values())[:2])
    counts = _counts(setting, photos, [loop.weights, exact.weights], loop.sizes)
    values = {
        "source": loop.facts["source"],
        "part": results["the handout's loop"].scored_on,
        "num_photos": loop.facts["num_images"],
        "num_scored": len(photos),
        "all_background_miou": _all_background(counts[0]),
        "ways": [_told(name, result) for name, result in results.items()],
        "gain": miou_gain(counts[0], counts[1], setting.seed).to_dict(),
    }
    drawing = draw_scores(loop.facts["losses"], values["ways"])
    return Answer(values, (setting.draw("c2-scores", drawing),))


def _all_background(counts: Sequence[ImageCounts]) -> float:
    """Mean intersection over union of calling every pixel background: its share, and nothing of flowers."""
    by_class = sum(one.confusion.counts.sum(1) for one in counts)
    return float(by_class[0] / by_class.sum()) / _NUM_CLASSES


def _told(name: str, result: FinetuneResult) -> dict[str, Any]:
    """What a way of learning came to, as plain values."""
    taught, facts, before, after = result.taught, result.head.facts, result.before, result.after
    assert before is not None  # flowers17 has a part to score on
    assert after is not None
    return {
        "name": name,
        "sizes": list(result.head.sizes),
        "num_learned": taught.num_learned,
        "num_looks": taught.num_looks,
        "how": taught.how,
        "epochs": facts.get("epochs"),
        "losses": facts.get("losses"),
        "before": before.intervals(),
        "after": after.intervals(),
        "certificate": taught.certificate.to_dict(),
        "seconds": taught.extract_s + taught.solve_s,
        "solve_seconds": taught.solve_s,
    }


def _learn(setting: Setting, way: _Way) -> FinetuneResult:
    return finetune(way.config, _head_path(setting, way), setting.data_dir, setting.device, _cache(setting))


def _head_path(setting: Setting, way: _Way) -> Path:
    """A name for each configuration, so that a head that is there is the one asked for."""
    config = way.config
    sizes = "-".join(map(str, config.sizes)) or "own"
    folder = setting.out / "heads"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{config.solver}-{config.shots}-photos-{sizes}-seed-{config.seed}.head.safetensors"


def _cache(setting: Setting) -> FeatureCache:
    """Features of the lab's own, so that an answer that was interrupted goes on soon."""
    return FeatureCache(setting.out / "features")


def _scored(setting: Setting) -> tuple[LabelledPhoto, ...]:
    _, photos = load_labelled("flowers17", setting.data_dir, setting.seed).require_held_out()
    return photos


def _counts(
    setting: Setting, photos: Sequence[LabelledPhoto], heads: Sequence[Weights], sizes: Sequence[int]
) -> list[list[ImageCounts]]:
    """For each head the counts of each photo, over features that are there from learning."""
    paths = [one.photo for one in photos]
    device = choose_device(setting.device)
    return count(heads, photos, _cache(setting).maps(paths, open_backbone(), sizes, device=device))


def answer_c3(setting: Setting) -> Answer:
    """Photos that are cut out best, worst, and as the middle one, beside the truth.

    Raises:
        DataError: flowers17 is not to be had.
    """
    way = _ways(setting)[-1]
    head = _open(setting, way)
    photos = _scored(setting)
    before = untaught(head.weights, setting.seed)
    counts = _counts(setting, photos, [before, head.weights], head.sizes)
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
        **{name: [photos[index].stem for index in some] for name, some in groups.items()},
        "quarter_miou": scores[ranked[len(ranked) // 4]],
        "median_miou": scores[ranked[len(ranked) // 2]],
    }
    figures = [
        setting.draw(
            f"c3-{name}",
            draw_cut_outs([_cut_out(setting, photos[index], head, scores[index]) for index in some]),
        )
        for name, some in groups.items()
    ]
    return Answer(values, tuple(figures))


def _open(setting: Setting, way: _Way) -> Head:
    """The head of C2, if it is there; learned now, if not."""
    path = _head_path(setting, way)
    return open_head(path) if path.is_file() else _learn(setting, way).head


def _cut_out(setting: Setting, photo: LabelledPhoto, head: Head, miou: float) -> CutOut:
    """What a head makes of a photo."""
    (maps,) = _cache(setting).maps([photo.photo], open_backbone(), head.sizes)
    height, width = photo.read_labels().shape
    return CutOut.of(photo, head.weights.labels(maps.read(), (height, width)).numpy(), miou)
