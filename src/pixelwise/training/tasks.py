"""Training tasks: batches of grey pictures with their targets, the loss, and what is measured on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torchvision.transforms.v2.functional as tv
from kornia.color import rgb_to_linear_rgb
from torch import Tensor

from pixelwise.colour.arrays import Float, Int, UInt8
from pixelwise.colour.palette import Palette
from pixelwise.colour.spaces import LUMINANCE_WEIGHTS
from pixelwise.errors import ConfigError
from pixelwise.network.config import RunConfig
from pixelwise.training.data.pictures import Batches, Pictures
from pixelwise.training.losses import class_weights, cross_entropy, soft_cross_entropy, soft_labels
from pixelwise.training.models.on_backbone import chroma_of
from pixelwise.training.shapes import Grey, Logits

_MIN_SIDE = 0.55  # the smallest window shows this fraction of a photo's height and width, the largest all
_LOG_ASPECT = 0.12  # how much wider or taller than its picture a window can be
_VAL_BATCH = 16
_NUM_COUNTED = 2000  # photos by which classes are counted for `rebalance`,
_COUNTED_COARSER = 4  # at colours this many times coarser than those that are learned
_EXPOSURE = 0.3  # L^g, with the logarithm of g up to this either way: from 0.74 to 1.35
_MOST_BLUE = 8.0  # times as much as the eye sees; early emulsions saw blue and hardly any red
_MOST_FADED = (0.2, 0.25)  # of the range from black to white: how far black rises, how far white falls
_MOST_GRAIN = 0.06  # standard deviation, of the same
_MOST_BLURRED = 1.2  # pixels, standard deviation


class ClassTask:
    """Predict the one class of each pixel, at the size of the picture."""

    def __init__(self, config: RunConfig, pictures: Pictures, palette: Palette, device: torch.device) -> None:
        self.config = config.train
        self.train = Batches.of(pictures.train, palette, device)
        self.val = Batches.of(pictures.val, palette, device)
        self.weights = class_weights([self.train.labels], palette.num_classes, config.train.rebalance, device)
        self.num_train = len(self.train)

    def batch(
        self, index: Int[Tensor, " B"], step: int, *, crop: bool, own: slice = slice(None)
    ) -> tuple[Grey, Any]:
        """Return the grey pictures at `index`, some mirrored, and labels; with `crop` a quarter of each.

        What is random follows from seed and step. Of the whole batch only the part `own` is returned.
        """
        batch, generator = self.train.at(index[own]), generator_at(self.config.seed, step, 1)
        if self.config.flip:
            mirrored = torch.rand(len(index), generator=generator)[own] < 0.5
            batch = batch.mirror(mirrored.to(batch.images.device))
        if crop:
            height, width = (size // 2 for size in batch.images.shape[-2:])
            row, column = (int(torch.randint(size + 1, (), generator=generator)) for size in (height, width))
            batch = batch.crop(row, column, height, width)
        return batch.grey(), batch.labels

    def loss(self, logits: Logits, targets: Any) -> Float[Tensor, ""]:
        """Return the mean cross-entropy, in nats a pixel; classes are weighted as `rebalance` says."""
        return cross_entropy(logits, targets, weights=self.weights)

    def val_parts(self) -> Iterator[tuple[Grey, UInt8[Tensor, "N H W"]]]:
        """Return the validation pictures, grey, and their labels."""
        return self.val.parts()


class ColourTask:
    """Predict soft classes of the mean colour of every 4 x 4 pixels, from windows of photos."""

    def __init__(self, config: RunConfig, pictures: Pictures, palette: Palette, device: torch.device) -> None:
        if palette.space != "ab":
            raise ConfigError(
                f"colournet needs a palette in ab, {palette.name} is in {palette.space}; leave --palette out"
            )
        if not config.train.window:
            raise ConfigError("colournet needs the side of its windows, got 0; take the recipe photo")
        self.config, self.palette, self.device, self.pictures = config.train, palette, device, pictures
        self.num_train = len(pictures.train)
        few = pictures.train[:: max(1, self.num_train // _NUM_COUNTED)]
        labels = (self._labels(images, _COUNTED_COARSER) for images in few.split(_VAL_BATCH))
        self.weights = class_weights(labels, palette.num_classes, config.train.rebalance, device)

    def batch(
        self, index: Int[Tensor, " B"], step: int, *, crop: bool, own: slice = slice(None)
    ) -> tuple[Grey, Any]:
        """Return as `ClassTask.batch` a window of each photo, some as on old film, and their soft classes."""
        del crop  # a window is one
        generator = generator_at(self.config.seed, step, 1)
        draws = torch.stack([torch.rand(5, generator=generator) for _ in index])
        windows = torch.empty(len(index), 3, self.config.window, self.config.window, dtype=torch.uint8)
        for window, place, draw in zip(windows, index, draws, strict=True):
            window.copy_(self._window(self.pictures.train[int(place)], draw))
        images = windows.to(self.device).float() / 255
        grey = photographed(images, self.config.film, generator)[own]
        targets = soft_labels(self.palette, chroma_of(images[own]), sigma=self.config.softness)
        return grey.contiguous(memory_format=torch.channels_last), targets

    def loss(self, logits: Logits, targets: Any) -> Float[Tensor, ""]:
        """Return the mean cross-entropy against the soft classes, weighted as `rebalance` says."""
        return soft_cross_entropy(logits, targets, weights=self.weights)

    def val_parts(self) -> Iterator[tuple[Grey, UInt8[Tensor, "N h w"]]]:
        """Yield whole validation photos, grey, and the nearest classes of their colours."""
        for images in self.pictures.val.split(_VAL_BATCH):
            grey = torch.from_numpy(self.palette.read_grey(images.numpy()))
            yield grey.to(self.device), self._labels(images).to(self.device)

    def _labels(self, images: UInt8[Tensor, "N 3 H W"], coarser: int = 1) -> UInt8[Tensor, "N h w"]:
        ab = chroma_of(images.float() / 255, coarser)
        return soft_labels(self.palette, ab, num_near=1).classes[:, 0].byte()

    def _window(
        self, image: UInt8[Tensor, "3 H W"], draw: Float[Tensor, "5"]
    ) -> UInt8[Tensor, "3 side side"]:
        """Return a part of a photo, resized and perhaps mirrored, as five numbers from 0 to 1 decide."""
        area, aspect, top, left, mirrored = draw.tolist()
        side = math.sqrt(_MIN_SIDE**2 + area * (1 - _MIN_SIDE**2))
        taller = math.exp(_LOG_ASPECT * (2 * aspect - 1))
        height, width = (
            min(length, max(1, round(length * side * longer)))
            for length, longer in zip(image.shape[-2:], (taller, 1 / taller), strict=True)
        )
        row, column = int(top * (image.shape[-2] - height + 1)), int(left * (image.shape[-1] - width + 1))
        window = tv.resized_crop(image, row, column, height, width, [self.config.window] * 2)
        return window.flip(-1) if self.config.flip and mirrored < 0.5 else window


def generator_at(seed: int, count: int, stream: int) -> torch.Generator:
    """Return a generator that follows from the seed and the place in the run, so that a run can resume."""
    return torch.Generator().manual_seed(seed_at(seed, count, stream))


def seed_at(seed: int, count: int, stream: int) -> int:
    """Return a seed for an epoch or step of a run: streams 0 and 1 draw the order and the augmentations."""
    return (seed * 1_000_003 + count) * 2 + stream


def photographed(
    images: Float[Tensor, "N 3 H W"], film_frac: float, randomness: torch.Generator
) -> Float[Tensor, "N 1 H W"]:
    """Return L over 100 of colour pictures, sRGB in [0, 1], at exposures that vary; some as if on old film.

    Old film, on a share of the pictures, is more or less blind to red and quick to see blue; it has faded,
    grains show, and some of it is out of focus.
    """

    def drawn() -> Tensor:
        return torch.rand(len(images), generator=randomness).to(images.device)

    old = drawn() < film_frac
    seen = torch.tensor(LUMINANCE_WEIGHTS, device=images.device).repeat(len(images), 1)
    red, blue = drawn(), _MOST_BLUE ** drawn()
    seen[old, 0] *= red[old]
    seen[old, 2] *= blue[old]
    seen /= seen.sum(1, keepdim=True)
    luminance = torch.einsum("nchw,nc->nhw", rgb_to_linear_rgb(images), seen)[:, None]
    grey = (_lightness(luminance) / 100).clamp(0, 1)
    exposure = torch.exp(_EXPOSURE * (2 * drawn() - 1))
    grey = grey ** exposure[:, None, None, None]
    if film_frac:
        blur = float(torch.rand(1, generator=randomness)) * _MOST_BLURRED + 0.1
        is_blurred = _per_photo(old & (drawn() < 0.5))
        grey = torch.where(is_blurred, tv.gaussian_blur(grey, [5, 5], [blur, blur]), grey)
        low, high = (_per_photo(most * drawn() * old) for most in _MOST_FADED)
        grey = low + (1 - high - low) * grey
        noise = torch.randn(grey.shape, generator=randomness).to(grey.device)
        grey = grey + noise * _per_photo(_MOST_GRAIN * drawn() * old)
    return grey.clamp_(0, 1)


def _lightness(luminance: Tensor) -> Tensor:
    """Return CIE L of luminance in [0, 1], as `colour.spaces` does for arrays."""
    line = luminance / (3 * (6 / 29) ** 2) + 4 / 29
    return 116 * torch.where(luminance > (6 / 29) ** 3, luminance.clamp_min(0) ** (1 / 3), line) - 16


def _per_photo(values: Tensor) -> Tensor:
    return values[:, None, None, None]
