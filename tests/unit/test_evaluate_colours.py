"""Evaluation of a colouriser on photos: what the network sees, what is compared, what is left out."""

import math
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pixelwise.colour import srgb_to_lab
from pixelwise.colourising import colourise
from pixelwise.config import RunConfig, TrainConfig, UNetConfig
from pixelwise.control.options import ColouriseOptions
from pixelwise.errors import ConfigError, DataError
from pixelwise.evaluate.calibrated import Sample, calibrate
from pixelwise.evaluate.colours import colour_picture, evaluate_colours, painted, read_picture
from pixelwise.evaluate.others import Seen, Truth
from pixelwise.evaluate.protocol import Protocol
from pixelwise.labelspace import Palette
from pixelwise.models import UNet, build
from pixelwise.photos.photo import open_photo, photo_of
from pixelwise.predict import predict
from pixelwise.runs import Model, write_manifest

make = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "photos" / "make.py"))
COLOURS = torch.tensor([[0, 0], [40, 10], [-40, 10], [5, 45], [5, -45], [60, 60], [-60, -60]]).double()
AB = Palette(COLOURS, "ab", "seven")
SMALL = Protocol(size=32)


def model(palette=AB, seed=0) -> Model:
    torch.manual_seed(seed)
    config = UNetConfig(num_filters=2, num_colours=palette.num_classes)
    net = build(config).eval().requires_grad_(False)
    return Model(name="m", net=net, config=config, palette=palette, size=24, checksum="0")


def write(path: Path, seed: int, height=40, width=56) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(make["scene"](height, width, seed)).save(path)
    return path


class Same(UNet):
    """Says the same of every pixel."""

    def __init__(self, logits):
        super().__init__(UNetConfig(num_filters=2, num_colours=len(logits)))
        self.logits = nn.Parameter(logits, requires_grad=False)

    def forward(self, grey):
        return self.logits[None, :, None, None].expand(len(grey), -1, *grey.shape[-2:])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Six photos in colour of several shapes, one below, a grey one and a damaged one."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(5):
        write(folder / f"photo{seed}.png", seed, 40 + 4 * seed, 56)
    write(folder / "below" / "photo5.png", 5)
    Image.fromarray(make["scene"]()).convert("L").save(folder / "grey.png")
    (folder / "damaged.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="module")
def found(folder):
    return evaluate_colours(model(), f"folder:{folder}", SMALL)


def test_a_picture_in_memory_is_the_photo_that_its_file_would_be(tmp_path):
    path = write(tmp_path / "photo.png", 1)
    photo = open_photo(path)
    codes = photo.thumbnail(40, 56)
    in_memory = photo_of(codes, path)
    assert torch.equal(in_memory.thumbnail(20, 28), photo.thumbnail(20, 28))
    assert torch.equal(predict(in_memory, model()).logits, predict(photo, model()).logits)


def test_the_network_sees_no_colour_of_the_original(tmp_path):
    codes = read_picture(write(tmp_path / "a.png", 1), 32)
    other = painted(codes, torch.tensor([20.0, -30.0])[:, None, None])  # as light, and otherwise coloured
    assert (codes.int() - other.int()).abs().float().mean() > 10
    (grey, _, said), (_, _, of_other) = (
        colour_picture(one, tmp_path, model(), SMALL) for one in (codes, other)
    )
    assert (grey[0] == grey[1]).all()
    assert (said.logits - of_other.logits).abs().max() < 0.05 * said.logits.std()  # grey to 8 bit, twice


def test_what_is_scored_is_what_colourising_writes(tmp_path):
    codes = read_picture(write(tmp_path / "a.png", 1), 32)
    protocol = Protocol(size=32, options=ColouriseOptions(temperature=0.5, saturation=1.5))
    grey, coloured, _ = colour_picture(codes, tmp_path, model(), protocol)
    Image.fromarray(grey.permute(1, 2, 0).contiguous().numpy()).save(tmp_path / "grey.png")
    colourise([str(tmp_path / "grey.png")], tmp_path / "out", model(), protocol.options)
    written = np.asarray(Image.open(tmp_path / "out" / "grey.png")).astype(int)
    difference = np.abs(written - coloured.permute(1, 2, 0).numpy().astype(int))
    assert difference.max() <= 3  # the written one's luminance went through 8 bit once more
    assert difference.mean() < 0.5


def test_every_photo_is_scored_beside_the_baselines_and_what_is_not_is_named(found, folder):
    assert [one.path.name for one in found.photos] == ["photo5.png", *(f"photo{n}.png" for n in range(5))]
    assert list(found.scores) == ["model", "grey", "mean ab", "prior"]
    assert [path.name for path in found.colourless] == ["grey.png"]
    assert [one.path.name for one in found.failed] == ["damaged.jpg"]
    assert found.scores["grey"]["colourfulness_ratio"].value < 0.01
    assert math.isnan(found.scores["mean ab"]["cross_entropy"].value)
    assert 0 < found.scores["prior"]["cross_entropy"].value < math.log(7) + 1
    told = " ".join(found.notes)
    assert "without colour, left out: grey.png" in told
    assert "could not be scored: damaged.jpg" in told
    assert "6 photos are few" in told
    mean = np.mean([one.scores["model"].ciede2000 for one in found.photos])
    assert found.scores["model"]["ciede2000"].value == pytest.approx(mean)
    gain = found.scores["grey"]["ciede2000"].value - mean
    assert found.gain.value == pytest.approx(gain)


def test_two_runs_agree_bit_for_bit(found, folder):
    again = evaluate_colours(model(), f"folder:{folder}", SMALL)
    assert again.to_dict() == found.to_dict()


def test_a_network_that_knows_nothing_raises_warnings(folder):
    dull = evaluate_colours(
        model(), f"folder:{folder}", Protocol(size=32, options=ColouriseOptions(saturation=0.01))
    )
    told = " ".join(dull.warnings)
    assert "collapsed to grey: colours have 0.0" in told
    assert "knows no more of these photos than their lightness tells" in told
    sure_of_the_rarest = replace(model(), net=Same(torch.tensor([0.0] * 6 + [12.0])))
    told = " ".join(evaluate_colours(sure_of_the_rarest, f"folder:{folder}", SMALL).warnings)
    assert "lost on 6 of 6 photos" in told
    assert "not surely better than grey" in told


def test_the_mean_colour_and_the_prior_are_those_of_the_other_photos(tmp_path):
    paths = [write(tmp_path / "two" / f"{seed}.png", seed) for seed in range(2)]
    first, second = (srgb_to_lab(read_picture(path, 32).float() / 255) for path in paths)
    truths = [Truth.of(lab, AB, (8, 11)) for lab in (first, second)]
    seen = [Seen.of(lab, truth, 7) for lab, truth in zip((first, second), truths, strict=True)]
    others = seen[0] + seen[1] - seen[0]
    torch.testing.assert_close(others.mean_ab, second[1:].mean((1, 2)))
    assert torch.equal(others.by_lightness, seen[1].by_lightness)
    shares = others.logits(truths[0].lightness).exp()
    torch.testing.assert_close(shares.sum(0), torch.ones(8, 11))
    row = (truths[1].lightness[3, 4] * 0.32).long()
    of_pixel = others.logits(truths[1].lightness)[:, 3, 4].exp()
    counts = others.by_lightness[row] + 1
    torch.testing.assert_close(of_pixel, counts / counts.sum())


def test_scores_on_what_a_run_learned_from_are_told_apart(folder, tmp_path):
    learned = model()
    config = RunConfig(net=learned.config, source=f"folder:{folder}/below/..", train=TrainConfig(epochs=1))
    write_manifest(tmp_path, config, "digest", {})
    told = evaluate_colours(replace(learned, name=str(tmp_path)), f"folder:{folder}", SMALL).warnings
    assert "the network learned from photos of this very folder: these scores are too good" in told


def test_a_photo_alone_has_no_others_to_be_compared_with(tmp_path):
    write(tmp_path / "one" / "a.png", 1)
    found = evaluate_colours(model(), f"folder:{tmp_path / 'one'}", SMALL)
    assert list(found.scores) == ["model", "grey"]
    assert found.to_dict()["ciede2000"]["low"] == found.scores["model"]["ciede2000"].value


def test_true_classes_are_those_of_mean_chroma_at_the_size_of_the_logits():
    lab = torch.zeros(3, 4, 4)
    lab[:, :, 2:] = torch.tensor([50.0, 38.0, 8.0])[:, None, None]
    lab[1, :2, :2], lab[1, :2, 1] = -70.0, 10.0  # -30 on average: the green, though half is not
    truth = Truth.of(lab, AB, (2, 2))
    assert truth.labels.tolist() == [[2, 1], [0, 1]]
    assert truth.lightness[0, 1] == 50
    grey = truth.scores_of_colour(torch.zeros(2), AB)
    assert (grey.top1, grey.top5) == (0.25, 1.0)
    handout = Palette.read("handout24")
    assert Truth.of(lab, handout, (2, 2)).labels.shape == (2, 2)
    assert Truth.of(lab, handout, (2, 2)).scores_of_colour(torch.zeros(2), handout) is None


def test_a_palette_of_rgb_is_scored_too(folder):
    handout = Palette.read("handout24")
    found = evaluate_colours(model(handout), f"folder:{folder}", SMALL)
    assert math.isnan(found.scores["grey"]["top1_accuracy"].value)
    assert 0 <= found.scores["model"]["top1_accuracy"].value <= 100


def test_chances_are_mended_by_what_other_photos_ask_for():
    generator = torch.Generator().manual_seed(0)
    samples = []
    for number in range(8):
        logits = torch.randn(7, 40, 40, generator=generator)
        labels = torch.multinomial(logits.flatten(1).T.softmax(1), 1, generator=generator).view(40, 40)
        samples.append(Sample.draw(3 * logits, labels, 8, (0, number)))  # three times too sure
    found = calibrate(samples)
    assert found.temperature == pytest.approx(3, rel=0.05)
    assert found.error_before.low > 5 * found.error_after.high
    assert found.cross_entropy_after < found.cross_entropy_before
    assert found.before[0].sum() == found.after[0].sum() == found.num_pixels == 8 * 1600


def test_of_many_photos_few_pixels_each_are_kept():
    logits, labels = torch.zeros(64, 100, 100), torch.zeros(100, 100, dtype=torch.int64)
    one, same, other = (Sample.draw(logits, labels, 1000, (0, number)) for number in (1, 1, 2))
    assert len(one.labels) == 131
    assert torch.equal(one.logits, same.logits)
    assert len(other.labels) == 131


def test_what_cannot_be_evaluated_is_told_in_words(tmp_path):
    grey = tmp_path / "grey"
    grey.mkdir()
    Image.fromarray(make["scene"]()).convert("L").save(grey / "a.png")
    (grey / "b.jpg").write_bytes(b"no photo")
    (tmp_path / "empty").mkdir()
    told = {
        f"folder:{grey}": "got 1 that are grey and 1 that could not be read",
        f"folder:{tmp_path / 'none'}": "none is not there",
        f"folder:{tmp_path / 'empty'}": "needed photos in this folder, found none",
    }
    for source, words in told.items():
        with pytest.raises(DataError, match=words):
            evaluate_colours(model(), source, SMALL)
    with pytest.raises(ConfigError, match="as folder:PATH, got synthetic:shapes"):
        evaluate_colours(model(), "synthetic:shapes", SMALL)
    with pytest.raises(ConfigError, match="size needs to be from 16 to 2048 pixels, got 8"):
        Protocol(size=8)


@pytest.mark.slow
@pytest.mark.real
def test_grey_and_the_mean_colour_score_on_photographs_as_elsewhere(real_data_dir, tmp_path):
    """Figures of grey measured by another program, on every second photo of BSDS at this size: 12.9, 23.2."""
    for path in sorted((real_data_dir / "photos").glob("bsds_*.jpg"))[::2]:
        (tmp_path / path.name).symlink_to(path.resolve())
    scores = evaluate_colours(model(), f"folder:{tmp_path}").scores
    assert scores["grey"]["ciede2000"].value == pytest.approx(12.9, abs=0.05)
    assert scores["grey"]["ab_rmse"].value == pytest.approx(23.2, abs=0.05)
    assert scores["mean ab"]["ab_rmse"].value < 21
