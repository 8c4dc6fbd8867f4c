"""Sources as users write them, and the guesses for those who wrote them wrong."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixelwise.errors import ConfigError, DataError
from pixelwise.labels.sources import default_data_dir, load_pictures
from pixelwise.photos.pictures import Pictures, gather

make = runpy.run_path(str(Path(__file__).parents[2] / "fixtures" / "cifar10" / "make.py"))


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos: mine"
    folder.mkdir()
    for seed in range(4):
        pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed}.png")
    return folder


def test_each_kind_of_source_gives_pictures(tmp_path, photos, caplog):
    make["write_cifar10"](tmp_path)
    for source in ("cifar10:horse", "cifar10:all", "synthetic:shapes", f"folder:{photos}"):
        pictures = load_pictures(source, tmp_path, seed=1)
        assert isinstance(pictures, Pictures)
        assert pictures.name == source
        assert caplog.messages == list(pictures.notes)
        caplog.clear()


def test_size_is_that_of_a_folders_pictures(photos):
    assert load_pictures(f"folder:{photos}").train.shape[1:] == (3, 64, 64)
    assert load_pictures(f"folder:{photos}", size=24).train.shape[1:] == (3, 24, 24)


def test_the_data_dir_may_be_below_a_tilde(tmp_path, monkeypatch):
    make["write_cifar10"](tmp_path / "data")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(load_pictures("cifar10:bird", Path("~/data")).train) == 10
    monkeypatch.setenv("PIXELWISE_DATA", "~/data")
    assert default_data_dir() == tmp_path / "data"
    monkeypatch.setenv("PIXELWISE_DATA", "~/dta")
    with pytest.raises(ConfigError, match="PIXELWISE_DATA, got ~/dta"):
        default_data_dir()
    assert not (tmp_path / "dta").exists()
    with pytest.raises(DataError, match=r"~no\.such\.user/photos"):
        load_pictures("folder:~no.such.user/photos")


def test_without_a_word_data_lies_in_the_users_cache(monkeypatch):
    monkeypatch.setenv("PIXELWISE_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_data_dir() == Path("/cache/pixelwise")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_data_dir() == Path("/home/me/.cache/pixelwise")


@pytest.mark.parametrize("source", ["", "cifar100:horse", "folder", "folder:", "synthetic:"])
def test_unknown_sources_are_met_with_those_there_are(source):
    with pytest.raises(
        ConfigError, match=f"'{source}'.*cifar10:airplane, .*synthetic:shapes, or folder:PATH"
    ):
        load_pictures(source)


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("Horse", "cifar10:horse"),
        ("CIFAR-10:all", "cifar10:all"),
        ("synthetic:shape", "synthetic:shapes"),
        ("synthetic", "synthetic:shapes"),
    ],
)
def test_a_near_miss_gets_a_guess(source, meant, photos):
    with pytest.raises(ConfigError, match=f"; perhaps you meant folder:{photos}$"):
        load_pictures(str(photos))
    with pytest.raises(ConfigError, match=f"; perhaps you meant {meant}$"):
        load_pictures(source)


def test_the_digest_follows_content_and_order():
    one = torch.arange(2 * 3 * 4 * 4).remainder(256).to(torch.uint8).view(2, 3, 4, 4)
    digests = {
        gather("a", one, one).digest,
        gather("b", one.clone(), one).digest,  # the name does not count
        gather("a", one.flip(0), one).digest,
        gather("a", one.flip(3), one).digest,  # nor does the layout in memory hide a difference
        gather("a", one[:1], one[1:]).digest,
    }
    assert len(digests) == 4


@pytest.mark.parametrize(
    "wrong", [torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4).byte(), torch.zeros(0, 3, 4, 4).byte()]
)
def test_parts_are_checked(wrong):
    good = torch.zeros(2, 3, 4, 4).byte()
    with pytest.raises(DataError, match="part val"):
        gather("set", good, wrong)
    with pytest.raises(DataError, match="4x4 and 4x5"):
        gather("set", good, torch.zeros(2, 3, 4, 5).byte())
