"""Folders of photos: cut to one size, split by content; what cannot be learned from is left out and named."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps

from pixelwise.data.folders import load_folder, read_square
from pixelwise.errors import ConfigError, DataError
from pixelwise.photos.photo import open_photo


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
    pictures = load_folder(folder, 16)
    assert pictures.name == f"folder:{folder}"
    assert len(pictures.train) + len(pictures.val) == 12
    assert pictures.train.shape[1:] == pictures.val.shape[1:] == (3, 16, 16)
    assert pictures.train.dtype == torch.uint8
    assert pictures.train.is_contiguous()
    assert pictures.notes == ()
    assert load_folder(folder, 16).digest == pictures.digest


def test_a_tenth_is_kept_apart(tmp_path):
    for seed in range(300):
        photo(tmp_path / f"{seed}.png", seed, (2, 2))
    pictures = load_folder(tmp_path, 2)
    assert 15 <= len(pictures.val) <= 45  # within 3 standard deviations of 30
    assert not rows(pictures.train) & rows(pictures.val)


def test_a_photo_stays_in_its_part_when_it_moves_and_others_come(tmp_path):
    for seed in range(60):
        photo(tmp_path / f"{seed}.png", seed, (8, 8))
    before = load_folder(tmp_path, 8)
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / f"renamed-{path.name}")
    for seed in range(60, 80):
        photo(tmp_path / "more" / f"{seed}.png", seed, (8, 8))
    after = load_folder(tmp_path, 8)
    assert rows(before.train) < rows(after.train)
    assert rows(before.val) <= rows(after.val)


def test_of_equal_photos_the_later_one_is_left_out_and_named(folder):
    shutil.copy(folder / "day0" / "00.png", folder / "day2" / "copy.png")
    smaller = Image.open(photo(folder / "large.png", 77, (400, 300))).resize((200, 150), Image.Resampling.BOX)
    smaller.save(folder / "smaller.jpg", quality=85)
    pictures = load_folder(folder, 16)
    assert len(pictures.train) + len(pictures.val) == 13
    assert pictures.notes == (
        f"left out {folder}/day2/copy.png: it is the same photo as {folder}/day0/00.png",
        f"left out {folder}/smaller.jpg: it is the same photo as {folder}/large.png",
    )


def test_parts_of_equal_photos_with_other_shapes_are_both_kept(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    Image.fromarray(pixels[:, 20:40]).save(tmp_path / "square.png")
    assert load_folder(tmp_path, 20).notes == ()


def test_grey_and_sepia_photos_are_left_out_and_named(folder):
    grey = np.random.default_rng(0).integers(0, 256, (30, 40, 1)).repeat(3, 2)
    Image.fromarray(grey.astype(np.uint8)).save(folder / "grey.png")
    brown = grey * [1.0, 0.85, 0.62] + (255 - grey) * [0.08, 0.04, 0.0]
    Image.fromarray(brown.round().astype(np.uint8)).save(folder / "sepia.png")
    pictures = load_folder(folder, 16)
    assert len(pictures.train) + len(pictures.val) == 12
    assert pictures.notes == (
        f"left out {folder}/grey.png: it is grey",
        f"left out {folder}/sepia.png: it is in sepia",
    )


@pytest.mark.parametrize("seeds", [(0, 1), (2, 3), (4, 5), (6, 7)])
def test_two_photos_are_enough(tmp_path, seeds):
    for seed in seeds:
        photo(tmp_path / f"{seed}.png", seed)
    pictures = load_folder(tmp_path, 8)
    assert [len(pictures.train), len(pictures.val)] == [1, 1]


def test_a_photo_covers_the_square_and_is_cut_around_its_centre(tmp_path):
    stripes = np.zeros((20, 60, 3), np.uint8)
    stripes[:, :20, 0] = stripes[:, 20:40, 1] = stripes[:, 40:, 2] = 255
    Image.fromarray(stripes).save(tmp_path / "wide.png")
    Image.fromarray(stripes.transpose(1, 0, 2)).save(tmp_path / "tall.png")
    for image in (read_square(open_photo(tmp_path / name), 20) for name in ("wide.png", "tall.png")):
        assert image[1, 4:-4, 4:-4].min() > 250  # the green third
        assert image[0, 4:-4, 4:-4].max() < 5


def test_a_small_photo_is_enlarged(tmp_path):
    for seed, size in enumerate([(3, 2), (1, 1)]):
        path = photo(tmp_path / "a.png", seed, size)
        assert read_square(open_photo(path), 32).shape == (3, 32, 32)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_stand_upright(tmp_path, orientation):
    corners = np.kron(np.array([[250, 170], [90, 10]], np.uint8), np.ones((10, 10), np.uint8))
    turned = Image.Exif()
    turned[0x0112] = orientation
    Image.fromarray(corners).save(tmp_path / "a.png", exif=turned)
    shown = ImageOps.exif_transpose(Image.open(tmp_path / "a.png"))
    square = read_square(open_photo(tmp_path / "a.png"), 20)
    assert np.array_equal(square[0].numpy(), np.asarray(shown))


@pytest.mark.parametrize(
    ("name", "mode", "near"),
    [
        ("a.png", "L", 1),
        ("a.png", "LA", 1),
        ("a.png", "RGBA", 1),
        ("a.png", "P", 1),
        ("a.png", "I;16", 1),
        ("a.png", "1", 6),  # black and white, dithered
        ("a.jpg", "L", 2),
        ("a.jpg", "CMYK", 20),  # inks on paper
        ("a.gif", "L", 1),
        ("a.webp", "RGB", 2),
        ("a.tif", "L", 1),
    ],
)
def test_every_kind_of_photo_becomes_three_bytes_a_pixel(tmp_path, name, mode, near):
    grey = Image.new("L", (10, 10), 180)
    if mode == "I;16":
        kind = Image.new(mode, grey.size, 180 * 257)
    elif mode == "P":
        kind = grey.quantize(2)
    else:
        kind = grey.convert("RGB").convert(mode)
    kind.save(tmp_path / name)
    plain = read_square(open_photo(tmp_path / name), 10)
    assert plain.shape == (3, 10, 10)
    assert abs(float(plain.float().mean()) - 180) <= near


def test_colour_profiles_are_followed(tmp_path):
    """A profile whose red is green: pixels stored as red have to come out green."""
    red = Image.new("RGB", (8, 8), (255, 0, 0))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tags = {srgb[at : at + 4]: at for at in range(132, 132 + 12 * 20, 12)}
    swapped = bytearray(srgb)
    for mine, other in ((b"rXYZ", b"gXYZ"), (b"gXYZ", b"rXYZ")):
        swapped[tags[mine] + 4 : tags[mine] + 12] = srgb[tags[other] + 4 : tags[other] + 12]
    renamed = bytes(swapped).replace("sRGB".encode("utf-16-be"), "GRGB".encode("utf-16-be"))
    red.save(tmp_path / "plain.png")
    red.save(tmp_path / "swapped.png", icc_profile=renamed)
    plain, turned = (read_square(open_photo(tmp_path / name), 8) for name in ("plain.png", "swapped.png"))
    assert plain[:, 4, 4].tolist() == [255, 0, 0]
    red, green, _ = turned[:, 4, 4].tolist()
    assert green > 240
    assert red < 15


def test_what_cannot_be_read_is_left_out_and_named(folder):
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("a letter, no photo")
    whole = photo(folder / "whole.jpg", 99, (200, 200), quality=95).read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "dangling.png").symlink_to(folder / "nowhere.png")
    (folder / "list.txt").write_text("names")
    (folder / ".hidden.jpg").write_text("a system's own")
    pictures = load_folder(folder, 16)
    assert len(pictures.train) + len(pictures.val) == 13
    named = [note.removeprefix("left out ").split(": ")[0] for note in pictures.notes]
    assert named == [str(folder / name) for name in ("cut.jpg", "dangling.png", "empty.jpg", "text.jpg")]
    assert "no such file" in pictures.notes[1]
    assert all(note.count("\n") == 0 for note in pictures.notes)


def test_a_strip_is_left_out(folder):
    photo(folder / "strip.png", 50, (300, 2))
    message = "strip.png: needed a photo at most 20 times as long as wide, got 300 x 2"
    assert load_folder(folder, 16).notes == (f"left out {folder}/{message}",)


def test_links_in_a_circle_end(folder):
    (folder / "day0" / "again").symlink_to(folder, target_is_directory=True)
    pictures = load_folder(folder, 16)
    assert len(pictures.train) + len(pictures.val) == 12


def test_only_unreadable_photos_is_an_error(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_text(f"no photo {number}")
    message = r"needed at least 2 different photos in colour in .*, got 0: left out .*0\.jpg: .*; \.\.\."
    with pytest.raises(DataError, match=message):
        load_folder(tmp_path, 16)


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"needed at least 2 different photos in colour in .*, got 0$"):
        load_folder(tmp_path, 16)


def test_copies_of_one_photo_are_an_error(tmp_path):
    shutil.copy(photo(tmp_path / "a.png"), tmp_path / "b.png")
    with pytest.raises(DataError, match=r"got 1: left out .*b\.png: it is the same photo as .*a\.png"):
        load_folder(tmp_path, 16)


def test_a_folder_that_is_none_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"needed a folder of photos, .*nowhere is not there"):
        load_folder(tmp_path / "nowhere", 16)
    with pytest.raises(DataError, match=r"needed a folder of photos, .*a\.png is a file"):
        load_folder(photo(tmp_path / "a.png"), 16)


def test_a_size_has_to_be_positive(folder):
    with pytest.raises(ConfigError, match="size needs to be at least 1 pixel, got 0"):
        load_folder(folder, 0)
