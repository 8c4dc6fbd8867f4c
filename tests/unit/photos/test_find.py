"""Which photos a command means, where results go, and items made ahead of their use."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from pixelwise.errors import OutputError
from pixelwise.photos import find
from pixelwise.photos.find import InputPhoto, count_subfolders, find_photos
from pixelwise.photos.outputs import OutputPaths
from pixelwise.photos.read_ahead import Ahead, worked_ahead

pytestmark = pytest.mark.core


def test_finding_photos(tmp_path):
    for name in ("b.png", "a.jpg", "notes.txt", ".hidden.png", "sub/c.tif", "out/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sub" / "round").symlink_to(tmp_path)
    flat, _ = find_photos([str(tmp_path), str(tmp_path / "a.jpg")])
    assert [found.path.name for found in flat] == ["a.jpg", "b.png"]
    deep, _ = find_photos([str(tmp_path)], recursive=True, leave_out=tmp_path / "out")
    names = [(found.path.name, str(found.folder)) for found in deep]
    assert names == [("a.jpg", "."), ("b.png", "."), ("c.tif", "sub")]
    matching, _ = find_photos([str(tmp_path / "**" / "*.tif")])
    assert [found.path.name for found in matching] == ["c.tif"]


def test_counting_folders_that_a_search_passes_over(tmp_path):
    for name in ("a/deep", "b", "out", ".thumbnails"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "c.jpg").touch()
    assert count_subfolders([str(tmp_path)], leave_out=tmp_path / "out") == 2
    assert count_subfolders([str(tmp_path), str(tmp_path / "b")]) == 2  # a and out
    assert count_subfolders([str(tmp_path / "c.jpg"), str(tmp_path / "none"), str(tmp_path / "*")]) == 0


def test_inputs_without_photos_are_failures(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    for name in ("a.psd", "b.NEF", "c.nef", "list"):
        (folder / name).touch()
    asked = [str(folder), str(tmp_path / "*.png")]
    found, failures = find_photos(asked)
    assert found == []
    assert [failure.path for failure in failures] == [folder, tmp_path / "*.png"]
    assert failures[0].error.endswith("found none, but 4 files of other kinds: .nef, .psd, without suffix")
    (folder / "deep").mkdir()
    assert "--recursive" in find_photos(asked)[1][0].error


def test_a_folder_with_photos_is_walked_once(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").touch()
    monkeypatch.setattr(find, "kinds_left_alone", None)
    assert find_photos([str(tmp_path)])[1] == []


def test_a_link_beside_its_photo_is_found_too(tmp_path):
    (tmp_path / "photo.jpg").touch()
    (tmp_path / "link.jpg").symlink_to("photo.jpg")
    found, _ = find_photos([str(tmp_path), str(tmp_path / "sub" / ".." / "photo.jpg")])
    assert [one.path.name for one in found] == ["link.jpg", "photo.jpg"]


def test_closed_folders_are_failures_and_the_rest_is_found(album):
    locked = album / "locked"
    closed = f"{locked}: cannot be searched: permission denied"
    photo, inside = album / "a.jpg", locked / "b.jpg"
    patterns = [locked / "*.jpg", album / "*.jpg"]
    found = find_as_nobody(([album], True), ([album],), ([locked, photo],), (patterns,), ([inside, photo],))
    # A photo in it is found, as any name is, and opening it says why not.
    assert found == [["a.jpg", closed], ["a.jpg"], ["a.jpg", closed], ["a.jpg", closed], ["b.jpg", "a.jpg"]]


def find_as_nobody(*asked) -> list[list[str]]:
    """Names found and failures, by a process without root's right to read everything."""
    code = f"""
import json, os
from pixelwise.photos.find import find_photos
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
both = [find_photos(*one) for one in {[(list(map(str, inputs)), *rest) for inputs, *rest in asked]!r}]
print(json.dumps([[one.path.name for one in found] + [one.error for one in bad] for found, bad in both]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def album():
    """A folder with a photo and a closed folder, open to anybody; those of pytest are its user's alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "locked").mkdir()
        for photo in ("a.jpg", "locked/b.jpg"):
            (folder / photo).touch()
        (folder / "locked").chmod(0)
        yield folder
        (folder / "locked").chmod(0o755)


@pytest.mark.parametrize(("first", "second"), [("a", "A"), ("\u00e9", "e\u0301")])
def test_two_spellings_of_one_file_are_one_result(tmp_path, first, second):
    """As macOS takes them: here a link makes two files one."""
    (tmp_path / f"{first}.jpg").touch()
    (tmp_path / f"{second}.jpg").hardlink_to(tmp_path / f"{first}.jpg")
    (tmp_path / "other.jpg").hardlink_to(tmp_path / f"{first}.jpg")
    given = [str(tmp_path / f"{name}.jpg") for name in (first, second, "other")]
    assert [one.path.stem for one in find_photos(given)[0]] == [first, "other"]
    photos = [InputPhoto(tmp_path / f"{name}.jpg") for name in (first, second)]
    outputs = OutputPaths(tmp_path / "out", [photo.path for photo in photos], single_file=False)
    apart = OutputPaths(tmp_path, [photo.path for photo in photos], single_file=False)
    assert [apart.claim(photo, ".png").stem for photo in photos] == [first, second]
    (tmp_path / "out").mkdir()
    claimed = outputs.claim(photos[0], ".png")
    claimed.touch()
    claimed.with_stem(second).hardlink_to(claimed)
    with pytest.raises(OutputError, match=f"out/{second}.png, which .*/{first}.jpg has taken"):
        outputs.claim(photos[1], ".png")


def test_no_result_replaces_an_input_of_another_spelling(tmp_path):
    photo = InputPhoto(tmp_path / "a.PNG")
    photo.path.touch()
    (tmp_path / "a.png").hardlink_to(photo.path)
    with pytest.raises(OutputError, match="would replace the input"):
        OutputPaths(tmp_path, [photo.path], single_file=False).claim(photo, ".png")


def counted(num, made):
    for number in range(num):
        made.append(number)
        yield number


def test_items_are_made_before_they_are_asked_for_but_no_more_than_the_depth():
    made: list[int] = []
    items = Ahead(counted(20, made), 4)
    deadline = time.monotonic() + 30
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert made == [0, 1, 2, 3]
    items.close()
    assert list(items) == []


def test_a_failure_comes_where_its_item_would_have_been():
    def fails():
        yield 1
        raise ValueError("no more")

    items = Ahead(fails(), 4)
    assert next(items) == 1
    with pytest.raises(ValueError, match="no more"):
        next(items)
    assert list(items) == []


def test_work_is_done_by_several_threads_and_given_in_order():
    both = threading.Barrier(2, timeout=60)

    def work(number):
        if number < 2:
            both.wait()  # which one thread alone would wait for in vain
        time.sleep(0.002 if number % 2 else 0)
        return number * number

    assert list(worked_ahead(work, iter(range(9)), 2)) == [number * number for number in range(9)]
