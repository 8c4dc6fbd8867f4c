"""The cache of features: what is found again, what goes first, and what damage and full disks do."""

import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.photos.make import exif, scene
from fixtures.tiny_backbone import num_seen, tiny_backbone, tiny_content
from pixelwise.errors import PhotoError, ShapeError
from pixelwise.network.session import OnnxNetwork
from pixelwise.photos.crop_view import View
from pixelwise.segmenting.extraction import CropView, Extractor, read_photo, to_codes
from pixelwise.segmenting.feature_cache import FeatureCache

pytestmark = pytest.mark.core


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    paths = [folder / f"{number}.png" for number in range(8)]
    for number, path in enumerate(paths):
        Image.fromarray(scene(40, 56, seed=number)).save(path)
    return paths


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "cache")


def entries(cache: FeatureCache) -> list[Path]:
    return sorted(cache.folder.glob("*.safetensors"))


def computed(cache: FeatureCache, photos, **asked) -> tuple[int, list]:
    """How many pictures the network saw, and the maps."""
    backbone = asked.pop("backbone", None) or tiny_backbone()
    before = num_seen(backbone)
    maps = cache.maps(photos, backbone, **asked)
    return num_seen(backbone) - before, maps


def same(one, other) -> bool:
    pairs = [(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x.read(), y.read(), strict=True)]
    return all(np.array_equal(a, b) for a, b in pairs)


class TestFinding:
    def test_cached_equals_uncached_bit_for_bit(self, cache, photos):
        _, first = computed(cache, photos[:2])
        again, found = computed(FeatureCache(cache.folder), photos[:2])
        assert again == 0
        assert [one.crop.photo for one in found] == photos[:2]
        extractor = Extractor(tiny_backbone())
        images = [read_photo(photos[1], size, 8) for size in (16, 32)]
        uncached = [kept(one) for image in images for one in extractor(image)]
        assert [tuple(one.shape) for one in uncached] == [(6, 4, 6), (9, 2, 3), (6, 8, 12), (9, 4, 6)]
        for maps in (first[1].read(), found[1].read()):
            assert all(np.array_equal(a, b) for a, b in zip(maps, uncached, strict=True))

    def test_only_what_is_missing_is_computed(self, cache, photos, tmp_path):
        computed(cache, photos[:2])
        copy = Path(shutil.copy(photos[0], tmp_path / "another name.jpeg"))
        crops = [*photos[:3], copy, photos[2]]
        num, maps = computed(cache, crops)
        assert num == 2  # the third photo, at two sizes
        assert same(maps[:1], maps[3:4])
        assert maps[0].digest == maps[3].digest
        assert cache.maps([], tiny_backbone()) == []

    @pytest.mark.parametrize(
        "other",
        [
            {"backbone": tiny_backbone(seed=1)},
            {"backbone": tiny_backbone(coarse="another")},
            {"sizes": (24, 40)},
            {"view": View(top=0.25, left=0.5, height=0.5, width=0.5)},
        ],
        ids=lambda other: next(iter(other)),
    )
    def test_all_that_features_depend_on_tells_them_apart(self, cache, photos, other):
        computed(cache, photos[:1])
        backbone = other.get("backbone") or tiny_backbone()
        crop = CropView(photos[0], other["view"]) if "view" in other else photos[0]
        for num in (2, 0):
            assert computed(cache, [crop], backbone=backbone, sizes=other.get("sizes"))[0] == num
        assert len(entries(cache)) == 2

    @pytest.mark.parametrize("content", [None, b"no photo"])
    def test_a_photo_that_cannot_be_read_is_named(self, cache, photos, content):
        photos[1].unlink() if content is None else photos[1].write_bytes(content)
        with pytest.raises(PhotoError, match=r"1\.png"):
            computed(cache, photos)

    def test_features_of_a_photo_that_changed_are_not_taken_for_its_earlier_ones(self, cache, photos):
        (photo,) = computed(cache, photos[:1])[1]
        shutil.rmtree(cache.folder)
        Image.fromarray(scene(40, 56, seed=7)).save(photos[0])
        with pytest.raises(PhotoError, match=r"0\.png: changed"):
            photo.read()
        assert computed(cache, photos[:1])[0] == 2


def test_what_was_used_least_recently_goes_first(cache, photos):
    computed(cache, photos[:1])
    (path,) = entries(cache)
    limited = FeatureCache(cache.folder, limit_bytes=6 * path.stat().st_size)
    _, maps = computed(limited, photos[:6])
    for number, photo in enumerate(maps):
        os.utime(cache.folder / f"{photo.key}.safetensors", (1000 + number, 1000 + number))
    computed(limited, photos[:1])
    computed(limited, photos[6:7])  # a tenth of the limit becomes free
    assert computed(FeatureCache(cache.folder), photos[:1])[0] == 0
    assert computed(FeatureCache(cache.folder), photos[3:7])[0] == 0
    assert len(entries(cache)) == 5


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:5],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content[:3] + b"\xff" + content[4:],
        lambda content: content[:40] + b"\x00" + content[41:],
        lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    ],
    ids=["empty", "start", "half", "last byte", "length", "header", "bit", "last bit"],
)
def test_a_damaged_entry_is_noticed_and_computed_anew(cache, photos, damage):
    _, (photo,) = computed(cache, photos[:1])
    (path,) = entries(cache)
    expected, before = photo.read(), path.read_bytes()
    path.unlink()
    path.write_bytes(damage(before))
    again, (found,) = computed(FeatureCache(cache.folder), photos[:1])
    assert again == 0
    assert all(np.array_equal(a, b) for a, b in zip(found.read(), expected, strict=True))
    assert path.read_bytes() == before
    path.unlink()  # as to make room: kept again, it would push out others
    assert all(np.array_equal(a, b) for a, b in zip(found.read(), expected, strict=True))
    assert not path.exists()


class TestNoRoom:
    def warnings(self, caplog) -> list[str]:
        return [record.message for record in caplog.records if record.levelno >= logging.WARNING]

    def test_a_full_disk(self, cache, photos, caplog, short_disk):
        computed(cache, photos[:1])
        with short_disk(500):
            num, maps = computed(cache, photos)
        assert num == 14
        (warning,) = self.warnings(caplog)
        assert "file too large" in warning
        assert len(entries(cache)) == 1
        assert not (cache.folder / "writing.tmp").exists()
        assert same(maps, computed(FeatureCache(cache.folder.with_name("elsewhere")), photos)[1])
        assert computed(cache, photos)[0] == 0

    @pytest.mark.parametrize("limit_bytes", [None, 0])
    def test_a_folder_that_cannot_be_or_holds_nothing(self, tmp_path, photos, caplog, limit_bytes):
        (tmp_path / "file").write_text("")
        folder = tmp_path / ("cache" if limit_bytes == 0 else "file/cache")
        _, maps = computed(FeatureCache(folder, limit_bytes), photos)
        assert [len(photo.read()) for photo in maps] == [4] * 8
        (warning,) = self.warnings(caplog)
        assert "PIXELWISE_CACHE" in warning


@pytest.fixture
def image():
    return scene(136, 200).transpose(2, 0, 1).copy()


def kept(level):
    codes, scale = to_codes(level)
    return np.moveaxis(codes, -1, 0) * scale[:, None, None]


def assert_close(maps, others):
    for one, other in zip(maps, others, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def test_photos_are_read_upright(tmp_path):
    stored, upright = tmp_path / "stored.png", tmp_path / "upright.png"
    pixels = scene(40, 64)
    Image.fromarray(pixels).save(stored, exif=exif(6))
    Image.fromarray(np.rot90(pixels, -1)).save(upright)
    turned = read_photo(stored, 16, 8)
    assert turned.shape == (3, 24, 16)
    assert np.abs(turned - read_photo(upright, 16, 8).astype(int)).max() <= 2


def test_a_view_is_that_part_of_the_photo(tmp_path):
    Image.fromarray(scene(40, 56)).save(tmp_path / "a.png")
    view = View(top=0.25, left=0.5, height=0.5, width=0.5, mirrored=True)
    image = read_photo(tmp_path / "a.png", 16, 8, view)
    part = read_photo(tmp_path / "a.png", 32, 8)[:, 8:24, 24:48][..., ::-1]
    assert image.shape == part.shape
    assert np.abs(image - part.astype(int)).max() <= 1


def test_maps_are_those_of_the_network_itself_and_kept_in_16_bit(image):
    backbone = tiny_backbone()
    maps = Extractor(backbone)(image)
    assert_close(maps, [one[0] for one in backbone(image[None] / np.float32(255))])
    codes, _ = to_codes(maps[0])
    assert codes.dtype == np.int16
    assert codes.nbytes == maps[0].nbytes // 2
    error = np.abs(kept(maps[0]) - maps[0]).max((1, 2))
    assert (error <= 0.51 * np.abs(maps[0]).max((1, 2)) / 32767).all()


@pytest.mark.parametrize("value", [0.0, 1e-38, 3e38, np.inf])
def test_maps_of_any_numbers_are_kept_as_finite_ones(value):
    level = np.array([[[-1.0, 2.0]], [[0.0, value]]], np.float32)
    found = kept(level)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[0], level[0], rtol=1e-4)


def test_tiles_give_the_maps_of_the_whole(image):
    tiled, whole = tiny_backbone(), tiny_backbone(margin=None)
    found = Extractor(tiled, max_pixels=2000)(image)
    assert_close(found, Extractor(whole, max_pixels=2000)(image))
    assert num_seen(tiled) > 4
    assert max(shape[2] * shape[3] for shape in tiled.network.seen) <= 2000
    assert num_seen(whole) == 1  # it said that no margin makes tiles exact


class Scarce(OnnxNetwork):
    max_pixels = 3000

    def run(self, inputs, outputs):
        if inputs["photo"][0, 0].size > self.max_pixels:
            raise MemoryError
        return super().run(inputs, outputs)


def test_where_memory_lacks_tiles_are_smaller(image, caplog):
    backbone = tiny_backbone()
    expected = Extractor(backbone, max_pixels=8000)(image)
    scarce = Scarce(tiny_content())
    extractor = Extractor(replace(backbone, network=scarce), max_pixels=8000)
    assert_close(extractor(image), expected)
    assert len(caplog.messages) == 2
    scarce.max_pixels = 0
    with pytest.raises(MemoryError):
        extractor(image)


def test_what_a_backbone_cannot_read_is_refused():
    with pytest.raises(ShapeError, match="12 x 16"):
        Extractor(tiny_backbone())(np.zeros((3, 12, 16), np.uint8))
