"""Probabilities to TIFF: a page of each class, whatever reads it."""

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image

from pixelwise.classnames import ClassNames
from pixelwise.errors import ShapeError
from pixelwise.masks import probabilities
from pixelwise.masks.probabilities import LARGEST, write_probabilities

CLASSES = ClassNames(("background", "flower", "Blüte"))
SIZE = 21, 34


def chances(seed=0):
    raw = np.random.default_rng(seed).gamma(0.3, size=(3, *SIZE))
    return (raw / raw.sum(0)).astype(np.float32)


def split(whole, num_rows):
    return (whole[:, row : row + num_rows] for row in range(0, whole.shape[1], num_rows))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("num_rows", [1, 8, 21])
def test_readers_of_tiff_get_the_numbers(tmp_path, num_rows, big, monkeypatch):
    if big:
        monkeypatch.setattr(probabilities, "_SMALL_BYTES", 0)
    path, whole = tmp_path / "a.tif", chances()
    write_probabilities(path, split(whole, num_rows), CLASSES, SIZE, orientation=6)
    codes = np.rint(whole * LARGEST)
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff == big
        assert np.array_equal(file.asarray(), codes)
        assert [page.tags["PageName"].value for page in file.pages] == list(CLASSES.names)
        assert {page.tags["Orientation"].value for page in file.pages} == {6}
    for page, expected in enumerate(codes):
        image = pyvips.Image.new_from_file(str(path), page=page)
        assert image.format == "ushort"
        assert np.array_equal(image.numpy(), expected)
        with Image.open(path) as image:
            image.seek(page)
            assert np.array_equal(np.asarray(image), np.rot90(expected, -1))  # it turns TIFFs by itself
    assert abs(codes.sum(0) - LARGEST).max() <= 2


@pytest.mark.parametrize(
    ("strips", "message"),
    [
        ([], "needed probabilities of 21 rows, got 0"),
        ([(3, 20, 34)], "needed probabilities of 21 rows, got 20"),
        ([(3, 8, 34), (3, 4, 34)], r"needed probabilities of shape \(3, 8, 34\), got \(3, 4, 34\)"),
        ([(2, 21, 34)], r"needed probabilities of shape \(3, 21, 34\), got \(2, 21, 34\)"),
    ],
)
def test_strips_of_another_photo(tmp_path, strips, message):
    with pytest.raises(ShapeError, match=message):
        write_probabilities(
            tmp_path / "a.tif", [np.zeros(shape, np.float32) for shape in strips], CLASSES, SIZE
        )
    assert list(tmp_path.iterdir()) == []
