"""What the published assignment got wrong about labels and scores, each held to be right here.

Frozen layers that were not frozen have their tests in `unit/test_frozen.py`.
"""

import numpy as np
import pytest
import torch
from PIL import Image

from fixtures.flowers17.make import write_flowers17
from pixelwise.colour.palette import IGNORE
from pixelwise.labels.confusion import Confusion
from pixelwise.labels.flowers17 import load_flowers17
from pixelwise.labels.read import resize_mask
from pixelwise.network.losses import cross_entropy


@pytest.fixture
def flowers(tmp_path):
    write_flowers17(tmp_path / "flowers17")
    return load_flowers17("flowers17", tmp_path)


def test_a_resized_mask_has_the_classes_of_its_pixels_and_no_others(flowers):
    """Bilinear resizing made edges a mixture, and a comparison with one colour made that background."""
    labels = flowers.train[0].read_labels()
    height, width = 29, 41
    small = resize_mask(labels, height, width)
    rows = ((np.arange(height) + 0.5) * labels.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * labels.shape[1] / width).astype(int)
    assert (small == labels[np.ix_(rows, columns)]).all()
    bilinear = np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.BILINEAR))
    assert set(np.unique(small)) == {0, 1, IGNORE}
    assert len(np.unique(bilinear)) > 3  # what the test would catch


def test_pixels_without_label_are_no_background_to_the_loss(flowers):
    labels = torch.from_numpy(flowers.train[0].read_labels())[None].long()
    void = labels == IGNORE
    assert void.any()
    logits = torch.randn(1, 2, *labels.shape[1:], generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = cross_entropy(logits, labels)
    loss.backward()
    assert (logits.grad.movedim(1, -1)[void] == 0).all()
    assert (logits.grad.movedim(1, -1)[~void] != 0).all()
    assert loss.item() != pytest.approx(cross_entropy(logits, labels.where(~void, 0)).item())


def test_pixels_without_label_are_no_background_to_the_score(flowers):
    labels = flowers.train[0].read_labels()
    flower_everywhere_unlabelled = np.where(labels != IGNORE, labels, np.uint8(1))
    assert Confusion.of(flower_everywhere_unlabelled, labels, 2).iou.tolist() == [1, 1]
    as_background = np.where(labels != IGNORE, labels, np.uint8(0))
    assert (
        Confusion.of(flower_everywhere_unlabelled, as_background, 2).miou < 0.95
    )  # what the test would catch


def test_no_photo_is_in_two_parts(flowers):
    """Three official ways to split were joined; `unit/test_flowers17.py` shows that this is refused."""
    contents = [
        {one.photo.read_bytes() for one in part} for part in (flowers.train, flowers.val, flowers.test)
    ]
    assert sum(map(len, contents)) == len(set().union(*contents)) == 12
