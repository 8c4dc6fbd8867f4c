"""Folders of photos: cut to one size, split by content; what cannot be learned from is left out and named."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from fixtures.photos.make import scene
from pixelwise.errors import ConfigError, DataError
from pixelwise.labels.sources import load_labelled
from pixelwise.photos.colour_folder import open_colour_folder
from pixelwise.photos.photo import open_photo
from pixelwise.photos.resize import pool, resize, resize_codes
from pixelwise.training.data.sources import load_folder, load_pictures, read_square


def photo(path, seed=0, size=(40, 30), **options):
    """A noisy photo of (width, height) whose bytes follow from the seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    for seed in range(12):
        photo(tmp_path / "photos" / f"day{seed % 3}" / f"{seed:02}.png", seed)
    return tmp_path / "photos"


def rows(images):
    return {image.numpy().tobytes() for image in images}


def test_photos_come_in_two_parts_of_one_size(folder):
    (folder / "day0" / "again").symlink_to(folder, target_is_directory=True)  # a circle
    pictures = load_folder(folder, 16)
    assert pictures.name == f"folder:{folder}"
    assert len(pictures.train) + len(pictures.val) == 12
    assert pictures.train.shape[1:] == pictures.val.shape[1:] == (3, 16, 16)
    assert pictures.train.dtype == torch.uint8
    assert pictures.notes == ()


def test_a_tenth_is_kept_apart_and_stays_there_when_photos_move_and_others_come(tmp_path):
    for seed in range(300):
        photo(tmp_path / f"{seed}.png", seed, (2, 2))
    before = load_folder(tmp_path, 2)
    assert 15 <= len(before.val) <= 45  # within 3 standard deviations of 30
    assert not rows(before.train) & rows(before.val)
    for number, path in enumerate(sorted(tmp_path.iterdir())):
        path.unlink() if number % 5 else path.rename(tmp_path / f"renamed-{path.name}")
    for seed in range(300, 310):
        photo(tmp_path / "more" / f"{seed}.png", seed, (2, 2))
    after = load_folder(tmp_path, 2)
    assert len(after.train) + len(after.val) == 70
    assert not rows(before.train) & rows(after.val)
    assert not rows(before.val) & rows(after.train)


@pytest.mark.parametrize(("num", "num_held_out"), [(1, 0), (4, 0), (5, 1), (12, 2)])
def test_a_fifth_is_held_out_to_score_on_whatever_the_names(tmp_path, num, num_held_out):
    for seed in range(num):
        photo(tmp_path / "a" / f"{seed}.png", seed)
        photo(tmp_path / "b" / f"{num - seed}.png", seed)
    first, second = (open_colour_folder(tmp_path / name) for name in "ab")
    assert (len(first.train), len(first.held_out)) == (num - num_held_out, num_held_out)
    assert not {*first.train} & {*first.held_out}
    contents = [{path.read_bytes() for path in dataset.held_out} for dataset in (first, second)]
    assert contents[0] == contents[1]


def test_equal_grey_sepia_and_unreadable_photos_are_left_out_and_named(folder):
    shutil.copy(folder / "day0" / "00.png", folder / "day2" / "copy.png")
    large = Image.open(photo(folder / "large.png", 77, (400, 300)))
    large.resize((200, 150), Image.Resampling.BOX).save(folder / "smaller.jpg", quality=85)
    grey = np.random.default_rng(0).integers(0, 256, (30, 40, 1)).repeat(3, 2)
    Image.fromarray(grey.astype(np.uint8)).save(folder / "grey.png")
    brown = grey * [1.0, 0.85, 0.62] + (255 - grey) * [0.08, 0.04, 0.0]
    Image.fromarray(brown.round().astype(np.uint8)).save(folder / "sepia.png")
    (folder / "empty.jpg").write_bytes(b"")
    whole = photo(folder / "whole.jpg", 99, (200, 200), quality=95).read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "dangling.png").symlink_to(folder / "nowhere.png")
    (folder / "list.txt").write_text("names")
    photo(folder / "strip.png", 50, (300, 2))
    (folder / ".hidden.jpg").write_text("a system's own")
    pictures, dataset = load_folder(folder, 16), open_colour_folder(folder)
    assert len(pictures.train) + len(pictures.val) == len(dataset.train + dataset.held_out) - 1 == 14
    named = sorted(note.removeprefix("left out ").split(": ")[0] for note in pictures.notes)
    left = "cut.jpg dangling.png day2/copy.png empty.jpg grey.png sepia.png smaller.jpg strip.png"
    assert named == [str(folder / name) for name in left.split()]
    assert f"left out {folder}/smaller.jpg: it is the same photo as {folder}/large.png" in pictures.notes
    assert all(note.count("\n") == 0 for note in pictures.notes)
    assert len(dataset.notes) == 7  # of the strip a whole is enough


def test_a_photo_covers_the_square_and_is_cut_around_its_centre(tmp_path):
    stripes = np.zeros((20, 60, 3), np.uint8)
    stripes[:, :20, 0] = stripes[:, 20:40, 1] = stripes[:, 40:, 2] = 255
    Image.fromarray(stripes).save(tmp_path / "wide.png")
    Image.fromarray(stripes.transpose(1, 0, 2)).save(tmp_path / "tall.png")
    for image in (read_square(open_photo(tmp_path / name), 20) for name in ("wide.png", "tall.png")):
        assert image[1, 4:-4, 4:-4].min() > 250  # the green third
        assert image[0, 4:-4, 4:-4].max() < 5
    tiny = photo(tmp_path / "tiny.png", 1, (3, 2))
    assert read_square(open_photo(tiny), 32).shape == (3, 32, 32)


@pytest.mark.parametrize("kind", ["text", "copies", "missing"])
def test_folders_without_two_different_photos_are_refused(tmp_path, kind):
    place = tmp_path / "photos"
    if kind != "missing":
        place.mkdir()
    if kind == "text":
        (place / "0.jpg").write_text("no photo")
    if kind == "copies":
        shutil.copy(photo(place / "a.png"), place / "b.png")
    needed = {"text": r"got 0: .*0\.jpg", "copies": r"got 1: .*b\.png", "missing": f"{place} is"}
    with pytest.raises(DataError, match=needed[kind]):
        load_folder(place, 16)


@pytest.mark.parametrize("load", [load_pictures, load_labelled])
def test_a_folder_without_its_prefix_gets_a_guess(tmp_path, load):
    folder = photo(tmp_path / "photos: mine" / "a.png").parent
    with pytest.raises(ConfigError, match=f"; perhaps you meant folder:{folder}$"):
        load(str(folder))


SIZES = [(40, 56), (23, 31), (97, 130), (1, 1), (40, 200), (7, 56), (64, 3)]  # of 40 x 56


@pytest.fixture(scope="module")
def codes():
    """A photo of 40 x 56, with noise, which is sharper than any photo."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    return np.where(np.arange(56)[:, None] < 28, scene(40, 56), noise)


@pytest.mark.parametrize("size", SIZES)
def test_codes_are_torchs_to_the_byte_and_pillows_within_one(codes, size):
    ours = resize_codes(codes, *size)
    planes = torch.from_numpy(codes).permute(2, 0, 1)[None]
    assert np.array_equal(ours, interpolate(planes, size, mode="bicubic", antialias=True)[0])
    theirs = Image.fromarray(codes).resize(size[::-1], Image.Resampling.BICUBIC)
    assert np.abs(np.moveaxis(ours, 0, -1).astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("size", SIZES)
def test_numbers_are_torchs(size):
    planes = np.random.default_rng(0).random((3, 40, 56), np.float32)
    tensor = torch.from_numpy(planes)[None]
    bilinear = interpolate(tensor, size, mode="bilinear", antialias=True)[0]
    np.testing.assert_allclose(resize(planes, size), bilinear, atol=1e-5, rtol=0)
    np.testing.assert_allclose(pool(planes, size), adaptive_avg_pool2d(tensor, size)[0], atol=1e-5, rtol=0)
