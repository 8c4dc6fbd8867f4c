"""The flow of finetune: what is refused early, what is written before anything can fail, what is scored."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from fixtures.discs import folder_of_discs
from fixtures.halves import folder_of_halves, task_on
from fixtures.tiny_backbone import num_seen, tiny_backbone
from fixtures.tiny_torch import tiny_torch_backbone
from pixelwise.errors import ConfigError, DataError
from pixelwise.evaluate.segmentation import ImageCounts
from pixelwise.files import checksum
from pixelwise.labels.confusion import Confusion
from pixelwise.labels.folder import load_labelled_folder
from pixelwise.network.config import FinetuneConfig
from pixelwise.segmenting.feature_cache import FeatureCache
from pixelwise.segmenting.heads import open_head
from pixelwise.segmenting.linear_head import Weights
from pixelwise.training import finetune_epochs
from pixelwise.training.finetune import finetune, random_head, score
from pixelwise.training.finetune_epochs import learn_in_epochs
from pixelwise.training.finetune_task import make_task
from pixelwise.training.learning_curve import curve_of, draw_for_curve, forecast

RIDGE = {"ridge": 0.01}


def test_what_is_learned_is_no_onnx_file(tmp_path):
    config = FinetuneConfig(source=f"folder:{tmp_path}")
    with pytest.raises(ConfigError, match=r"got .*mine\.ONNX; name a \.safetensors file"):
        finetune(config, tmp_path / "mine.ONNX")


def learn(folder, backbone=None, **options):
    config = FinetuneConfig(source=f"folder:{folder}", sizes=(16, 32), **options)
    cache = FeatureCache(folder.with_name("cache"))
    return finetune(config, folder / "head", device="cpu", cache=cache, backbone=backbone or tiny_backbone())


def test_a_damaged_mask_to_score_on_leaves_the_head(tmp_path, caplog):
    folder = folder_of_halves(tmp_path / "halves", num=4, train=[0, 1, 2], val=[], test=[3])
    Image.new("L", (3, 3)).save(folder / "masks" / "photo3.png")
    with pytest.raises(DataError, match="photo3"):
        learn(folder, **RIDGE)
    head = open_head(folder / "head")
    assert head.facts.num_images == 3
    assert head.facts.scores is None
    assert f"{folder / 'head'} has what was learned, without scores" in caplog.text


@pytest.mark.parametrize(
    ("num", "policy", "message"), [(4, "stage", "the last stage of tiny"), (1, "full", "the policy full")]
)
def test_what_would_fail_at_the_end_is_refused_at_the_start(tmp_path, monkeypatch, num, policy, message):
    monkeypatch.setattr(finetune_epochs, "open_torch_backbone", lambda *_: tiny_torch_backbone(last_stage=()))
    folder, backbone = folder_of_halves(tmp_path / "halves", num=num), tiny_backbone()
    with pytest.raises(ConfigError, match=message):
        learn(folder, backbone, **RIDGE, policy=policy)
    assert num_seen(backbone) == 0


@pytest.mark.slow
def test_a_head_knows_the_photos_that_it_stopped_by(tmp_path, monkeypatch):
    monkeypatch.setattr(finetune_epochs, "open_torch_backbone", lambda *_: tiny_torch_backbone())
    parts = {"train": [0, 1, 2], "val": [3, 4], "test": [5]}
    folder = folder_of_halves(tmp_path / "halves", num=6, **parts)
    head = learn(folder, policy="stage", epochs=1, **RIDGE).head
    known = [head.knows(checksum(folder / "images" / f"photo{number}.png")) for number in range(6)]
    assert known == [True] * 5 + [False]


def test_copies_of_a_photo_stay_on_one_side(tmp_path):
    """Each of four photos is there four times; none to stop by is one to learn from."""
    folder = folder_of_halves(tmp_path / "halves", num=4, train=list(range(16)), val=[], test=[])
    for number in range(4, 16):
        for part in ("images", "masks"):
            shutil.copy(folder / part / f"photo{number % 4}.png", folder / part / f"photo{number}.png")
    config, cache = FinetuneConfig(source="folder", policy="stage"), FeatureCache(tmp_path / "cache")
    labelled = load_labelled_folder(folder)
    task = make_task(config, labelled, "cpu", cache, tiny_backbone())
    contents = [{one.photo.read_bytes() for one in part} for part in (task.shots, task.early_stop_set)]
    assert [len(one) for one in contents] == [3, 1]
    assert len(task.shots) + len(task.early_stop_set) == 16


def test_scores_before_adam_are_of_the_layer_that_it_began_with(tmp_path):
    folder = folder_of_halves(tmp_path / "halves")
    task = task_on(tiny_backbone(), folder, solver="adam", epochs=1, learning_rate=1e-9)
    learned = learn_in_epochs(task, tiny_torch_backbone())
    np.testing.assert_allclose(learned.random_head.weight, learned.weights.weight, atol=1e-6)
    found = score(task, learned, task.early_stop_set)
    assert found.before.miou.value == pytest.approx(found.after.miou.value)


@pytest.mark.parametrize(("num_classes", "num_features"), [(2, 768), (4, 256), (2, 3)])
def test_a_random_head_is_the_one_that_torch_draws(num_classes, num_features):
    shape = Weights(np.zeros((num_classes, num_features), np.float32), np.zeros(num_classes, np.float32))
    for seed in (0, 1, 77, 2**32 - 1):
        torch.manual_seed(seed)
        conv = torch.nn.Conv2d(num_features, num_classes, 1).requires_grad_(False)
        drawn = random_head(shape, seed)
        np.testing.assert_allclose(drawn.weight, conv.weight[..., 0, 0], rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(drawn.bias, conv.bias, rtol=1e-5, atol=1e-8)


CONFIG = FinetuneConfig(source="folder")


def image(num_right: int) -> ImageCounts:
    """A photo of 200 pixels, of each class as many, and of each as many right."""
    wrong = 100 - num_right
    return ImageCounts(Confusion(np.array([[num_right, wrong], [wrong, num_right]])))


def head(*num_right: int) -> list[ImageCounts]:
    return [image(num) for num in num_right]


def iou(num_right: int) -> float:
    return num_right / (200 - num_right)


def test_a_row_is_the_mean_over_draws_and_its_band_holds_single_ones():
    shots = [2, 2, 5]
    found = curve_of(shots, [head(60, 60), head(80, 80), head(90, 90)])
    assert [(row.shots, row.draws) for row in found.rows] == [(2, 2), (5, 1)]
    first, last = (row.miou for row in found.rows)
    assert first.value == pytest.approx((iou(60) + iou(80)) / 2)
    assert (first.low, first.high) == pytest.approx((iou(60), iou(80)))
    assert (last.low, last.value, last.high) == pytest.approx((iou(90),) * 3)


def test_the_gain_of_a_power_law():
    shots = np.array([2, 5, 10, 20, 50])
    errors = 0.3 * shots[:, None] ** -0.5 * np.ones((1, 100))
    gain = forecast(shots, errors)
    assert gain.value == pytest.approx(0.3 * (50**-0.5 - 60**-0.5))
    assert gain.low == pytest.approx(gain.high)


@pytest.mark.parametrize(
    ("shots", "errors"),
    [
        ([2, 5], [[0.3] * 3, [0.2] * 3]),  # too short
        ([2, 5, 10], [[0.1] * 3] * 3),  # does not fall
        ([2, 5, 10], [[0.1] * 3, [0.2] * 3, [0.3] * 3]),  # rises
        ([2, 5, 10], [[0.3] * 3, [0.2] * 3, [0.15, 0.25, 0.1]]),  # other draws would not have fallen
    ],
)
def test_where_there_is_no_ground_there_is_no_forecast(shots, errors):
    assert forecast(np.array(shots), np.array(errors)) is None


@pytest.mark.parametrize(("num_train", "num_test", "message"), [(4, 0, "to score on"), (2, 1, "got 2")])
def test_a_curve_needs_photos(tmp_path, num_train, num_test, message):
    folder = folder_of_discs(tmp_path / "discs", num_train=num_train, num_test=num_test)
    with pytest.raises(ConfigError, match=message):
        draw_for_curve(CONFIG, load_labelled_folder(folder))
