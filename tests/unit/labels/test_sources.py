"""Sources as users write them, and the guesses for those who wrote them wrong."""

import numpy as np
import pytest
from PIL import Image

from pixelwise.errors import ConfigError
from pixelwise.labels.sources import load_labelled
from pixelwise.training.data.sources import load_pictures


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos: mine"
    folder.mkdir()
    for seed in range(4):
        pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed}.png")
    return folder


@pytest.mark.parametrize(
    ("load", "named"),
    [(load_pictures, "cifar10:airplane, .*shapes"), (load_labelled, "flowers17, flowers17:classes")],
)
@pytest.mark.parametrize("source", ["", "cifar100:horse", "folder", "folder:", "synthetic:"])
def test_unknown_sources_are_met_with_those_there_are(load, named, source):
    with pytest.raises(ConfigError, match=f"'{source}'.*{named}, or folder:PATH"):
        load(source)


@pytest.mark.parametrize("load", [load_pictures, load_labelled])
def test_a_folder_without_its_prefix_gets_a_guess(photos, load):
    with pytest.raises(ConfigError, match=f"; perhaps you meant folder:{photos}$"):
        load(str(photos))
