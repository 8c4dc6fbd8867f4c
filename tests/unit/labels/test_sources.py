"""Sources as users write them, and the guesses for those who wrote them wrong."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.errors import ConfigError, DataError
from pixelwise.labels.sources import default_data_dir, load_pictures
from pixelwise.photos.pictures import Pictures

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


@pytest.mark.parametrize("source", ["", "cifar100:horse", "folder", "folder:", "synthetic:"])
def test_unknown_sources_are_met_with_those_there_are(source):
    with pytest.raises(
        ConfigError, match=f"'{source}'.*cifar10:airplane, .*synthetic:shapes, or folder:PATH"
    ):
        load_pictures(source)


def test_a_folder_without_its_prefix_gets_a_guess(photos):
    with pytest.raises(ConfigError, match=f"; perhaps you meant folder:{photos}$"):
        load_pictures(str(photos))
