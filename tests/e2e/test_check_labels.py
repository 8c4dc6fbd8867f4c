"""The verb check-labels, through the command line."""

import json

import pytest

from fixtures.drawn import folder_of_masks, write_black_and_white

pytestmark = pytest.mark.core


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
