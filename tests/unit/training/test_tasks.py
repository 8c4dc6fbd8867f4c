"""What a colouriser trains on: windows of photos, soft classes, pictures as on old film."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pixelwise.colour.palette import IGNORE, Palette
from pixelwise.colour.spaces import lightness
from pixelwise.errors import ConfigError
from pixelwise.network.config import ColourNetConfig, RunConfig, TrainConfig, UNetConfig
from pixelwise.training.data.pictures import Pictures
from pixelwise.training.data.sources import load_pictures
from pixelwise.training.evaluation import PixelScore, evaluate
from pixelwise.training.finetune_epochs import loss_of
from pixelwise.training.losses import cross_entropy, soft_labels
from pixelwise.training.models import build
from pixelwise.training.personal import soft_probs
from pixelwise.training.runs import TorchModel
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


RING = np.array([[60 * np.cos(angle), 60 * np.sin(angle)] for angle in np.arange(7) * np.pi / 3.5])


@pytest.mark.parametrize("num_classes", [3, 5, 7])
def test_shares_fall_off_with_distance_among_the_five_nearest(num_classes):
    palette = Palette(RING[:num_classes], "ab", "ring")
    chroma = np.random.default_rng(0).uniform(-80, 80, (50, 2)).astype(np.float32)
    found = soft_probs(palette, chroma)
    squares = np.square(chroma[:, None] - RING[:num_classes]).sum(2)
    by_hand = np.exp(-(squares - squares.min(1, keepdims=True)) / 50)
    by_hand[squares > np.sort(squares, axis=1)[:, :5][:, -1:]] = 0
    np.testing.assert_allclose(found, by_hand / by_hand.sum(1, keepdims=True), atol=1e-5)
    points = torch.from_numpy(chroma).T[None, :, None]
    soft = soft_labels(palette, points)
    expected = torch.zeros(1, num_classes, 1, 50).scatter_(1, soft.classes, soft.shares)
    np.testing.assert_allclose(found, expected[0, :, 0].T, atol=1e-4)
    wide = soft_labels(palette, points, num_near=3, sigma=20.0)
    nearest = np.sort(np.exp(-squares / 800), axis=1)[:, :-4:-1]
    np.testing.assert_allclose(wide.shares[0, :, 0].T, nearest / nearest.sum(1, keepdims=True), atol=1e-4)


HANDOUT = Palette.read("handout24")


@pytest.fixture(scope="module")
def parted() -> Pictures:
    whole = load_pictures("synthetic:shapes", None, 0)
    return replace(whole, train=whole.train[:60], val=whole.val[:30])


def model(net: nn.Module) -> TorchModel:
    return TorchModel.of(name="m", net=net, palette=HANDOUT, size=32, checksum="")


def test_a_baseline_learns_from_the_training_part_only(parted):
    scores = evaluate(model(build(UNetConfig(num_filters=2)).eval()), parted)
    commonest = np.bincount(HANDOUT.encode(parted.train.numpy()).ravel()).argmax()
    share = 100 * (HANDOUT.encode(parted.val.numpy()) == commonest).mean()
    assert scores["majority"]["accuracy"].value == pytest.approx(share, abs=0.01)
    assert scores["grey level"]["accuracy"].value > scores["majority"]["accuracy"].value


def test_pixels_without_label_count_for_nothing_and_parts_add_up():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(6, 5, 6, 7, generator=generator)
    labels = torch.randint(0, 5, (6, 6, 7), generator=generator)
    labels[:, 0] = IGNORE
    known = labels != IGNORE
    expected = -logits.double().log_softmax(1).gather(1, labels.where(known, 0)[:, None])[:, 0][known].mean()
    for some in (labels, labels.to(torch.uint8)):
        assert cross_entropy(logits, some).item() == pytest.approx(expected.item(), rel=1e-5)
    assert loss_of(logits, torch.full_like(labels, IGNORE, dtype=torch.uint8)).item() == 0
    whole = PixelScore.of(logits, labels)
    parts = PixelScore.of(logits[:2], labels[:2]) + PixelScore.of(logits[2:], labels[2:])
    assert (parts.num_pixels, parts.num_right) == (whole.num_pixels, whole.num_right)
    assert parts.loss == pytest.approx(whole.loss) == pytest.approx(expected.item(), rel=1e-5)
    right = (logits.argmax(1) == labels)[known].float().mean()
    assert whole.accuracy == pytest.approx(100 * right.item())
