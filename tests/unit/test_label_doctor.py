"""Each mistake that people make with labels, alone in a folder, and folders without any."""

import numpy as np
import pytest
from PIL import Image

from fixtures.drawn import (
    drawing,
    folder_of_coco,
    folder_of_labelme,
    folder_of_masks,
    scene,
    write_numbers,
    write_photo,
    write_voc,
)
from fixtures.label_mistakes import (
    MISTAKES,
    black_and_white,
    coloured,
    copy_pair,
    named,
    numbers,
    split,
    trimaps,
)
from pixelwise.errors import DataError
from pixelwise.masks.doctor import check_folder
from pixelwise.photos.duplicates import find_duplicates


@pytest.mark.parametrize(
    "make",
    [
        numbers,
        black_and_white,
        named,
        coloured,
        trimaps,
        split,
        folder_of_coco,
        folder_of_labelme,
        lambda folder: folder_of_masks(folder, write_voc),
        lambda folder: folder_of_masks(folder, void=False),
    ],
)
def test_nothing_is_wrong_with_a_clean_folder(tmp_path, make):
    assert check_folder(make(tmp_path / "clean")) == ()


def test_turned_photos_with_masks_as_displayed_or_turned_alike_are_right(tmp_path):
    folder = numbers(tmp_path)
    for number, orientation in enumerate((5, 6, 8)):
        write_photo(folder / f"images/photo{number}.jpg", number, orientation)
        write_numbers(folder / f"masks/photo{number}.png", np.ascontiguousarray(drawing(number).T))
    exif = Image.Exif()
    exif[0x0112] = 6
    write_photo(folder / "images/photo3.jpg", 3, 6)
    Image.fromarray(drawing(3)).save(folder / "masks/photo3.png", exif=exif)
    assert check_folder(folder) == ()


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_found_alone_and_has_a_remedy(tmp_path, name):
    make, spoil, path, problem, remedy = MISTAKES[name]
    folder = make(tmp_path / "folder")
    assert check_folder(folder) == ()
    spoil(folder)
    (found,) = check_folder(folder)
    assert found.path == folder / path
    assert problem in found.problem
    assert remedy in found.remedy


def test_photos_twice_in_one_part_are_no_problem(tmp_path):
    folder = split(tmp_path)
    copy_pair(folder, "photo0", "photo1")
    assert check_folder(folder) == ()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: None, "needed a folder of photos and masks, .* is not there"),
        (lambda f: f.write_text(""), "needed a folder of photos and masks, .* is a file"),
        (lambda f: f.mkdir(), "needed photos in it or in images/, found none"),
        (
            lambda f: (f.mkdir(), write_photo(f / "a.jpg")),
            "needed one of masks/, annotations.json, or a LabelMe file beside each photo; found none",
        ),
        (
            lambda f: (folder_of_coco(f), (f / "masks").mkdir()),
            "needed one of masks/, annotations.json, .*; found masks and coco",
        ),
    ],
)
def test_what_is_no_folder_of_masks_is_refused(tmp_path, make, message):
    make(tmp_path / "folder")
    with pytest.raises(DataError, match=message):
        check_folder(tmp_path / "folder")


def test_duplicates_are_found_through_size_turn_and_loss(tmp_path):
    """A mirrored photo, one of another shape and a part cut out of it are others."""
    original = Image.fromarray(scene(3, 300, 420))
    original.save(tmp_path / "a.png")
    original.resize((210, 150)).save(tmp_path / "b.jpg", quality=40)
    exif = Image.Exif()
    exif[0x0112] = 6
    original.rotate(90, expand=True).save(tmp_path / "c.jpg", exif=exif)
    original.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "d.png")
    original.resize((420, 420)).save(tmp_path / "e.png")
    original.crop((60, 40, 340, 240)).save(tmp_path / "f.png")
    (tmp_path / "g.png").write_bytes(b"no photo")
    a, b, c, *_ = photos = sorted(tmp_path.iterdir())
    assert find_duplicates(photos) == [(a, b), (a, c), (b, c)]
    assert find_duplicates([]) == []
