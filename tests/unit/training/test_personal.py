"""A colouriser of one's own: the shares of a colour in classes, and photos in, a model out."""

import numpy as np
import pytest
import torch

from fixtures.sunsets import folder_of_sunsets
from pixelwise.colour.palette import Palette
from pixelwise.network.config import ColourFinetuneConfig
from pixelwise.network.model import open_model
from pixelwise.training.losses import soft_labels
from pixelwise.training.personal import finetune_colours, soft_probs

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
    soft = soft_labels(palette, torch.from_numpy(chroma).T[None, :, None])
    expected = torch.zeros(1, num_classes, 1, 50).scatter_(1, soft.classes, soft.shares)
    np.testing.assert_allclose(found, expected[0, :, 0].T, atol=1e-4)


@pytest.mark.slow
def test_a_model_of_ones_own_knows_what_it_learned_from(tmp_path):
    source = f"folder:{folder_of_sunsets(tmp_path / 'album', 6)}"
    config = ColourFinetuneConfig(source=source, size=64, num_colours=4, ridge=0.1)
    result = finetune_colours(config, tmp_path / "mine.safetensors")
    model = open_model(tmp_path / "mine.safetensors")
    assert (model.trained_on, model.size, model.palette.num_classes) == (source, 64, 4)
    grey = np.random.default_rng(0).random((1, 1, 64, 64), np.float32)
    assert np.array_equal(model.logits(grey), result.model.logits(grey))
    assert result.facts.certificate.before == result.facts.certificate.after
