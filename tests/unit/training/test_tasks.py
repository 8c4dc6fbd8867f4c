"""What a colouriser trains on: windows of photos, soft classes, pictures as on old film."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pixelwise.colour.palette import Palette
from pixelwise.colour.spaces import lightness
from pixelwise.errors import ConfigError
from pixelwise.network.config import ColourNetConfig, RunConfig, TrainConfig
from pixelwise.training.data.pictures import Pictures
from pixelwise.training.data.sources import load_pictures
from pixelwise.training.losses import soft_labels
from pixelwise.training.tasks import ColourTask, photographed

PALETTE = Palette(np.array([[0.0, 0], [50, 20], [-40, 30], [10, -50], [30, 60]]), "ab", "five")
CONFIG = RunConfig(
    net=ColourNetConfig(num_colours=5, width=8),
    source="synthetic:shapes",
    palette="learned",
    train=TrainConfig(window=32, batch_size=4, flip=True, film=0.5),
)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    whole = load_pictures("synthetic:shapes", None, 0)
    return replace(whole, train=whole.train[:8], val=whole.val[:4])


@pytest.fixture(scope="module")
def task(pictures) -> ColourTask:
    return ColourTask(CONFIG, pictures, PALETTE, CPU)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_shares_fall_off_with_distance_and_add_up_to_one():
    colours = torch.tensor([[2.0, 1], [-40, 30]]).T[None, :, None]
    soft = soft_labels(PALETTE, colours, num_near=3, sigma=20.0)
    assert soft.classes[0, 0].flatten().tolist() == [0, 2]
    distances = torch.cdist(colours[0, :, 0].T, torch.from_numpy(PALETTE.class_chroma))
    by_hand = torch.exp(-distances.square() / 800)
    for pixel in range(2):
        nearest = soft.classes[0, :, 0, pixel]
        assert nearest.tolist() == by_hand[pixel].argsort(descending=True)[:3].tolist()
        expected = by_hand[pixel, nearest] / by_hand[pixel, nearest].sum()
        assert torch.allclose(soft.shares[0, :, 0, pixel], expected, atol=1e-5)


def test_old_film_hardly_sees_red_and_sees_blue_well():
    red, blue = torch.zeros(200, 3, 8, 8), torch.zeros(200, 3, 8, 8)
    red[:, 0], blue[:, 2] = 1, 1
    for colour, darker in ((red, True), (blue, False)):
        seen = photographed(colour, 1.0, generator())
        assert 0 <= seen.min() <= seen.max() <= 1
        usual = lightness(colour[0].numpy()).mean() / 100
        assert (seen.mean((1, 2, 3)).median() < usual) == darker


def test_what_is_read_and_what_is_to_be_said_are_of_the_same_window(pictures):
    """Photos that are dark at the left and orange at the right, at any place and turned either way."""
    images = torch.zeros_like(pictures.train)
    images[..., 16:] = torch.tensor([255, 140, 40], dtype=torch.uint8)[:, None, None]
    task = ColourTask(
        replace(CONFIG, train=replace(CONFIG.train, film=0.0)), replace(pictures, train=images), PALETTE, CPU
    )
    grey, targets = task.batch(torch.arange(8), 0, crop=False)
    bright = torch.nn.functional.avg_pool2d(grey, 4)[:, 0] > 0.2
    assert 0.2 < bright.float().mean() < 0.8
    assert ((targets.classes[:, 0] != 0) == bright).float().mean() > 0.95


def test_palettes_in_rgb_and_windows_without_a_size_are_refused(pictures):
    with pytest.raises(ConfigError, match="handout24 is in rgb"):
        ColourTask(CONFIG, pictures, Palette.read("handout24"), CPU)
    with pytest.raises(ConfigError, match="got 0"):
        ColourTask(replace(CONFIG, train=TrainConfig()), pictures, PALETTE, CPU)
