"""Each mistake that people make with labels, alone in a folder, and folders without any."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from fixtures import drawn
from fixtures.drawn import COLOURS, HEIGHT, NAMES, VOID, VOID_COLOUR, WIDTH, drawing
from pixelwise.errors import DataError
from pixelwise.labels.doctor import check_folder
from pixelwise.photos.duplicates import find_duplicates

pytestmark = pytest.mark.core

PHOTO, MASK, COCO, SPLITS = "images/photo1.jpg", "masks/photo1.png", "annotations.json", "splits.json"
LEGEND, MASK0, PHOTO2, LABELME = "classes.json", "masks/photo0.png", "images/photo2.jpg", "photo1.json"
FLOWER, EMPTY = drawing(1) == 1, drawn.labelme([])


def with_json(name, values, write=drawn.write_numbers):
    def make(folder):
        drawn.write_json(drawn.folder_of_masks(folder, write) / name, values)
        return folder

    return make


def black_and_white(folder):
    return drawn.folder_of_masks(folder, drawn.write_black_and_white)


named = with_json(LEGEND, {"names": list(NAMES)})
colours = dict(zip((*NAMES, "ignore"), map(list, (*COLOURS, VOID_COLOUR)), strict=True))
coloured = with_json(LEGEND, colours, drawn.write_colours)
trimaps = with_json(LEGEND, {"flower": 1, "leaf": 2, "background": 3, "ignore": 0}, drawn.write_trimap)
split = with_json(SPLITS, {"train": ["photo0", "photo1"], "val": ["photo2"], "test": ["photo3"]})


def with_box(pixels, value):
    changed = np.array(pixels, np.uint8)
    changed[20:25, 40:50] = value
    return changed


def put(labels):
    return lambda folder: drawn.write_numbers(folder / MASK, labels)


def put_json(name, values):
    return lambda folder: drawn.write_json(folder / name, values)


def remove(name):
    return lambda folder: (folder / name).unlink()


def damage(name):
    return lambda folder: (folder / name).write_text("{")


def add_photo(name, **options):
    return lambda folder: drawn.write_photo(folder / name, options.pop("seed", 9), **options)


def resize_smoothly(times=1):
    """As a careless program does: half the size, and back."""

    def spoil(folder):
        labels = Image.fromarray(np.asarray(Image.open(folder / MASK)) * np.uint8(times))
        small = labels.resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.BILINEAR)
        small.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR).save(folder / MASK)

    return spoil


def save_as_jpeg(folder):
    Image.open(folder / MASK).save(folder / "masks/photo1.jpg")
    (folder / MASK).unlink()


def copy_pair(new):
    def spoil(folder):
        for place in ("images/{}.jpg", "masks/{}.png"):
            shutil.copy(folder / place.format("photo0"), folder / place.format(new))

    return spoil


def save_anew(folder):
    """Larger, with more loss."""
    image = Image.open(folder / "images/photo0.jpg")
    image.resize((2 * WIDTH, 2 * HEIGHT)).save(folder / PHOTO2, quality=60)
    drawn.write_numbers(folder / "masks/photo2.png", np.kron(drawing(0), np.ones((2, 2), np.uint8)))


def change(name, how):
    def spoil(folder):
        values = json.loads((folder / name).read_text())
        how(values)
        drawn.write_json(folder / name, values)

    return spoil


def circle(values):
    values["shapes"][0].update(shape_type="circle")


def other_case(values):
    values["shapes"].append(values["shapes"][0] | {"label": values["shapes"][0]["label"].upper() + " "})


def shrink_photo(folder):
    Image.fromarray(drawn.scene(20, 28, 1)).save(folder / PHOTO)


# A clean folder, how it is spoilt, the file that is named for it, and a part of the problem.
MISTAKES = {
    "photo without mask": (named, remove(MASK), PHOTO, "no mask"),
    "mask without photo": (named, remove(PHOTO), MASK, "no photo"),
    "stem twice": (named, add_photo("images/photo1.png"), PHOTO, "photo1.png"),
    "damaged photo": (named, damage(PHOTO), PHOTO, "needed a whole photo"),
    "damaged mask": (named, damage(MASK), MASK, "whole picture of a mask"),
    "another size": (named, put(drawing(1)[::2, ::2]), MASK, "56 x 40, got 28 x 20"),
    "EXIF turn": (named, add_photo(PHOTO, seed=1, orientation=6), MASK, "as stored, 56 x 40, but EXIF"),
    "JPEG": (black_and_white, save_as_jpeg, "masks/photo1.jpg", "got JPEG"),
    "smooth black and white": (black_and_white, resize_smoothly(), MASK, "in steps"),
    "smooth colours": (coloured, resize_smoothly(), MASK, "in steps"),
    "unknown number": (named, put(with_box(drawing(1), 7)), MASK, "got 7 in 50 pixels"),
    "unknown grey": (black_and_white, put(with_box(FLOWER * 255, 128)), MASK, "grey 0, 128"),
    "one that counts": (black_and_white, put(FLOWER.astype(np.uint8)), MASK0, "got 255 here and 1 in"),
    "no legend": (coloured, remove(LEGEND), MASK0, "colours"),
    "trimaps without legend": (trimaps, remove(LEGEND), MASK0, "needed to know what 0 means"),
    "broken legend": (named, put_json(LEGEND, {"names": ["a"]}), LEGEND, "got 1"),
    "nothing labelled": (named, put(np.full_like(drawing(), VOID)), MASK, "no pixel has a class"),
    "only background": (black_and_white, put(np.zeros_like(drawing())), MASK, "but background"),
    "number without a pixel": (drawn.folder_of_masks, put(with_box(drawing(1), 4)), "masks", "class 3"),
    "copy in two parts": (split, copy_pair("photo3"), "images/photo3.jpg", "(train and test)"),
    "two parts, saved anew": (split, save_anew, PHOTO2, "(train and val)"),
    "in two parts": (split, put_json(SPLITS, {"train": ["photo0"], "test": ["photo0"]}), "", "of test"),
    "broken splits": (split, put_json(SPLITS, {"train": [1]}), SPLITS, "got 1"),
    "COCO: no mask": (drawn.folder_of_coco, add_photo("images/new.jpg"), "images/new.jpg", "no mask"),
    "COCO: no photo": (drawn.folder_of_coco, remove(PHOTO), COCO, "speaks of photo1.jpg"),
    "COCO: another size": (drawn.folder_of_coco, shrink_photo, COCO, "28 x 20, got 56 x 40"),
    "COCO: no JSON": (drawn.folder_of_coco, damage(COCO), COCO, "needed JSON"),
    "LabelMe: circle": (drawn.folder_of_labelme, change(LABELME, circle), LABELME, "a circle of"),
    "LabelMe: case": (drawn.folder_of_labelme, change(LABELME, other_case), "", "by case or blanks alone"),
    "LabelMe: no shapes": (drawn.folder_of_labelme, put_json(LABELME, EMPTY), LABELME, "but background"),
}


@pytest.mark.parametrize(
    "make", [trimaps, black_and_white, lambda f: drawn.folder_of_masks(f, drawn.write_voc)]
)
def test_nothing_is_wrong_with_a_clean_folder(tmp_path, make):
    assert check_folder(make(tmp_path / "clean")) == ()


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_found_alone_and_has_a_remedy(tmp_path, name):
    make, spoil, path, problem = MISTAKES[name]
    folder = make(tmp_path / "folder")
    spoil(folder)
    (found,) = check_folder(folder)
    assert found.path == folder / path
    assert problem in found.problem
    assert found.remedy


def test_turned_photos_with_masks_as_displayed_or_turned_alike_are_right(tmp_path):
    folder = drawn.folder_of_masks(tmp_path)
    for number, orientation in enumerate((5, 6, 8)):
        drawn.write_photo(folder / f"images/photo{number}.jpg", number, orientation)
        drawn.write_numbers(folder / f"masks/photo{number}.png", np.ascontiguousarray(drawing(number).T))
    drawn.write_photo(folder / "images/photo3.jpg", 3, 6)
    Image.fromarray(drawing(3)).save(folder / "masks/photo3.png", exif=drawn.exif(6))
    assert check_folder(folder) == ()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: None, "is not there"),
        (lambda f: f.write_text(""), "is a file"),
        (lambda f: f.mkdir(), "needed photos"),
        (lambda f: (f.mkdir(), drawn.write_photo(f / "a.jpg")), "found none"),
        (lambda f: (drawn.folder_of_coco(f), (f / "masks").mkdir()), "found masks and coco"),
    ],
)
def test_a_folder_without_photos_or_with_two_kinds_of_masks_is_refused(tmp_path, make, message):
    make(tmp_path / "folder")
    with pytest.raises(DataError, match=message):
        check_folder(tmp_path / "folder")


def test_duplicates_are_found_through_size_turn_and_loss(tmp_path):
    """A mirrored photo, one of another shape and a part cut out of it are others."""
    original = Image.fromarray(drawn.scene(300, 420, 3))
    original.save(tmp_path / "a.png")
    original.resize((210, 150)).save(tmp_path / "b.jpg", quality=40)
    original.rotate(90, expand=True).save(tmp_path / "c.jpg", exif=drawn.exif(6))
    original.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "d.png")
    original.resize((420, 420)).save(tmp_path / "e.png")
    original.crop((60, 40, 340, 240)).save(tmp_path / "f.png")
    (tmp_path / "g.png").write_bytes(b"no photo")
    a, b, c, *_ = photos = sorted(tmp_path.iterdir())
    assert find_duplicates(photos) == [(a, b), (a, c), (b, c)]
    assert find_duplicates([]) == []
