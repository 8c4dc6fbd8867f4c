"""Heads on disk, alone and with the parts of the backbone that learned along."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from fixtures.drawn import scene
from fixtures.tiny_backbone import tiny_backbone
from pixelwise.errors import CheckpointError
from pixelwise.labels.class_names import ClassNames
from pixelwise.network.backbone import open_backbone
from pixelwise.photos.photo import open_photo
from pixelwise.segmenting.heads import Head, HeadFacts, open_head, write_head
from pixelwise.segmenting.linear_head import Weights
from pixelwise.segmenting.run import HeadRunner
from pixelwise.training.frozen import Certificate, fingerprint


def head_on(backbone, **changes):
    generator = torch.Generator().manual_seed(0)
    head = Head(
        name="mine",
        classes=ClassNames(("background", "flower")),
        weights=Weights(torch.randn(2, 30, generator=generator), torch.zeros(2)),
        backbone=backbone.name,
        backbone_checksum=backbone.checksum,
        sizes=(16, 32),
        facts=HeadFacts(source="tests", photos=("0123",), ridge=0.1, certificate=Certificate("a", "a", 1)),
    )
    return replace(head, **changes)


def with_a_changed_stage(backbone):
    """A head, and the backbone as it learned along with it."""
    learned = copy.deepcopy(backbone)
    with torch.no_grad():
        learned.net.layers[2].weight.mul_(-1.5)
    changed = {"net.layers.2.weight": learned.net.layers[2].weight.detach().clone()}
    return head_on(backbone, changed=changed, changed_checksum=fingerprint(learned)), learned


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(scene()).save(path)
    return open_photo(path)


def test_a_head_comes_back_from_its_file(tmp_path):
    head = head_on(tiny_backbone())
    write_head(tmp_path / "mine", head)
    read = open_head(tmp_path / "mine")
    assert replace(read, weights=head.weights, name="mine") == head
    assert torch.equal(read.weights.weight, head.weights.weight)
    assert torch.equal(read.weights.bias, head.weights.bias)


def test_a_head_with_parts_of_the_backbone_comes_back_and_says_the_same(tmp_path, photo):
    backbone = tiny_backbone()
    head, learned = with_a_changed_stage(backbone)
    write_head(tmp_path / "mine", head)
    read = open_head(tmp_path / "mine")
    tuned = read.apply_weights(backbone)
    assert fingerprint(tuned) == tuned.checksum == fingerprint(learned)
    assert fingerprint(backbone) == backbone.checksum == head.backbone_checksum
    assert not any(part.training for part in tuned.train().modules())
    (found,) = HeadRunner([read], backbone)(photo)
    (expected,) = HeadRunner([head_on(learned, backbone_checksum=learned.checksum)], learned)(photo)
    plain = head_on(backbone)
    assert plain.apply_weights(backbone) is backbone
    (untuned,) = HeadRunner([plain], backbone)(photo)
    assert np.array_equal(found.probs(0, 40), expected.probs(0, 40))
    assert not np.array_equal(found.probs(0, 40), untuned.probs(0, 40))
    assert read.num_bytes == head.num_bytes == 4 * (2 * 31 + 6 * 9 * 9)


def test_parts_that_are_not_as_they_were_are_refused():
    backbone = tiny_backbone()
    head, _ = with_a_changed_stage(backbone)
    (name, one), *_ = head.changed.items()
    with pytest.raises(CheckpointError, match=r"mine is damaged: with its weights tiny has the checksum"):
        replace(head, changed={name: one + 1e-6}).apply_weights(backbone)
    for wrong in ({"net.layers.9.weight": one}, {name: one[:1]}):
        with pytest.raises(CheckpointError, match=r"mine is damaged: it holds weights that no tiny has"):
            replace(head, changed=wrong).apply_weights(backbone)
    with pytest.raises(CheckpointError, match=r"mine was learned on tiny with weights"):
        head.apply_weights(tiny_backbone(seed=1))
    with pytest.raises(CheckpointError, match="efficientnet_lite0"):
        head.apply_weights(open_backbone())


@pytest.mark.parametrize(
    "change",
    [
        {"weights": Weights(torch.zeros(3, 30), torch.zeros(3))},
        {"weights": Weights(torch.full((2, 30), torch.nan), torch.zeros(2))},
        {"sizes": ()},
        {"facts": HeadFacts(ridge=-1.0)},
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, change):
    write_head(tmp_path / "other", head_on(tiny_backbone(), **change))
    with pytest.raises(CheckpointError, match=r"other holds no head of ours"):
        open_head(tmp_path / "other")
