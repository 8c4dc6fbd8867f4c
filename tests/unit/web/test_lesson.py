"""What a visitor paints on photos: colours that can be seen, and labels that come back as they went."""

import numpy as np
import pytest

from pixelwise.colour.palette import IGNORE
from pixelwise.labels.class_names import ClassNames
from pixelwise.web.page.lesson import PaintedPhoto, TeachSession


@pytest.fixture
def lesson(tmp_path):
    picture = np.zeros((4, 6, 3), np.uint8)
    lesson = TeachSession(photos=[PaintedPhoto(tmp_path / "dark.png", picture)])
    yield lesson
    lesson.folder.cleanup()


def test_what_was_painted_comes_back_as_it_went(lesson):
    labels = np.full((4, 6), IGNORE, np.uint8)
    labels[0, :3], labels[3, 2:] = 0, 1
    lesson.one.labels = labels
    lesson.paint([lesson.strokes()])
    assert lesson.one.labels is not labels
    assert (lesson.one.labels == labels).all()


def test_a_black_class_is_painted_in_what_dark_photos_show(lesson):
    lesson.one.labels = np.zeros((4, 6), np.uint8)
    assert lesson.classes.colours[0] == (0, 0, 0)
    assert lesson.strokes()[..., :3].max() > 150


def test_no_two_classes_are_painted_alike(lesson):
    assert lesson.paints[0] != lesson.classes.colours[0]
    lesson.classes = ClassNames(("background", "sky"), ((0, 0, 0), lesson.paints[0]))
    assert len(set(lesson.paints)) == 2
