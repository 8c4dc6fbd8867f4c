"""The state of one visitor who teaches: photos, strokes on them, and the head learned from these."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy import ndarray

from pixelwise.api.segmentation import Segmentation, Segmenter
from pixelwise.colour.arrays import UInt8
from pixelwise.colour.palette import IGNORE
from pixelwise.errors import LabelError
from pixelwise.evaluate.intervals import Interval
from pixelwise.labels.class_names import UNNAMED, ClassNames, Colour
from pixelwise.labels.folder import open_folder
from pixelwise.photos.photo import open_photo
from pixelwise.web.page.events import named_after
from pixelwise.web.page.pictures import Codes, nearest, small

MOST = 50  # photos of one visitor
_FEWEST_FOR_CURVE = 3
_DRAWS = 5  # at each number of photos
_FOR_BLACK = (0, 170, 255)  # which is seen on dark photos, too; no class has it by default

Labels = UInt8[ndarray, "H W"]


@dataclass
class PaintedPhoto:
    """A photo with the classes of the pixels that were painted."""

    path: Path
    picture: Codes
    labels: Labels | None = None
    """At the photo's or the picture's size; IGNORE where nothing was painted."""


@dataclass(frozen=True)
class LearnedInfo:
    """Facts about a learned head."""

    num_photos: int
    num_pixels: int
    seconds: float
    gradient_norm: float


@dataclass
class TeachSession:
    """Photos, strokes and head of one visitor."""

    classes: ClassNames = field(default_factory=lambda: ClassNames(UNNAMED))
    photos: list[PaintedPhoto] = field(default_factory=list)
    chosen: int = 0
    learned: LearnedInfo | None = None
    folder: tempfile.TemporaryDirectory[str] = field(default_factory=tempfile.TemporaryDirectory)
    segmenter: Segmenter = field(default_factory=lambda: Segmenter(num_views=1))

    @property
    def one(self) -> PaintedPhoto:
        """The photo that is shown."""
        return self.photos[self.chosen]

    @property
    def paints(self) -> tuple[Colour, ...]:
        """Colours to paint the classes in: their own, or one that is visible on any photo for black."""
        colours = self.classes.colours
        taken = _FOR_BLACK in colours
        return tuple(_FOR_BLACK if one == (0, 0, 0) and not taken else one for one in colours)

    @property
    def labelled(self) -> list[tuple[Path, Labels]]:
        """Photos with painted pixels, and their labels."""
        return [
            (one.path, one.labels)
            for one in self.photos
            if one.labels is not None and (one.labels != IGNORE).any()
        ]

    def add(self, path: Path) -> None:
        """Add a photo.

        Raises:
            PhotoError: it cannot be read.
        """
        with named_after(path):
            picture = small(open_photo(path))
        self.photos.append(PaintedPhoto(path, picture))
        del self.photos[:-MOST]

    def name(self, names: str) -> None:
        """Name the classes by a list with commas; painted pixels keep their class numbers.

        Raises:
            LabelError: these are no names of classes, or there are fewer than were painted already.
        """
        classes = ClassNames(tuple(one.strip() for one in names.split(",") if one.strip()))
        most = max((int(labels[labels != IGNORE].max()) for _, labels in self.labelled), default=0)
        if most >= classes.num_classes:
            raise LabelError(f"needed names for {most + 1} classes, which were painted, got {names}")
        self.classes = classes

    def paint(self, layers: Sequence[UInt8[ndarray, "h w 4"]]) -> None:
        """Read what was painted on the shown photo, in the classes' `paints`.

        Blurred edges of strokes are left out.
        """
        rows, columns = self.one.picture.shape[:2]
        labels = np.full((rows, columns), IGNORE, np.uint8)
        for layer in layers:
            drawn = nearest(layer, (rows, columns))
            apart = np.abs(drawn[..., None, :3].astype(int) - np.array(self.paints)).sum(-1)
            sure = (drawn[..., 3] > 0) & (apart.min(-1) < 30)
            labels[sure] = apart.argmin(-1)[sure].astype(np.uint8)
        self.one.labels = labels

    def strokes(self) -> UInt8[ndarray, "h w 4"]:
        """Return the labels of the shown photo as a layer of paint."""
        size = self.one.picture.shape[:2]
        layer = np.zeros((*size, 4), np.uint8)
        if self.one.labels is not None:
            labels = nearest(self.one.labels, size)
            said = labels != IGNORE
            layer[said, :3] = np.array(self.paints, np.uint8)[labels[said]]
            layer[said, 3] = 255
        return layer

    def take_masks(self, masks: Sequence[Path]) -> int:
        """Read masks, each for the photo of the same name; return their number.

        Raises:
            LabelError: they are no masks, or not of these photos.
        """
        of_photos = {one.path.stem: one for one in self.photos}
        fitting = [path for path in masks if path.stem in of_photos]
        if not fitting:
            raise LabelError(
                f"needed masks called as the photographs are, such as {self.photos[0].path.stem}.png, "
                f"got {masks[0].name}"
                if self.photos
                else "needed photographs first, then their masks"
            )
        with tempfile.TemporaryDirectory() as name:
            for path in fitting:
                photo = of_photos[path.stem].path
                for kind, file in (("images", photo), ("masks", path)):
                    (Path(name) / kind).mkdir(exist_ok=True)
                    shutil.copyfile(file, Path(name) / kind / file.name)
            try:
                classes, drawn, _ = open_folder(Path(name))
                labels = {one.stem: one.make_labels() for one in drawn}
            except LabelError as error:
                raise LabelError(str(error).replace(f"{name}/masks/", "")) from error
        for stem, label in labels.items():
            of_photos[stem].labels = label
        self.classes = classes
        return len(labels)

    def solve(self) -> LearnedInfo:
        """Learn from all painted pixels.

        Raises:
            LabelError: too little was painted to learn from.
        """
        if not self.labelled:
            raise LabelError("needed strokes of two classes at least, or masks; paint on a photograph first")
        start_s = time.perf_counter()
        some = self.labelled
        self.segmenter.set_params(classes=self.classes.names)
        self.segmenter.fit(*_pictures_and_masks(some))
        gradient_norm = self.segmenter.head_.facts.gradient_norm
        assert gradient_norm is not None  # `fit` always measures it
        self.learned = LearnedInfo(
            num_photos=len(some),
            num_pixels=sum(int(np.count_nonzero(labels != IGNORE)) for _, labels in some),
            seconds=time.perf_counter() - start_s,
            gradient_norm=gradient_norm,
        )
        return self.learned

    def segment_photo(self, one: PaintedPhoto) -> Segmentation:
        """Segment a photo by the head."""
        return self.segmenter.segment(one.path)

    def save(self) -> Path:
        """Write the head.

        Raises:
            LabelError: nothing was learned yet.
        """
        if self.learned is None:
            raise LabelError("needed a head that was learned; paint, and press Learn")
        name = "-".join(self.classes.names[1:]).replace("/", "-").replace(" ", "-")[:60]
        return self.segmenter.save(Path(self.folder.name) / f"{name}.head.safetensors")

    def curve(self) -> tuple[list[int], list[Interval]]:
        """Score heads of 1, 2, ... labelled photos on the others; intervals are worst and best draws.

        Raises:
            LabelError: fewer than three photos are labelled.
        """
        some = self.labelled
        if len(some) < _FEWEST_FOR_CURVE:
            raise LabelError(
                f"needed {_FEWEST_FOR_CURVE} labelled photographs, to learn from some and try on others, "
                f"got {len(some)}"
            )
        shots, scores = list(range(1, len(some))), []
        rng = np.random.default_rng(0)
        for num in shots:
            found = []
            for _ in range(_DRAWS):
                order = rng.permutation(len(some))
                learned, others = ([some[place] for place in part] for part in np.split(order, [num]))
                if (score := self._score(learned, others)) is not None:
                    found.append(score)
            if found:
                scores.append(Interval(value=float(np.mean(found)), low=min(found), high=max(found)))
        self.solve()  # the head is again the one from all of them
        return shots[len(shots) - len(scores) :], scores

    def _score(self, learned: list[tuple[Path, Labels]], others: list[tuple[Path, Labels]]) -> float | None:
        """Score a head from some photos on others; None where the former show one class alone."""
        try:
            self.segmenter.fit(*_pictures_and_masks(learned))
        except LabelError:
            return None
        return self.segmenter.score(*_pictures_and_masks(others))


def _pictures_and_masks(some: Sequence[tuple[Path, Labels]]) -> tuple[list[Path], list[Labels]]:
    """Return photos, and labels at the photos' own sizes."""
    return [path for path, _ in some], [
        nearest(labels, open_photo(path).upright_size) for path, labels in some
    ]
