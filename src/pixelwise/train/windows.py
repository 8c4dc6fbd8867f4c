"""Photographs as a colouriser learns from them: windows of any place and size, with soft classes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torchvision.transforms.v2.functional as tv
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from pixelwise.config import RunConfig
from pixelwise.data import Pictures
from pixelwise.data.film import photographed
from pixelwise.data.places import chroma_of
from pixelwise.errors import ConfigError
from pixelwise.labelspace import Palette, SoftLabels
from pixelwise.losses import class_weights, soft_cross_entropy
from pixelwise.metrics import PixelScore
from pixelwise.shapes import Grey, Logits
from pixelwise.train.lesson import Shown, drawn_by

_ASPECT = 0.12  # logarithm: a window is up to so much wider, or taller, than it is shown
_AT_ONCE = 16  # pictures that are measured on
_COUNTED = 2000  # pictures whose colours say how common a class is
_COARSE = 4  # times coarser than what is learned: classes are counted there


@dataclass(frozen=True)
class Windows:
    """A batch of grey windows, and the soft classes of their places at the size of the logits."""

    read: Float[Tensor, "N 1 H W"]
    labels: SoftLabels

    def __len__(self) -> int:
        return len(self.read)

    def grey(self) -> Grey:
        """As `Shown.grey`."""
        return self.read


class ColourLesson:
    """Each place of a quarter of the size has a mean colour, which belongs to the classes around it."""

    def __init__(self, config: RunConfig, pictures: Pictures, palette: Palette, device: torch.device) -> None:
        """`config` is of a colournet.

        Raises:
            ConfigError: the palette is not of Lab's a and b, or the windows have no size.
        """
        if palette.space != "ab":
            raise ConfigError(
                f"colournet needs a palette in ab, {palette.name} is in {palette.space}; "
                "make one by `pixelwise palette SOURCE --space ab`"
            )
        if not config.train.window:
            raise ConfigError("colournet needs the side of its windows, got 0; take the recipe photo")
        self.config, self.palette, self.device = config.train, palette, device
        self.pictures = pictures
        self.num_train, self.num_val = len(pictures.train), len(pictures.val)
        every = max(1, self.num_train // _COUNTED)
        seen = (self._classes(some, _COARSE) for some in pictures.train[::every].split(_AT_ONCE))
        self.weights = class_weights(seen, palette.num_classes, config.train.rebalance)
        counts = sum(
            torch.bincount(self._classes(some).flatten(), minlength=palette.num_classes)
            for some in pictures.val.split(_AT_ONCE)
        )
        assert isinstance(counts, Tensor)
        self.commonest_frac = counts.max().item() / counts.sum().item()

    def batch(self, index: Int[Tensor, " B"], step: int, *, crop: bool, part: slice = slice(None)) -> Windows:
        """As `Lesson.batch`; a window of each picture, which is all the variation of place that there is."""
        del crop
        randomness = drawn_by(self.config.seed, step, 1)
        draws = torch.stack([torch.rand(5, generator=randomness) for _ in index])[part]
        seen = torch.empty(len(draws), 3, *[self.config.window] * 2, dtype=torch.uint8)
        for window, place, drawn in zip(seen, index[part], draws, strict=True):
            window.copy_(self._window(self.pictures.train[int(place)], drawn))
        seen = seen.to(self.device).float() / 255
        grey = photographed(seen, self.config.film, randomness, len(index), part)
        labels = self.palette.soft_labels(chroma_of(seen), sigma=self.config.softness)
        return Windows(grey.contiguous(memory_format=torch.channels_last), labels)

    def loss(self, logits: Logits, shown: Shown) -> Float[Tensor, ""]:
        """Cross-entropy against the shares of the classes, weighed as `rebalance` says."""
        assert isinstance(shown, Windows)
        return soft_cross_entropy(logits, shown.labels, weights=self.weights)

    def weight(self, shown: Shown) -> float:
        """As `Lesson.weight`: pixels count alike, rare classes more than they do."""
        assert isinstance(shown, Windows)
        return float(shown.labels.shares[:, 0].numel())

    @torch.inference_mode()
    def score(self, net: nn.Module, part: slice = slice(None)) -> PixelScore:
        """Cross-entropy and accuracy at the size of the logits, of whole pictures as they are."""
        was_training = net.training
        net.eval()
        total = PixelScore()
        for images in self.pictures.val[part].split(_AT_ONCE):
            grey = self.palette.read_grey(images).to(self.device)
            total += PixelScore.of(net(grey), self._classes(images).to(self.device))
        net.train(was_training)
        return total

    def _classes(self, images: UInt8[Tensor, "N 3 H W"], coarser: int = 1) -> UInt8[Tensor, "N h w"]:
        """The nearest class of the mean chroma of each place."""
        ab = chroma_of(images.float() / 255, coarser)
        return self.palette.soft_labels(ab, num_near=1).classes[:, 0].byte()

    def _window(self, picture: UInt8[Tensor, "3 H W"], drawn: Float[Tensor, "5"]) -> Tensor:
        """A part of a picture at the size that is learned from, perhaps mirrored."""
        area, aspect, top, left, mirrored = drawn.tolist()
        smallest = self.config.window_from
        side = math.sqrt(smallest**2 + area * (1 - smallest**2))
        taller = math.exp(_ASPECT * (2 * aspect - 1))
        height, width = (
            min(length, max(1, round(length * side * longer)))
            for length, longer in zip(picture.shape[-2:], (taller, 1 / taller), strict=True)
        )
        row, column = (
            int(share * (length - part + 1))
            for share, length, part in zip((top, left), picture.shape[-2:], (height, width), strict=True)
        )
        window = tv.resized_crop(picture, row, column, height, width, [self.config.window] * 2)
        return window.flip(-1) if self.config.flip and mirrored < 0.5 else window
