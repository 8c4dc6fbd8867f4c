"""Evaluation of a colouriser on photos: what the network sees, what is compared, what is left out."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.discs import disc
from fixtures.networks import colouriser, random_weight
from fixtures.photos import make
from pixelwise.colour.palette import IGNORE, Palette
from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.colourising.options import ColouriseOptions
from pixelwise.colourising.run import colourise_files
from pixelwise.errors import ConfigError, DataError, ShapeError
from pixelwise.evaluate.colour_scores import PhotoColours
from pixelwise.evaluate.colours import colour_picture, evaluate_photos, painted, read_picture
from pixelwise.evaluate.heads import learn_baselines
from pixelwise.labels.confusion import Confusion
from pixelwise.network.model import model_of
from pixelwise.network.session import OnnxNetwork

pytestmark = pytest.mark.core

COLOURS = np.array([[0.0, 0], [40, 10], [-40, 10], [5, 45], [5, -45], [60, 60], [-60, -60]])
AB = Palette(COLOURS, "ab", "seven")
PLAIN = ColouriseOptions()
RANDOM = 0.1 * random_weight(7)


def model(weight=RANDOM, bias=0.0):
    return model_of("m", OnnxNetwork(colouriser(weight, AB, bias)))


def write(path: Path, seed: int, height=40, width=56) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(make.scene(height, width, seed)).save(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Six photos in colour of several shapes, one below, a grey one and a damaged one."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(5):
        write(folder / f"photo{seed}.png", seed, 40 + 4 * seed, 56)
    write(folder / "below" / "photo5.png", 5)
    Image.fromarray(make.scene()).convert("L").save(folder / "grey.png")
    (folder / "damaged.jpg").write_bytes(b"no photo")
    return folder


def evaluated(model, folder, **options):
    return evaluate_photos(model, f"folder:{folder}", **{"size": 32} | options)


@pytest.fixture(scope="module")
def found(folder):
    return evaluated(model(), folder)


def test_the_network_sees_no_colour_of_the_original(tmp_path):
    codes = read_picture(write(tmp_path / "a.png", 1), 32)
    other = painted(codes, np.array([20, -30], np.float32)[:, None, None])  # as light, and otherwise coloured
    assert np.abs(codes.astype(int) - other).mean() > 10
    (grey, _, said), (_, _, of_other) = (
        colour_picture(one, tmp_path, model(), PLAIN) for one in (codes, other)
    )
    assert (grey[0] == grey[1]).all()
    assert np.abs(said.answer - of_other.answer).max() < 0.05 * said.answer.std()  # grey to 8 bit, twice


def test_what_is_scored_is_what_colourising_writes(tmp_path):
    codes = read_picture(write(tmp_path / "a.png", 1), 32)
    options = ColouriseOptions(temperature=0.5, saturation=1.5)
    grey, coloured, _ = colour_picture(codes, tmp_path, model(), options)
    Image.fromarray(np.moveaxis(grey, 0, -1)).save(tmp_path / "grey.png")
    colourise_files([str(tmp_path / "grey.png")], tmp_path / "out", model(), options)
    written = np.asarray(Image.open(tmp_path / "out" / "grey.png")).astype(int)
    difference = np.abs(written - np.moveaxis(coloured, 0, -1))
    assert difference.max() <= 3  # the written one's luminance went through 8 bit once more
    assert difference.mean() < 0.5


def test_every_photo_is_scored_beside_the_baselines_and_what_is_not_is_named(found, folder):
    assert [one.path.name for one in found.photos] == ["photo5.png", *(f"photo{n}.png" for n in range(5))]
    assert list(found.scores) == ["model", "grey", "mean ab"]
    assert [path.name for path in found.colourless] == ["grey.png"]
    assert [one.path.name for one in found.failed] == ["damaged.jpg"]
    assert found.scores["grey"]["colourfulness_ratio"].value < 0.01
    assert math.isnan(found.scores["mean ab"]["cross_entropy"].value)
    assert found.calibration_bins[0].sum() == sum(one.bins[0].sum() for one in found.photos) > 0
    assert 0 <= found.calibration_error.low <= found.calibration_error.high <= 1
    notes = " ".join(found.notes)
    assert "left out: grey.png" in notes
    assert "could not be scored: damaged.jpg" in notes
    mean = np.mean([one.scores["model"].ciede2000 for one in found.photos])
    assert found.scores["model"]["ciede2000"].value == pytest.approx(mean)
    gain = found.scores["grey"]["ciede2000"].value - mean
    assert found.gain.value == pytest.approx(gain)


def test_a_network_that_knows_nothing_raises_warnings(folder):
    dull = evaluated(model(), folder, options=ColouriseOptions(saturation=0.01))
    assert "collapsed to grey: colours have 0.0" in " ".join(dull.warnings)
    sure_of_the_rarest = model(np.zeros((7, 1, 1, 1)), [0.0] * 6 + [12.0])
    warnings = " ".join(evaluated(sure_of_the_rarest, folder).warnings)
    assert "lost on 6 of 6 photos" in warnings
    assert "not surely better than grey, whose CIEDE2000 less ours is -" in warnings


def test_the_mean_colour_is_that_of_the_other_photos(tmp_path):
    paths = [write(tmp_path / "two" / f"{seed}.png", seed) for seed in range(2)]
    first, second = evaluated(model(), tmp_path / "two").photos
    for one, other in ((paths[0], second), (paths[1], first)):
        mean = srgb_to_lab(read_picture(one, 32) / 255)[1:].mean((1, 2), np.float32, keepdims=True)
        codes = read_picture(other.path, 32)
        in_mean = PhotoColours.of(painted(codes, mean), codes)
        assert other.scores["mean ab"].ciede2000 == pytest.approx(in_mean.ciede2000, rel=1e-5)


def test_scores_on_what_a_run_learned_from_are_told_apart(folder):
    warnings = evaluated(replace(model(), trained_on=f"folder:{folder}/below/.."), folder).warnings
    assert "learned from photos of this very folder" in " ".join(warnings)


def test_what_cannot_be_evaluated_is_refused(tmp_path):
    grey = tmp_path / "grey"
    grey.mkdir()
    Image.fromarray(make.scene()).convert("L").save(grey / "a.png")
    (grey / "b.jpg").write_bytes(b"no photo")
    with pytest.raises(DataError, match="1 that are grey and 1 that could not be read"):
        evaluated(model(), grey)
    with pytest.raises(DataError, match="none"):
        evaluated(model(), tmp_path / "none")
    with pytest.raises(ConfigError, match="synthetic:shapes"):
        evaluate_photos(model(), "synthetic:shapes")
    with pytest.raises(ConfigError, match="got 8"):
        evaluated(model(), grey, size=8)


@pytest.mark.slow
@pytest.mark.real
def test_grey_and_the_mean_colour_score_on_photographs_as_elsewhere(real_data_dir, tmp_path):
    """Figures of grey measured by another program, on every second photo of BSDS at this size: 12.9, 23.2."""
    for path in sorted((real_data_dir / "photos").glob("bsds_*.jpg"))[::2]:
        (tmp_path / path.name).symlink_to(path.resolve())
    scores = evaluated(model(), tmp_path, size=256).scores
    assert scores["grey"]["ciede2000"].value == pytest.approx(12.9, abs=0.05)
    assert scores["grey"]["ab_rmse"].value == pytest.approx(23.2, abs=0.05)
    assert scores["mean ab"]["ab_rmse"].value < 21


def test_colour_finds_red_on_blue_anywhere_and_is_lost_without():
    photo, labels = disc(9)
    histogram = learn_baselines((disc(seed) for seed in range(3)), 2)["colour histogram"]
    assert Confusion.of(histogram(photo), labels, 2).iou[1] > 0.99
    grey = np.repeat(photo.mean(-1, keepdims=True).astype(np.uint8), 3, axis=-1)
    assert Confusion.of(histogram(grey), labels, 2).iou[1] < 0.5


@pytest.mark.usefixtures("unchecked")
def test_labels_that_cannot_be_learned_from_are_refused():
    photo, labels = disc(0)
    with pytest.raises(DataError, match="none"):
        learn_baselines([(photo, np.full_like(labels, IGNORE))], 2)
    with pytest.raises(ShapeError, match=r"\(30, 64\)"):
        learn_baselines([(photo, labels[:30])], 2)
