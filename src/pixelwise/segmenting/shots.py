"""Which photos are learned from, and how often each is viewed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from typing import TypeVar

from pixelwise.errors import ConfigError
from pixelwise.labels.labelled import LabelledPhoto, file_checksums
from pixelwise.photos.crop_view import WHOLE, View

_SMALLEST = 0.5  # of a photo's height and width, in a crop
_VIEWS = 60  # of all photos together; above, more photos help more than more views
_MOST_VIEWS = 5  # of one photo

T = TypeVar("T")


def group_copies(photos: Sequence[LabelledPhoto]) -> list[tuple[LabelledPhoto, ...]]:
    """Group photos whose files are equal byte for byte, so that no copy is on both sides of a split.

    Raises:
        DataError: a photo cannot be read.
    """
    checksums = file_checksums(one.photo for one in photos)
    different: dict[str, list[LabelledPhoto]] = {}
    for one in photos:
        different.setdefault(checksums[one.photo], []).append(one)
    return [tuple(copies) for copies in different.values()]


def ungroup(groups: Iterable[tuple[LabelledPhoto, ...]]) -> tuple[LabelledPhoto, ...]:
    """Return the photos of all groups, one after the other."""
    return tuple(itertools.chain(*groups))


def draw(photos: Sequence[T], num: int, seed: int) -> tuple[T, ...]:
    """Draw `num` of the photos at random, in their own order; 0: all of them.

    Raises:
        ConfigError: there are fewer, or none.
    """
    if not photos:
        raise ConfigError("needed labelled photos to learn from, the part train has none")
    if num > len(photos):
        raise ConfigError(
            f"needed {num} labelled photos to learn from, there are {len(photos)} beside those held out to "
            "score on; --then-all learns from these, too"
        )
    if num == 0:
        return tuple(photos)
    chosen = random.Random(seed).sample(range(len(photos)), num)
    return tuple(photos[index] for index in sorted(chosen))


def num_views(num_photos: int) -> int:
    """Return how many views to take of each photo: more the fewer photos there are, 1 to 5.

    Frozen features change with the size at which things are seen, and few photos do not show how.
    """
    return max(1, min(_MOST_VIEWS, _VIEWS // num_photos))


def views_of(stem: str, num: int) -> tuple[View, ...]:
    """Return the whole photo and `num` - 1 random crops, always the same for a name: a cache finds them."""
    rng = random.Random(stem)
    return (WHOLE, *(random_crop(rng) for _ in range(num - 1)))


def random_crop(rng: random.Random) -> View:
    """Draw a crop of half a photo's height and width or more, mirrored half of the time."""
    share = rng.uniform(_SMALLEST, 1)
    top, left = rng.uniform(0, 1 - share), rng.uniform(0, 1 - share)
    return View(top, left, share, share, mirrored=rng.random() < 0.5)
