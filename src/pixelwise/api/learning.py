"""A head learned from pictures and masks in memory, in scikit-learn's manner."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from numpy import ndarray
from PIL import Image
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from pixelwise.api.images import ImageLike, Images, is_one, photo_from
from pixelwise.api.kept import Stamp, kept_backbone, stamp
from pixelwise.api.segmentation import Segmentation, look_for
from pixelwise.classnames import BACKGROUND, UNNAMED, ClassNames
from pixelwise.errors import LabelError, ShapeError
from pixelwise.features import Extractor, read_photo
from pixelwise.finetune.last_layer import Look, learn_exactly
from pixelwise.finetune.shots import looks, num_looks
from pixelwise.head import Enlarged, Maps
from pixelwise.heads import Head, write_head
from pixelwise.labelspace import IGNORE
from pixelwise.photos.photo import Photo
from pixelwise.photos.view import WHOLE, View
from pixelwise.processor import ONE_THREAD, choose_device
from pixelwise.progress import progress
from pixelwise.scores import Confusion

MaskLike = ndarray | Tensor | Image.Image
Masks = Sequence[MaskLike] | ndarray | Tensor
_KEPT_BYTES = 2**30
"""What was seen of pictures is kept up to this size, so that learning again with other masks only solves."""


class Segmenter(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Learns from pictures and masks which class each pixel has; the best last layer, found exactly.

    Args:
        classes: names of the classes; if not given, background and object, or as many as the masks have.
        backbone: the frozen network, as `pixelwise finetune --backbone` takes it.
        sizes: short sides in pixels at which pictures are read; the backbone's own if not given.
        looks: looks at each picture, the first at the whole; more the fewer pictures, if 0.
        ridge: keeps the weights small; chosen by pictures left out if not given.
        rebalance: weighs rare classes up: 0 not at all, 1 until all classes weigh the same.

    Attributes:
        head_: what was learned, as a `pixelwise.heads.Head`.
        class_names_: what the classes are called.

    Examples:
        >>> import numpy as np
        >>> from pixelwise import Segmenter
        >>> picture = np.zeros((64, 64, 3), np.uint8)
        >>> picture[16:48, 16:48] = 230, 40, 40
        >>> mask = picture[..., 0] > 0
        >>> found = Segmenter(sizes=(64,), looks=1).fit([picture], [mask]).predict(picture)
        >>> bool((found == mask).mean() > 0.95)
        True
    """

    def __init__(
        self,
        classes: Sequence[str] | None = None,
        backbone: str = "efficientnet_lite0",
        sizes: Sequence[int] = (),
        looks: int = 0,
        ridge: float | None = None,
        rebalance: float = 0.0,
    ) -> None:
        self.classes = classes
        self.backbone = backbone
        self.sizes = sizes
        self.looks = looks
        self.ridge = ridge
        self.rebalance = rebalance

    def fit(self, images: Images, masks: Masks) -> Segmenter:
        """Learn from pictures and masks: (H, W) of class numbers from 0, or of True where the object is.

        Pixels with the number 255 have no class, and are not learned from.

        Raises:
            LabelError: a mask has a number that is no class, or no pixel has a class.
            PhotoError: a picture cannot be read.
            ShapeError: there are not as many masks as pictures, or one is not of its picture's size.
        """
        if is_one(images):
            raise ShapeError("needed a sequence of pictures and one of masks, got a single picture: [it]")
        if len(images) != len(masks) or not len(images):
            raise ShapeError(f"needed as many masks as pictures, got {len(images)} and {len(masks)}")
        photos = [photo_from(image) for image in images]
        labels = [_labels_of(mask, photo) for mask, photo in zip(masks, photos, strict=True)]
        classes = self._names(labels)
        views = [looks(str(index), self.looks or num_looks(len(photos))) for index in range(len(photos))]
        every = self._maps(images, photos, views)
        numbers = _numbers_of([_digest(photo) for photo in photos])

        def seen() -> Iterator[Look]:
            for number, label, own, maps in zip(numbers, labels, views, every, strict=True):
                for view, one in zip(own, maps, strict=True):
                    yield Look(number, one, view.cut(label))

        with ONE_THREAD:
            learned = learn_exactly(
                seen,
                sum(map(len, views)),
                classes.num_classes,
                ridge=self.ridge,
                rebalance=self.rebalance,
            )
        self.class_names_ = classes.names
        self.head_ = Head(
            name="learned",
            classes=classes,
            weights=learned.solved.weights,
            backbone=self.backbone,
            backbone_checksum=kept_backbone(self.backbone).checksum,
            sizes=self._sizes(),
            facts={
                "num_images": len(photos),
                "ridge": learned.solved.ridge,
                "gradient_norm": learned.solved.gradient_norm,
            },
        )
        self._look = look_for(self.head_)
        return self

    def look(self, images: Images) -> Segmenter:
        """Look at pictures as they come: `fit` on them, with one look each, and `segment` then only compute.

        What was seen is kept up to 1 GB; what was looked at longest ago goes first.

        Raises:
            PhotoError: a picture cannot be read.
        """
        photos = [photo_from(image) for image in images]
        self._maps(images, photos, [(WHOLE,)] * len(photos))
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "head_" in state:
            self._look = look_for(self.head_)

    def segment(self, image: ImageLike) -> Segmentation:
        """What the head says of one picture: labels, probabilities, overlay."""
        check_is_fitted(self, "head_")
        photo = photo_from(image)
        if maps := self._seen().get(self._key(image, photo, WHOLE)):
            word = Enlarged(self.head_.weights, maps, (photo.height, photo.width), photo.as_stored)
        else:
            (word,) = self._look(photo)
        return Segmentation(photo, word, self.head_.classes)

    def predict(self, images: ImageLike | Images) -> UInt8[ndarray, "H W"] | list[ndarray]:
        """The class of each pixel (H, W), uint8, of a picture; a list of these of several."""
        return self._of_each(images, lambda one: one.labels)

    def predict_proba(self, images: ImageLike | Images) -> Float32[ndarray, "K H W"] | list[ndarray]:
        """How likely each class is at each pixel (K, H, W) of a picture; a list of these of several."""
        return self._of_each(images, Segmentation.probs)

    def score(self, images: Images, masks: Masks) -> float:
        """The mean over the classes of intersection over union, all pixels of all pictures together.

        Raises:
            PhotoError: a picture cannot be read.
            ShapeError: there are not as many masks as pictures, or one is not of its picture's size.
        """
        check_is_fitted(self, "head_")
        if len(images) != len(masks):
            raise ShapeError(f"needed as many masks as pictures, got {len(images)} and {len(masks)}")
        total = Confusion(np.zeros((self.head_.classes.num_classes,) * 2, np.int64))
        for image, mask in zip(images, masks, strict=True):
            found = self.segment(image)
            truth = _labels_of(mask, found.photo).numpy()
            total += Confusion.of(found.labels, truth, self.head_.classes.num_classes)
        return total.miou

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the head as a file that `segment`, `evaluate` and the command line take.

        Raises:
            OutputError: it cannot be written.
        """
        check_is_fitted(self, "head_")
        write_head(Path(path), self.head_)
        return Path(path)

    def _of_each(self, images: ImageLike | Images, part: Callable[[Segmentation], ndarray]) -> Any:
        if is_one(images):
            return part(self.segment(cast("ImageLike", images)))
        return [part(self.segment(image)) for image in cast("Sequence[ImageLike]", images)]

    def _names(self, labels: Sequence[UInt8[Tensor, "H W"]]) -> ClassNames:
        there = sorted({int(one) for label in labels for one in label.unique()} - {IGNORE})
        most = there[-1] if there else 0
        if self.classes is None:
            several = (BACKGROUND, *(f"class {number}" for number in range(1, most + 1)))
            return ClassNames(UNNAMED if most <= 1 else several)
        if most >= len(self.classes):
            raise LabelError(f"needed masks of the classes 0 to {len(self.classes) - 1}, got {most} in one")
        return ClassNames(tuple(self.classes))

    def _maps(
        self, images: Images, photos: Sequence[Photo], views: Sequence[tuple[View, ...]]
    ) -> list[list[Maps]]:
        """The maps of every look at each photo; those that were seen before are not computed again."""
        seen, extractor = self._seen(), Extractor(kept_backbone(self.backbone), device=choose_device("auto"))
        found: list[list[Maps]] = []
        with progress("looking at pictures", sum(map(len, views))) as advance:
            for image, photo, own in zip(images, photos, views, strict=True):
                keys = [self._key(image, photo, view) for view in own]
                found.append(
                    [
                        seen.pop(key, ()) or _look_at(photo, view, key.sizes, extractor)
                        for key, view in zip(keys, own, strict=True)
                    ]
                )
                seen |= zip(keys, found[-1], strict=True)  # now the last that were looked at
                advance(len(own), str(photo.path.name))
        held_bytes = sum(_num_bytes(maps) for maps in seen.values())
        while held_bytes > _KEPT_BYTES:
            held_bytes -= _num_bytes(seen.pop(next(iter(seen))))
        return found

    def _seen(self) -> dict[_Key, Maps]:
        """What was looked at, longest ago first."""
        seen: dict[_Key, Maps] = self.__dict__.setdefault("_kept", {})
        return seen

    def _key(self, image: ImageLike, photo: Photo, view: View) -> _Key:
        """What a look is found again by: of a file what changes when it is written anew, else the pixels."""
        name = stamp(str(image)) if isinstance(image, str | os.PathLike) else _digest(photo)
        return _Key(name, view, self.backbone, self._sizes())

    def _sizes(self) -> tuple[int, ...]:
        return tuple(self.sizes) or kept_backbone(self.backbone).sizes

    def __getstate__(self) -> dict[str, Any]:
        """Without features and networks, which are found again."""
        whole = super().__getstate__()
        return {name: value for name, value in whole.items() if name not in ("_kept", "_look")}


@dataclass(frozen=True)
class _Key:
    """What decides the maps of one look."""

    name: str | Stamp
    view: View
    backbone: str
    sizes: tuple[int, ...]


def _num_bytes(maps: Maps) -> int:
    return sum(one.nbytes for one in maps)


def _look_at(photo: Photo, view: View, sizes: tuple[int, ...], extractor: Extractor) -> Maps:
    """Maps of one look, size by size."""
    multiple = extractor.backbone.multiple
    return tuple(one for size in sizes for one in extractor(read_photo(photo, size, multiple, view)))


def _labels_of(mask: MaskLike, photo: Photo) -> UInt8[Tensor, "H W"]:
    """A mask as class numbers.

    Raises:
        LabelError: it holds no class numbers.
        ShapeError: it is not of the photo's size.
    """
    numbers = np.asarray(mask)
    if numbers.shape != photo.upright_size:
        raise ShapeError(f"{photo.path}: needed a mask of the size {photo.upright_size}, got {numbers.shape}")
    if numbers.dtype.kind not in "bui" or numbers.min() < 0 or numbers.max() > IGNORE:
        raise LabelError(
            f"{photo.path}: needed a mask of True and False or of whole numbers from 0 to {IGNORE}, "
            f"got {numbers.dtype} from {numbers.min()} to {numbers.max()}"
        )
    return torch.from_numpy(numbers.astype(np.uint8))


def _digest(photo: Photo) -> str:
    """Of a picture's pixels, as they are displayed: equal for copies."""
    found = hashlib.sha256(str((photo.height, photo.width, photo.orientation)).encode())
    for strip in photo.strips():
        found.update(np.ascontiguousarray(strip).data)
    return found.hexdigest()


def _numbers_of(digests: Sequence[str]) -> list[int]:
    """A number for each picture, the same for copies: they are left out together."""
    first = {digest: number for number, digest in reversed(list(enumerate(digests)))}
    return [first[digest] for digest in digests]
