"""Questions C1 to C3: which network, what learns, and the starter code's scores and masks by hand."""

import hashlib

import numpy as np
import pytest
import torch
from torchvision.models.segmentation import deeplabv3_resnet101

from fixtures.flowers17.make import write_flowers17
from pixelwise.colour.palette import IGNORE
from pixelwise.errors import CheckpointError
from pixelwise.evaluate.segmentation import ImageCounts
from pixelwise.lab import finetuning
from pixelwise.lab.answer import Setting
from pixelwise.lab.finetuning import answer_c1, choose_network, starter_masks, starter_scores
from pixelwise.lab.run import run_lab
from pixelwise.training.backbones import coco

DEEPLAB = "deeplabv3_resnet101"
QUESTIONS = ["C1", "C2", "C3"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file as torchvision publishes it, with random numbers."""
    torch.manual_seed(0)
    net = deeplabv3_resnet101(weights=None, weights_backbone=None, num_classes=21, aux_loss=True)
    path = tmp_path_factory.mktemp("weights") / "deeplab.pth"
    torch.save(net.state_dict(), path)
    return path


def without_weights(out):
    return choose_network(Setting(out=out, quick=True))


def test_without_weights_the_embedded_network_is_taken_and_named(tmp_path):
    setting = without_weights(tmp_path)
    assert setting.network == "efficientnet_lite0"
    assert setting.made_by("flowers17", with_network=True)["network"].startswith("efficientnet_lite0 ")
    assert "network" not in setting.made_by("flowers17")


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_a_wrong_file_of_weights_ends_the_lab_before_anything_is_answered(tmp_path, content):
    path, out = tmp_path / "wrong.pth", tmp_path / "out"
    if content:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"wrong\.pth"):
        run_lab(Setting(out=out, weights=path), QUESTIONS)
    assert not out.exists()


@pytest.mark.slow
def test_c1_learns_the_handouts_514_numbers_and_those_of_the_network_that_is_there(tmp_path):
    theirs, ours = answer_c1(without_weights(tmp_path)).values["rows"]
    assert (theirs["network"], theirs["weights"]) == (DEEPLAB, "")
    assert theirs["num_parameters"] == 60_996_202 - 21 * 257 + 2 * 257
    assert (theirs["learned"], theirs["num_learned"]) == (["classifier.4.weight", "classifier.4.bias"], 514)
    assert theirs["thawed"]["num_changed"] == theirs["thawed"]["num_buffers"] == 336
    channels = 24 + 40 + 80 + 112 + 192 + 320
    assert (ours["network"], ours["num_learned"]) == ("efficientnet_lite0", 2 * channels + 2)
    assert ours["thawed"]["num_buffers"] - ours["thawed"]["num_changed"] == 2  # mean and deviation of photos
    for row in (theirs, ours):
        assert row["certificate"]["before"] == row["certificate"]["after"]


@pytest.mark.slow
def test_with_weights_the_handouts_network_answers(tmp_path, monkeypatch, weights):
    """Of no quality, the weights being random; and answers of another network are not reused."""
    monkeypatch.setenv("PIXELWISE_CACHE", str(tmp_path / "cache"))
    for name, value in (("_HANDOUT_SIZE", 64), ("_FEW_EPOCHS", 1)):
        monkeypatch.setattr(finetuning, name, value)
    write_flowers17(tmp_path / "flowers17")
    setting = Setting(out=tmp_path / "out", quick=True, data_dir=tmp_path, weights=weights)
    result = run_lab(setting, QUESTIONS)
    assert result.not_answered == {}
    c1, c2, c3 = (result.answers[name] for name in QUESTIONS)
    assert {c1["network"], c2["network"], c3["network"]} == {DEEPLAB}
    (row,) = c1["rows"]
    assert (row["network"], row["weights"], row["num_learned"]) == (DEEPLAB, "deeplab.pth", 514)
    assert c2["weights"] == "weights from deeplab.pth"
    for certified in (row, *c2["ways"]):
        assert certified["num_learned"] == 514
        assert certified["certificate"]["before"] == certified["certificate"]["after"]
    made = (tmp_path / "out" / "answers" / "C1.json").stat().st_mtime_ns
    assert run_lab(setting, ["C1", "A3"]).answers["C2"] == c2
    assert (tmp_path / "out" / "answers" / "C1.json").stat().st_mtime_ns == made
    without = run_lab(Setting(out=tmp_path / "out", quick=True, data_dir=tmp_path), ["C1"])
    assert without.answers["C1"]["network"] == "efficientnet_lite0"
    assert list(without.answers) == ["A3", "C1"]


@pytest.mark.slow
def test_weights_of_an_earlier_download_are_found(tmp_path, monkeypatch, weights):
    name = f"deeplab-{hashlib.sha256(weights.read_bytes()).hexdigest()[:8]}.pth"
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / name).hardlink_to(weights)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setitem(coco._FILES, DEEPLAB, name)
    setting = without_weights(tmp_path)
    assert setting.network == DEEPLAB
    (row,) = answer_c1(setting).values["rows"]
    assert row["weights"] == name


def counts(predicted, labels):
    return ImageCounts.of(*(np.array([one], np.uint8) for one in (predicted, labels)), 2)


def test_the_starters_score_is_the_share_of_thresholds_that_iou_is_above():
    half, most = ([1, 0], [1, 1]), ([1] * 19 + [0], [1] * 20)
    cases = [(half, 0), (most, 0.9), (([1, 1], [1, 1]), 1), (([1, 1, 1, 0], [1, 1, 1, 1]), 0.5)]
    for case, wanted in cases:
        assert starter_scores([counts(*case)])["starter_miou"] == pytest.approx(wanted)
    both = starter_scores([counts(*half), counts(*most), counts([0], [0])])  # the last has no flower
    assert both == pytest.approx({"starter_miou": 0.45, "photo_iou": (0.5 + 0.95) / 2})


def test_the_starters_masks_lose_edges_and_make_background_of_what_has_no_label():
    whole = np.ones((448, 448), np.uint8)
    assert starter_masks([whole]) == {"flower_lost": 0, "unlabelled": 0}
    odd = whole.copy()
    odd[:, :221] = 0  # an edge that falls within a pixel of the smaller mask
    odd[:112] = IGNORE
    found = starter_masks([odd])
    assert found["unlabelled"] == pytest.approx(1 / 4)
    assert found["flower_lost"] == pytest.approx(1 / (224 - 110))  # the column with the edge in it
