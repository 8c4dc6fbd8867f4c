"""Features of photos: how they are read and computed, and what makes them be found again."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from fixtures.photos.make import exif, scene
from fixtures.tiny_backbone import num_seen, tiny_backbone
from pixelwise.backbones import open_backbone
from pixelwise.errors import ConfigError, FrozenError, OutputError, PhotoError, ShapeError
from pixelwise.features import Extractor, FeatureCache, PhotoLook, read_photo
from pixelwise.features.cache import default_folder
from pixelwise.photos.view import WHOLE, View


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    paths = [folder / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        Image.fromarray(scene(40, 56 + 8 * number, seed=number)).save(path)
    return paths


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "cache")


def entries(cache: FeatureCache) -> list[Path]:
    return sorted(cache.folder.glob("*.safetensors"))


def same(one, other) -> bool:
    pairs = zip(one, other, strict=True)
    return all(
        torch.equal(a, b) for photo, again in pairs for a, b in zip(photo.read(), again.read(), strict=True)
    )


def test_maps_come_size_by_size_and_level_by_level(cache, photos):
    maps = cache.maps(photos, tiny_backbone())
    assert [one.look.photo for one in maps] == photos
    assert [tuple(one.shape) for one in maps[0].read()] == [(6, 4, 6), (9, 2, 3), (6, 8, 12), (9, 4, 6)]
    assert {one.dtype for photo in maps for one in photo.read()} == {torch.bfloat16}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_cached_equals_uncached_bit_for_bit(cache, photos, dtype):
    backbone = tiny_backbone()
    computed = cache.maps(photos, backbone, dtype=dtype)
    found = FeatureCache(cache.folder).maps(photos, tiny_backbone(), dtype=dtype)
    uncached = [
        one for size in backbone.sizes for one in Extractor(backbone, dtype)(read_photo(photos[1], size, 8))
    ]
    for maps in (computed[1].read(), found[1].read()):
        assert all(torch.equal(a, b) for a, b in zip(maps, uncached, strict=True))


def test_in_fp32_they_are_those_of_the_network_itself(cache, photos):
    backbone = tiny_backbone()
    image = read_photo(photos[0], 32, 8)
    assert image.shape == (3, 32, 48)
    plain = backbone(image[None].float() / 255)
    (cached,) = cache.maps(photos[:1], backbone, sizes=[32], dtype=torch.float32)
    for one, other in zip(cached.read(), plain, strict=True):
        torch.testing.assert_close(one, other[0], rtol=0, atol=1e-5)


def test_what_is_there_is_not_computed_again(cache, photos):
    first = cache.maps(photos[:2], tiny_backbone())
    backbone = tiny_backbone()
    second = cache.maps(photos, backbone)
    assert num_seen(backbone) == 2  # the third photo, at two sizes
    assert same(first, second[:2])


def test_the_same_photo_by_another_name_is_there_already(cache, photos, tmp_path):
    copy = shutil.copy(photos[0], tmp_path / "another name.jpeg")
    backbone = tiny_backbone()
    maps = cache.maps([photos[0], Path(copy), photos[0]], backbone)
    assert num_seen(backbone) == 2
    assert [one.look.photo.name for one in maps] == ["0.png", "another name.jpeg", "0.png"]
    assert same(maps[:1], maps[1:2])
    assert maps[0].digest == maps[1].digest


def test_another_photo_by_the_same_name_is_not(cache, photos):
    before = cache.maps(photos[:1], tiny_backbone())
    Image.fromarray(scene(40, 56, seed=9)).save(photos[0])
    backbone = tiny_backbone()
    after = cache.maps(photos[:1], backbone)
    assert num_seen(backbone) == 2
    assert not same(before, after)


@pytest.mark.parametrize(
    "other",
    [
        {"backbone": tiny_backbone(seed=1)},
        {"backbone": tiny_backbone(coarse="another")},
        {"dtype": torch.float32},
        {"sizes": (24, 40)},
    ],
    ids=["backbone", "levels", "dtype", "sizes"],
)
def test_what_features_depend_on_tells_them_apart(cache, photos, other):
    ask = {"backbone": tiny_backbone(), "dtype": torch.bfloat16, "sizes": (16, 32)}
    cache.maps(photos[:1], **ask)
    before = num_seen((ask | other)["backbone"])
    cache.maps(photos[:1], **(ask | other))
    assert num_seen((ask | other)["backbone"]) == before + 2
    assert len(entries(cache)) == 4


def test_features_of_another_version_of_timm_are_others(cache, photos):
    for version in ("timm 1.0.1", "timm 1.0.2"):
        backbone = tiny_backbone()
        backbone.implementation = version
        cache.maps(photos[:1], backbone)
        assert num_seen(backbone) == 2
    assert open_backbone("timm:test_vit", random_weights=True).implementation == f"timm {timm.__version__}"


def test_one_more_size_is_all_that_is_computed(cache, photos):
    cache.maps(photos[:1], tiny_backbone(), sizes=[16])
    backbone = tiny_backbone()
    cache.maps(photos[:1], backbone, sizes=[32, 16])
    assert backbone.net.seen == [(1, 3, 32, 48)]


def test_photos_are_seen_upright(cache, tmp_path):
    stored, upright = tmp_path / "stored.png", tmp_path / "upright.png"
    pixels = scene(40, 64)
    Image.fromarray(pixels).save(stored, exif=exif(6))
    Image.fromarray(np.rot90(pixels, -1)).save(upright)
    turned = read_photo(stored, 16, 8)
    assert turned.shape == (3, 24, 16)
    assert (turned.int() - read_photo(upright, 16, 8).int()).abs().max() <= 2
    assert [tuple(one.shape) for one in cache.maps([stored], tiny_backbone(), sizes=[16])[0].read()] == [
        (6, 6, 4),
        (9, 3, 2),
    ]


def test_views_of_a_photo_have_features_of_their_own(cache, photos):
    view = View(top=0.25, left=0.5, height=0.5, width=0.5, mirrored=True)
    backbone = tiny_backbone()
    looks = [photos[0], PhotoLook(photos[0], view), PhotoLook(photos[0])]
    maps = cache.maps(looks, backbone, sizes=[16], dtype=torch.float32)
    assert num_seen(backbone) == 2
    assert [one.look.view for one in maps] == [WHOLE, view, WHOLE]
    assert same(maps[:1], maps[2:])
    image = read_photo(photos[0], 16, 8, view)
    part = read_photo(photos[0], 32, 8)[:, 8:24, 24:48].flip(-1)
    assert image.shape == part.shape
    assert (image.int() - part.int()).abs().max() <= 1
    for one, other in zip(maps[1].read(), Extractor(tiny_backbone(), torch.float32)(image), strict=True):
        assert torch.equal(one, other)
    cache.maps(looks, backbone, sizes=[16], dtype=torch.float32)
    assert num_seen(backbone) == 2


def test_progress_counts_photos_wherever_they_come_from(cache, photos):
    cache.maps(photos[:1], tiny_backbone())
    told = []
    cache.maps([*photos, photos[2]], tiny_backbone(), advance=lambda num, note: told.append((num, note)))
    assert told == [(1, "from the cache"), (1, "1.png"), (2, "2.png")]


def test_no_photos_have_no_features(cache):
    assert cache.maps([], tiny_backbone()) == []


def test_maps_can_be_computed_with(cache, photos):
    """They are plain tensors: gradients pass, and writing to them leaves the file alone."""
    (photo,) = cache.maps(photos[:1], tiny_backbone(), dtype=torch.float32)
    weight = torch.ones(6, requires_grad=True)
    (photo.read()[0] * weight[:, None, None]).sum().backward()
    assert weight.grad is not None
    before = photo.read()[0].clone()
    photo.read()[0].zero_()
    assert torch.equal(photo.read()[0], before)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "cannot be read: no such file"),
        (lambda path: path.write_text("no photo"), "needed a whole photo"),
        (lambda path: (path.unlink(), path.mkdir()), "needed a photo, got a folder"),
    ],
    ids=["missing", "text", "folder"],
)
def test_a_photo_that_cannot_be_read_is_named(cache, photos, spoil, message):
    spoil(photos[1])
    with pytest.raises(PhotoError, match=rf"1\.png: {message}"):
        cache.maps(photos, tiny_backbone())


def test_a_photo_that_changes_while_it_is_read_gets_no_entry(cache, photos, monkeypatch):
    def changing(path, *reading):
        Image.fromarray(scene(40, 56, seed=7)).save(path)
        return read_photo(path, *reading)

    monkeypatch.setattr("pixelwise.features.filling.read_photo", changing)
    with pytest.raises(PhotoError, match=r"0\.png: changed while it was read; run again"):
        cache.maps(photos[:1], tiny_backbone())
    assert entries(cache) == []


def test_a_photo_that_goes_while_it_is_read_is_named(cache, photos, monkeypatch):
    def going(path, *reading):
        image = read_photo(path, *reading)
        path.unlink(missing_ok=True)
        return image

    monkeypatch.setattr("pixelwise.features.filling.read_photo", going)
    with pytest.raises(PhotoError, match=r"0\.png: changed while it was read"):
        cache.maps(photos[:1], tiny_backbone(), sizes=[16])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        ({"sizes": []}, r"needed sizes of 1 pixel or more, at least one, got \(\)"),
        ({"sizes": [16, 0]}, r"needed sizes of 1 pixel or more, at least one, got \(16, 0\)"),
        ({"dtype": torch.float64}, "needed features in bfloat16 or float32, got torch.float64"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(cache, photos, ask, message):
    with pytest.raises(ConfigError, match=message):
        cache.maps(photos, tiny_backbone(), **ask)


def test_the_folder_is_the_users_own_unless_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PIXELWISE_CACHE", str(tmp_path))
    assert FeatureCache().folder == tmp_path / "features"
    monkeypatch.delenv("PIXELWISE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/pixelwise/features")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert default_folder() == Path("/home/someone/.cache/pixelwise/features")


def test_a_folder_or_limit_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="needed a limit of 0 bytes or more, got -1"):
        FeatureCache(tmp_path, limit_bytes=-1)
    with pytest.raises(ConfigError, match="needed a folder for features whose name is UTF-8, got "):
        FeatureCache(tmp_path / "\udcff")


def test_large_pictures_go_in_tiles_and_say_the_same(monkeypatch):
    image = torch.from_numpy(scene(136, 200).transpose(2, 0, 1).copy())
    tiled, whole = tiny_backbone(), tiny_backbone(margin=None)
    monkeypatch.setattr("pixelwise.features.extraction._WHOLE_PIXELS", 2000)
    for one, other in zip(
        Extractor(tiled, torch.float32)(image), Extractor(whole, torch.float32)(image), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    assert num_seen(tiled) > 4
    assert max(shape[2] * shape[3] for shape in tiled.net.seen) <= 2000
    assert num_seen(whole) == 1  # it said that no margin makes tiles exact


@pytest.mark.parametrize("said", ["can't allocate memory", "CUDA out of memory", None])
def test_where_memory_lacks_tiles_are_smaller_and_say_the_same(monkeypatch, caplog, said):
    image = torch.from_numpy(scene(136, 200).transpose(2, 0, 1).copy())
    backbone = tiny_backbone()
    monkeypatch.setattr("pixelwise.features.extraction._WHOLE_PIXELS", 8000)
    small = Extractor(backbone, torch.float32)
    look = small._look

    def with_little_memory(part):
        if part.shape[1] * part.shape[2] > 3000:
            raise MemoryError if said is None else RuntimeError(said)
        return look(part)

    expected = small(image)
    small._look = with_little_memory
    for one, other in zip(small(image), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    assert caplog.messages == ["needed more memory than there is: photos are looked at in smaller tiles"] * 2
    monkeypatch.setattr(small, "_look", lambda part: with_little_memory(torch.zeros(3, 100, 100)))
    with pytest.raises((MemoryError, RuntimeError)):
        small(image)


def test_threads_that_lack_memory_at_once_get_smaller_tiles_once(monkeypatch, caplog):
    image = torch.from_numpy(scene(136, 200).transpose(2, 0, 1).copy())
    small = Extractor(tiny_backbone(), torch.float32)
    look, meeting = small._look, threading.Barrier(4, timeout=30)

    def with_little_memory(part):
        if part.shape[1:] == image.shape[1:]:
            meeting.wait()
            raise MemoryError
        return look(part)

    small._look = with_little_memory
    monkeypatch.setattr("pixelwise.features.extraction._MARGINS", (4, 1))
    monkeypatch.setattr("pixelwise.features.extraction._WHOLE_PIXELS", 136 * 200)
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(small, [image] * 4))) == 4
    assert len(caplog.messages) == 1


def test_a_network_in_training_mode_is_not_looked_with():
    backbone = tiny_backbone()
    backbone.net.layers[1].training = True
    with pytest.raises(
        FrozenError, match=r"but net\.layers\.1 of tiny is in training mode; freeze it before"
    ):
        Extractor(backbone)


def test_a_picture_of_another_shape_is_refused_by_the_network():
    with pytest.raises(ShapeError, match="tiny needs height and width divisible by 8, got 12 x 16"):
        Extractor(tiny_backbone())(torch.zeros(3, 12, 16, dtype=torch.uint8))


def test_files_that_were_removed_meanwhile_are_named(cache, photos):
    (photo,) = cache.maps(photos[:1], tiny_backbone())
    shutil.rmtree(cache.folder)
    with pytest.raises(OutputError, match="has gone while it was needed; leave the cache alone while"):
        photo.read()
