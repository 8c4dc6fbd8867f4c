"""Cutting things out of pictures from Python, and learning to in scikit-learn's manner."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy import ndarray
from PIL import Image

from pixelwise.api.images import ImageLike, Images, kept, notebook_png, photo_from, pil_of, upright_codes
from pixelwise.colour.arrays import Bool, Float32, UInt8
from pixelwise.colour.palette import IGNORE
from pixelwise.errors import ConfigError, LabelError, PhotoError, ShapeError
from pixelwise.labels.class_names import BACKGROUND, UNNAMED, ClassNames
from pixelwise.labels.confusion import Confusion
from pixelwise.labels.labelled import LabelledPhoto
from pixelwise.network.backbone import Backbone, open_backbone
from pixelwise.network.config import FinetuneConfig
from pixelwise.photos.photo import Photo
from pixelwise.segmenting.exact import solve_from_views, views_of
from pixelwise.segmenting.feature_cache import FeatureCache
from pixelwise.segmenting.heads import Head, HeadFacts, open_head, write_head
from pixelwise.segmenting.linear_head import EnlargedLogits
from pixelwise.segmenting.run import HeadRunner, overlay_strips

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_HEAD = "flower"
Masks: TypeAlias = "Sequence[ndarray | Tensor | Image.Image] | ndarray | Tensor"
_PREFIX = "pixelwise-"  # of temporary folders
_CACHE_BYTES = 2**30  # of features, so that learning again from other masks only solves


def segment(image: ImageLike, head: str | os.PathLike[str] | Head = DEFAULT_HEAD) -> Segmentation:
    """Find the class of every pixel of a picture.

    Args:
        image: a path, a PIL image, an array (H, W[, 3 or 4]) or a tensor ([C,] H, W), in sRGB.
        head: a shipped head's name, a head file, or one that was learned (`Segmenter().fit(...).head_`).

    Raises:
        CheckpointError: there is no such head, or it belongs to other weights of its backbone.
        PhotoError: the picture cannot be read.
        ShapeError: an array has another shape than pictures have.

    Examples:
        >>> import numpy as np
        >>> found = segment(np.zeros((48, 64, 3), np.uint8))
        >>> found.labels.shape, found.classes.names
        ((48, 64), ('background', 'flower'))
    """
    runner = _runner(head) if isinstance(head, Head) else kept(_runner, head)
    photo = photo_from(image)
    (logits,) = runner(photo)
    return Segmentation(photo, logits, runner.heads[0].classes)


def _runner(head: Head | str) -> HeadRunner:
    opened = head if isinstance(head, Head) else open_head(head)
    return HeadRunner([opened], kept(open_backbone, opened.backbone))


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The classes of one picture's pixels, as the picture is displayed.

    `numpy.asarray(found)` has the classes (H, W), uint8.
    """

    photo: Photo = field(repr=False)
    logits: EnlargedLogits = field(repr=False)
    classes: ClassNames

    @cached_property
    def labels(self) -> UInt8[ndarray, "H W"]:
        """The likeliest class of each pixel, an index into `classes.names`."""
        return np.ascontiguousarray(self.photo.upright(self.logits.labels(0, self.photo.height)))

    def probs(self) -> Float32[ndarray, "K H W"]:
        """Return the probability of each class at each pixel; they add up to 1."""
        return np.ascontiguousarray(self.photo.upright(self.logits.probs(0, self.photo.height)))

    def mask(self, name: str) -> Bool[ndarray, "H W"]:
        """Return where a class is; LabelError if there is none of this name."""
        return self.labels == self.classes.index(name)

    def cut_out(self, name: str) -> Image.Image:
        """Return the picture in RGBA, all of it 0 where the class is not; LabelError if there is none."""
        picture = pil_of(upright_codes(self.photo)).convert("RGB")
        picture.putalpha(255)
        return Image.fromarray(np.asarray(picture) * self.mask(name)[..., None])

    def overlay(self, opacity: float = 0.5) -> Image.Image:
        """Return the picture with classes laid over it; a class 0 that is called background stays clear."""
        strips = overlay_strips(self.photo.strips(), self.photo, self.logits, self.classes, opacity)
        return pil_of(upright_codes(self.photo, strips))

    def _repr_png_(self) -> bytes | None:  # shown by notebooks
        return notebook_png(self.overlay())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> ndarray:
        return np.array(self.labels, dtype=dtype, copy=copy)


@dataclass(eq=False)
class Segmenter:
    """An estimator that learns from pictures and masks which class each pixel has; it solves the last layer.

    Args:
        classes: names of the classes; if not given, background and object, or as many as the masks have.
        backbone: the frozen network, as `pixelwise finetune --backbone` takes it.
        sizes: short sides in pixels at which pictures are read; the backbone's own if not given.
        num_views: views of each picture, the first the whole; more the fewer pictures, if 0.
        ridge: keeps the weights small; chosen by pictures left out if not given.
        rebalance: weighs rare classes up: 0 not at all, 1 until all classes weigh the same.

    Attributes:
        head_: what was learned, as a `pixelwise.segmenting.heads.Head`.
        class_names_: names of the classes.

    Examples:
        >>> import numpy as np
        >>> from pixelwise import Segmenter
        >>> picture = np.zeros((64, 64, 3), np.uint8)
        >>> picture[16:48, 16:48] = 230, 40, 40
        >>> mask = picture[..., 0] > 0
        >>> found = Segmenter(sizes=(64,), num_views=1).fit([picture], [mask]).predict(picture)
        >>> bool((found == mask).mean() > 0.95)
        True
    """

    classes: Sequence[str] | None = None
    backbone: str = "efficientnet_lite0"
    sizes: Sequence[int] = ()
    num_views: int = 0
    ridge: float | None = None
    rebalance: float = 0.0

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 - none has parameters itself
        """Return the parameters by name, as scikit-learn asks for them."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def set_params(self, **params: Any) -> Segmenter:
        """Set parameters by name; ConfigError if there is none of a name."""
        for name, value in params.items():
            if name not in self.get_params():
                raise ConfigError(f"needed one of the parameters {', '.join(self.get_params())}, got {name}")
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn asks estimators of; only it does, so that it need not be installed."""
        from sklearn.base import BaseEstimator

        return BaseEstimator().__sklearn_tags__()

    def fit(self, images: Images, masks: Masks) -> Segmenter:
        """Learn from pictures and masks: (H, W) of class numbers from 0, or of True where the object is.

        Pixels with the number 255 have no class, and are not learned from; but where all masks have only 0
        and 255, these are background and object.

        Raises:
            ConfigError: a parameter is out of range.
            LabelError: a mask has a number that is no class, or no pixel has a class.
            PhotoError: a picture cannot be read.
            ShapeError: there are not as many masks as pictures, or one is not of its picture's size.
        """
        if _is_single(images):
            raise ShapeError("needed a sequence of pictures and one of masks, got a single picture: [it]")
        images = _listed(images)
        labels = _all_labels(masks, [photo_from(image) for image in images])
        classes = self._names(labels)
        config = FinetuneConfig(source="pictures", ridge=self.ridge, rebalance=self.rebalance)
        with _as_files(images) as paths:
            shots = [
                LabelledPhoto(path, path, partial(np.copy, label))
                for path, label in zip(paths, labels, strict=True)
            ]
            features = self._cache.maps(views_of(paths, self.num_views), self._opened, self._sizes)
            solved = solve_from_views(config, classes.num_classes, shots, features)
        self.class_names_ = classes.names
        self.head_ = Head(
            name="learned",
            classes=classes,
            weights=solved.weights,
            backbone=self.backbone,
            backbone_checksum=self._opened.checksum,
            sizes=self._sizes,
            facts=HeadFacts(num_images=len(shots), ridge=solved.ridge, gradient_norm=solved.gradient_norm),
        )
        return self

    def segment(self, image: ImageLike) -> Segmentation:
        """Find the classes of one picture's pixels: labels, probabilities, overlay."""
        return self._segment([image])[0]

    def predict(self, images: ImageLike | Images) -> UInt8[ndarray, "H W"] | list[ndarray]:
        """Return the class of each pixel (H, W), uint8, of a picture; a list of these of several."""
        several = _listed(images)
        labels = [found.labels for found in self._segment(several)]
        return labels[0] if _is_single(images) else labels

    def predict_proba(self, images: ImageLike | Images) -> Float32[ndarray, "K H W"] | list[ndarray]:
        """Return the probability of each class at each pixel (K, H, W) of a picture, or a list of these."""
        several = _listed(images)
        probs = [found.probs() for found in self._segment(several)]
        return probs[0] if _is_single(images) else probs

    def score(self, images: Images, masks: Masks) -> float:
        """Return the mean over the classes of intersection over union, of all pixels; masks are as for `fit`.

        Raises:
            PhotoError: a picture cannot be read.
            ShapeError: there are not as many masks as pictures, or one is not of its picture's size.
        """
        several, num_classes = self._segment(_listed(images)), self.head_.classes.num_classes
        labels = _all_labels(masks, [found.photo for found in several])
        total = Confusion(np.zeros((num_classes, num_classes), np.int64))
        for found, true in zip(several, labels, strict=True):
            total += Confusion.of(found.labels, true, num_classes)
        return total.miou

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the head as a file that `segment`, `evaluate` and the command line take."""
        write_head(Path(path), self._learned)
        return Path(path)

    def _names(self, labels: Sequence[UInt8[ndarray, "_H _W"]]) -> ClassNames:
        most = max(int(label[label != IGNORE].max(initial=0)) for label in labels)
        if self.classes is None and most <= 1:
            return ClassNames(UNNAMED)
        names = self.classes or (BACKGROUND, *(f"class {number}" for number in range(1, most + 1)))
        if most >= len(names):
            raise LabelError(f"needed masks of the classes 0 to {len(names) - 1}, got {most} in one")
        return ClassNames(tuple(names))

    def _segment(self, images: Images) -> list[Segmentation]:
        head, found = self._learned, list[Segmentation]()
        with _as_files(images) as paths:
            features = self._cache.maps(paths, self._opened, self._sizes)
            for image, maps in zip(images, features, strict=True):
                photo = photo_from(image)
                size = photo.height, photo.width
                (logits,) = EnlargedLogits.of([head.weights], maps.read(), size, photo.as_stored)
                found.append(Segmentation(photo, logits, head.classes))
        return found

    @property
    def _learned(self) -> Head:
        if not hasattr(self, "head_"):
            raise ConfigError("needed a Segmenter that has learned, got a new one: call fit first")
        return self.head_

    @property
    def _opened(self) -> Backbone:
        return kept(open_backbone, self.backbone)

    @property
    def _sizes(self) -> tuple[int, ...]:
        return tuple(self.sizes) or self._opened.sizes

    @cached_property
    def _cache(self) -> FeatureCache:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return FeatureCache(folder, limit_bytes=_CACHE_BYTES)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without features, which are extracted again."""
        return {name: value for name, value in vars(self).items() if name != "_cache"}


@contextmanager
def _as_files(images: Images) -> Iterator[list[Path]]:
    """Yield a path of each picture; those in memory have a file meanwhile, in a folder of this call's own."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        paths = []
        for index, image in enumerate(images):
            if isinstance(image, str | os.PathLike):
                paths.append(Path(image))
            else:
                paths.append(Path(folder, f"{index}.png"))
                photo_from(image).develop(1).pngsave(str(paths[-1]), compression=0)
        yield paths


def _listed(images: Any) -> list[Any]:
    """Return one picture or several as a list; PhotoError where it is neither."""
    if _is_single(images):
        return [images]
    try:
        return list(images)
    except TypeError as error:
        raise PhotoError(f"needed a picture or several, got {type(images).__name__}") from error


def _is_single(images: Any) -> bool:
    if hasattr(images, "ndim"):  # an array or a tensor
        return bool(images.ndim <= 3)
    return isinstance(images, str | os.PathLike | Image.Image)


def _all_labels(masks: Masks, photos: Sequence[Photo]) -> list[UInt8[ndarray, "_H _W"]]:
    """Return masks as labels; where all have only 0 and 255, these are background and object."""
    masks = list(masks)
    if len(photos) != len(masks) or not photos:
        raise ShapeError(f"needed as many masks as pictures, got {len(photos)} and {len(masks)}")
    labels = []
    for mask, photo in zip(masks, photos, strict=True):
        numbers = np.asarray(mask)
        if numbers.shape != photo.upright_size:
            raise ShapeError(
                f"{photo.path}: needed a mask of the size {photo.upright_size}, got {numbers.shape}"
            )
        if numbers.dtype.kind not in "bui" or numbers.min() < 0 or numbers.max() > IGNORE:
            raise LabelError(
                f"{photo.path}: needed a mask of True and False or of whole numbers from 0 to {IGNORE}, "
                f"got {numbers.dtype} from {numbers.min()} to {numbers.max()}"
            )
        labels.append(numbers.astype(np.uint8))
    is_pair = np.array_equal(np.unique(np.concatenate([np.unique(label) for label in labels])), [0, IGNORE])
    return [(label == IGNORE).astype(np.uint8) for label in labels] if is_pair else labels
