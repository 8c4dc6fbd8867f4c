"""Drawn pictures: seeded, quick, and their colours follow from shape but not from grey."""

import pytest
import torch
from torch import nn

from pixelwise.colour import lightness, mean_grey, srgb_to_lab
from pixelwise.data.synthetic import GROUND_CHROMA, SHAPE_CHROMA, draw_shapes, load_synthetic
from pixelwise.errors import ConfigError

CHROMA = torch.tensor([*GROUND_CHROMA.values(), *SHAPE_CHROMA.values()])


@pytest.fixture(scope="module")
def pictures():
    return load_synthetic("shapes", seed=0)


def kinds(images):
    """Which of the five colours a pixel has, (N, H, W)."""
    chroma = srgb_to_lab(images / 255)[:, 1:].permute(0, 2, 3, 1)
    return (chroma.unsqueeze(-2) - CHROMA).square().sum(-1).argmin(-1)


def test_parts_have_the_promised_form(pictures):
    assert pictures.name == "synthetic:shapes"
    for part, num in ((pictures.train, 2000), (pictures.val, 400)):
        assert part.shape == (num, 3, 32, 32)
        assert part.dtype == torch.uint8
        assert part.is_contiguous()


def test_equal_seeds_draw_equal_pictures(pictures):
    again, other = (draw_shapes(50, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert torch.equal(draw_shapes(50, torch.Generator().manual_seed(0)), again)
    assert not torch.equal(other, again)
    assert load_synthetic("shapes", seed=0).digest == pictures.digest


def test_no_val_picture_is_a_train_picture(pictures):
    train = {picture.numpy().tobytes() for picture in pictures.train}
    val = {picture.numpy().tobytes() for picture in pictures.val}
    assert len(train) == 2000
    assert not train & val


def test_every_colour_is_one_of_five(pictures):
    """Only edges, where two colours meet in a pixel, lie between."""
    chroma = srgb_to_lab(pictures.val / 255)[:, 1:].permute(0, 2, 3, 1)
    distance = (chroma - CHROMA[kinds(pictures.val)]).norm(dim=-1)
    assert (distance < 3).float().mean() > 0.85
    share = torch.bincount(kinds(pictures.val).flatten(), minlength=5) / 400 / 32**2
    assert share.min() > 0.07


@pytest.mark.parametrize("grey", [mean_grey, lightness])
def test_grey_alone_does_not_give_the_colour_away(pictures, grey):
    """The best table from 256 grey levels to colours, learnt on the very pictures it is tried on, is poor."""
    images = pictures.val / 255
    levels = (grey(images) * (255 if grey is mean_grey else 2.55)).long().flatten()
    counts = torch.zeros(256, 5).index_put_(
        (levels, kinds(pictures.val).flatten()), torch.ones(1), accumulate=True
    )
    accuracy = counts.amax(dim=1).sum() / counts.sum()
    assert accuracy < 0.5


@pytest.fixture
def one_thread():
    """Small steps are quicker without threads waiting for each other."""
    num = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num)


@pytest.mark.slow
def test_a_small_network_learns_the_colours_in_seconds(pictures, one_thread):
    """The table above stays below a half; the texture of the background alone would give 0.74."""
    torch.manual_seed(0)
    middle = (layer for _ in range(3) for layer in (nn.Conv2d(24, 24, 3, padding=1), nn.ReLU()))
    net = nn.Sequential(
        *(nn.Conv2d(1, 12, 3, 2, padding=1), nn.ReLU()),
        *(nn.Conv2d(12, 24, 3, 2, padding=1), nn.ReLU()),
        *middle,
        *(nn.Conv2d(24, 5 * 16, 1), nn.PixelShuffle(4)),
    )
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    grey, labels = lightness(pictures.train / 255) / 50 - 1, kinds(pictures.train)
    for _ in range(3):
        for index in torch.randperm(len(grey)).split(20):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(grey[index]), labels[index]).backward()
            optimiser.step()
    with torch.no_grad():
        predicted = net(lightness(pictures.val / 255) / 50 - 1).argmax(1)
    assert (predicted == kinds(pictures.val)).float().mean() > 0.65


def test_any_number_can_be_drawn():
    generator = torch.Generator().manual_seed(3)
    assert draw_shapes(1, generator).shape == (1, 3, 32, 32)
    assert draw_shapes(7, generator).shape == (7, 3, 32, 32)


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="needed one of the synthetic pictures shapes; got 'circles'"):
        load_synthetic("circles", seed=0)
