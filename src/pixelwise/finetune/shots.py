"""Which photos are learned from, and how often each is looked at."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from typing import TypeVar

from pixelwise.data.labelled import LabelledPhoto, file_checksums
from pixelwise.errors import ConfigError
from pixelwise.photos.view import WHOLE, View

_SMALLEST = 0.5  # of the height and width that a look closer takes in
_LOOKS = 60  # all photos together are looked at about so often; above, more photos bring more than more looks
_MOST_LOOKS = 5  # at one photo

T = TypeVar("T")


def copies_together(photos: Sequence[LabelledPhoto]) -> list[tuple[LabelledPhoto, ...]]:
    """The different photos, each with its copies: files that are equal byte for byte.

    Whoever takes some photos apart, to stop by or to measure on, takes these: what learned a photo by heart
    knows its copy.

    Raises:
        DataError: a photo cannot be read.
    """
    checksums = file_checksums(one.photo for one in photos)
    different: dict[str, list[LabelledPhoto]] = {}
    for one in photos:
        different.setdefault(checksums[one.photo], []).append(one)
    return [tuple(copies) for copies in different.values()]


def unfold(photos: Iterable[tuple[LabelledPhoto, ...]]) -> tuple[LabelledPhoto, ...]:
    """Photos and their copies, one after the other."""
    return tuple(itertools.chain(*photos))


def draw(photos: Sequence[T], num: int, seed: int) -> tuple[T, ...]:
    """`num` of the photos, any as likely as any other, in their own order; 0: all of them.

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


def num_looks(num_photos: int) -> int:
    """How often each of so many photos is looked at: once whole, and closer the fewer photos there are.

    Frozen features change with the size at which things are seen, and few photos do not show how.
    """
    return max(1, min(_MOST_LOOKS, _LOOKS // num_photos))


def looks(stem: str, num: int) -> tuple[View, ...]:
    """A photo whole, then `num` - 1 parts of half its height and width or more, some mirrored.

    They depend on nothing but the photo's name, so that their features are found again.
    """
    rng = random.Random(stem)
    return (WHOLE, *(closer(rng) for _ in range(num - 1)))


def closer(rng: random.Random) -> View:
    """A part of a photo, of half its height and width or more, as likely mirrored as not."""
    share = rng.uniform(_SMALLEST, 1)
    top, left = rng.uniform(0, 1 - share), rng.uniform(0, 1 - share)
    return View(top, left, share, share, mirrored=rng.random() < 0.5)
