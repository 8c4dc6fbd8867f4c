"""The verb check-labels, through the command line."""

import json

import pytest
from PIL import Image

from fixtures.drawn import folder_of_masks, write_black_and_white, write_json


def test_a_clean_folder_has_no_problem(tmp_path, pixelwise):
    folder = folder_of_masks(tmp_path / "flowers", write_black_and_white)
    done = pixelwise("check-labels", folder, "--json")
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, {"problems": []}, "")
    assert pixelwise("check-labels", folder).stdout == f"no problem in {folder}\n"


def test_each_problem_is_a_line_with_its_remedy_and_the_exit_code_is_1(tmp_path, pixelwise):
    folder = folder_of_masks(tmp_path / "flowers", write_black_and_white)
    (folder / "masks/photo1.png").unlink()
    (folder / "images/photo2.jpg").unlink()
    done = pixelwise("check-labels", folder, "--json")
    first, second = json.loads(done.stdout)["problems"]
    assert (done.returncode, done.stderr) == (1, "")
    assert first == {
        "path": str(folder / "images/photo1.jpg"),
        "problem": "there is no mask for this photo",
        "remedy": "save one in masks/photo1.png, or move the photo elsewhere",
    }
    assert second["path"] == str(folder / "masks/photo2.png")
    done = pixelwise("check-labels", folder)
    assert done.returncode == 1
    *lines, last = done.stdout.splitlines()
    assert lines == [f"{one['path']}: {one['problem']}; {one['remedy']}" for one in (first, second)]
    assert last == f"2 problems in {folder}"


def test_a_warning_of_a_library_is_not_shown(tmp_path, pixelwise):
    """Pillow warns of an EXIF that ends in the middle, and reads on."""
    folder = folder_of_masks(tmp_path / "flowers", write_black_and_white)
    with Image.open(folder / "masks/photo1.png") as mask:
        mask.load()
        mask.save(mask.filename, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x02\x01\x12\0\x03\0\0\0\x01\0")
    done = pixelwise("check-labels", folder)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.real
def test_oxfords_trimaps_are_clean_but_for_photos_that_are_there_twice(tmp_path, pixelwise, real_data_dir):
    folder = tmp_path / "flowers"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for trimap in sorted((real_data_dir / "flowers17" / "trimaps").iterdir())[:60]:
        (folder / "masks" / trimap.name).symlink_to(trimap)
        photo = real_data_dir / "flowers17" / "jpg" / f"{trimap.stem}.jpg"
        (folder / "images" / photo.name).symlink_to(photo)
    write_json(folder / "classes.json", {"flower": 1, "leaf": 2, "background": 3, "sky": 4, "ignore": 0})
    problems = json.loads(pixelwise("check-labels", folder, "--json").stdout)["problems"]
    assert [one["problem"] for one in problems] == [
        f"shows the same as {first}.jpg: it would be learned from and measured on"
        for first in ("image_0014", "image_0031")
    ]
