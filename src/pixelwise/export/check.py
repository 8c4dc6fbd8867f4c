"""Exported files beside torch, on real photos: how far colours differ, how many pixels have another class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pixelwise.backbones import Backbone
from pixelwise.colour import lightness, srgb_to_lab
from pixelwise.errors import ConfigError
from pixelwise.export.graphs import photo_names
from pixelwise.features import Extractor, read_photo
from pixelwise.head import Enlarged
from pixelwise.heads import Head
from pixelwise.photos.photo import Photo, open_photo
from pixelwise.photos.tone import has_own_colours
from pixelwise.photos.view import reading_size
from pixelwise.runs import Model
from pixelwise.scores import ciede2000

MOST_CIEDE2000 = 0.1
LEAST_EQUAL = 0.999

Run = Callable[[dict[str, Any]], Sequence[Any]]
"""What an exported file, or two of them, give for inputs by name."""


@dataclass(frozen=True)
class Difference:
    """How far an export is from the original, over all photos."""

    max_difference: float
    """The largest of two logits."""
    ciede2000: float | None = None
    """Mean over pixels, of colours."""
    equal: float | None = None
    """Share of pixels that have the same class, of masks."""
    score: float | None = None
    """The export's own mean CIEDE2000 to the photos' true colours, where they have any."""
    score_of_torch: float | None = None
    """The original's, on the same photos."""

    def __str__(self) -> str:
        """What people are told."""
        if self.ciede2000 is not None:
            far = f"colours differ from torch's by a CIEDE2000 of {self.ciede2000:.4f} on average"
            if self.score is None:
                return far
            true = f"{self.score:.3f} from the photos' own, torch's {self.score_of_torch:.3f}"
            return f"{far}; they are {true}"
        return f"{self.equal:.4%} of pixels have torch's class"

    def require_small(self, name: str) -> None:
        """Refuse an export that is not what it was made of.

        Raises:
            ConfigError: it is too far off.
        """
        near = self.ciede2000 is None or self.ciede2000 < MOST_CIEDE2000
        alike = self.equal is None or self.equal > LEAST_EQUAL
        if not (near and alike):  # asked this way round, so that what is no number is refused, too
            raise ConfigError(
                f"needed an export of {name} that equals it, with a CIEDE2000 under {MOST_CIEDE2000} or over "
                f"{LEAST_EQUAL:.1%} of pixels, but {self}; nothing was written"
            )


def sample_photos() -> list[Path]:
    """Two real photos that are installed with scikit-learn."""
    from importlib.resources import files

    return [Path(str(files("sklearn.datasets.images") / name)) for name in ("china.jpg", "flower.jpg")]


def model_inputs(photo: Photo, model: Model) -> Tensor:
    """A photo as a colouriser's file takes it."""
    small = photo.thumbnail(*reading_size(photo.height, photo.width, model.size, model.net.stride))
    return photo.upright(small)[None].float() / 255


def head_inputs(photo: Photo, head: Head, backbone: Backbone) -> dict[str, Any]:
    """A photo as a head's file takes it; `size` is the photo's own, upright."""
    looks = [read_photo(photo, size, backbone.multiple)[None].float() / 255 for size in head.sizes]
    named = dict(zip(photo_names(head), (one.numpy() for one in looks), strict=True))
    return named | {"size": np.array(photo.upright_size)}


def compare_model(run: Run, model: Model, photos: Sequence[Path]) -> Difference:
    """An exported colouriser beside torch, on photos at the size that it reads.

    Both are compared with the photos' own colours as well, where a photo has more of these than a tone.
    """
    far, apart, scores = 0.0, [], []
    for path in photos:
        image = model_inputs(open_photo(path), model)
        codes = (image * 255).round().byte()
        chroma, logits = (torch.from_numpy(one) for one in run({"photo": image.numpy()}))
        expected = model.logits(model.palette.read_grey(codes))
        wanted = model.palette.chroma(expected, 1.0) * model.net.saturation
        far = max(far, float((logits - expected).abs().max()))
        light = lightness(image[0])
        ours, theirs = (torch.cat((light, _enlarged(one, image))) for one in (chroma, wanted))
        apart.append(float(ciede2000(theirs, ours).mean()))
        if has_own_colours(codes[0]):
            true = srgb_to_lab(image[0])
            scores.append([float(ciede2000(true, one).mean()) for one in (ours, theirs)])
    means = torch.tensor(scores).mean(0).tolist() if scores else (None, None)
    return Difference(far, ciede2000=sum(apart) / len(apart), score=means[0], score_of_torch=means[1])


def compare_head(run: Run, head: Head, backbone: Backbone, photos: Sequence[Path]) -> Difference:
    """An exported head beside torch in fp32, on photos at their own size.

    `run` gives logits (1, K, H, W) of what `head_inputs` makes of a photo; `backbone` has been dressed by the
    head, if it changes how the backbone looks. Logits are compared as log-probabilities, which a number
    added to all classes of a pixel leaves as they are; probabilities below 1e-30 count as that.
    """
    extractor = Extractor(backbone, dtype=torch.float32)
    far, num_equal, num = 0.0, 0, 0
    for path in photos:
        photo = open_photo(path)
        (logits,) = run(head_inputs(photo, head, backbone))
        maps = [one for size in head.sizes for one in extractor(read_photo(photo, size, backbone.multiple))]
        word = Enlarged(head.weights, maps, photo.upright_size)
        labels = word.labels(0, photo.upright_size[0])
        found = torch.from_numpy(logits[0])
        probs = word.probs(0, photo.upright_size[0]).clamp_min(1e-30).log()
        far = max(far, float((found.log_softmax(0).clamp_min(probs.min()) - probs).abs().max()))
        num_equal += int((found.argmax(0) == labels).sum())
        num += labels.numel()
    return Difference(far, equal=num_equal / num)


def _enlarged(chroma: Tensor, image: Tensor) -> Tensor:
    return F.interpolate(chroma, image.shape[-2:], mode="bilinear", align_corners=False)[0]
