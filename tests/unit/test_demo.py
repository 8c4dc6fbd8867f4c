"""The demonstration: real photographs, a real little training, one page that needs nothing else."""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixelwise import demo
from pixelwise.config import UNetConfig
from pixelwise.demo import SUBJECTS, Subject, write_demo
from pixelwise.errors import DataError
from pixelwise.labelspace import Palette
from pixelwise.models import build
from pixelwise.runs import Model

Page = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "pages.py"))["Page"]


@pytest.fixture(scope="module")
def model():
    """Untrained, but its last bias favours one colour, so that photographs come out tinted."""
    palette = Palette(torch.tensor([[30.0, 30.0], [-30.0, 0.0]], dtype=torch.float64), "ab", "two")
    config = UNetConfig(num_filters=4, num_colours=2)
    torch.manual_seed(0)
    net = build(config).eval()
    with torch.no_grad():
        list(net.parameters())[-1].copy_(torch.tensor([9.0, 0.0]))
    return Model(name="tinted", net=net, config=config, palette=palette, size=32, checksum="0" * 64)


@pytest.fixture(scope="module")
def made(model, tmp_path_factory):
    whole, seeds, early = demo._small, [], []

    def smaller(palette, num_colours, seed):
        seeds.append(seed)
        early.append((folder / "index.html").read_text())
        config = whole(palette, num_colours, seed)
        return replace(
            config,
            net=replace(config.net, num_filters=4),
            train=replace(config.train, epochs=1, batch_size=100),
        )

    folder = tmp_path_factory.mktemp("demo")
    (folder / "index.html").write_text("an earlier demonstration")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "_small", smaller)
        made = write_demo(folder, model, "cpu", seed=5)
    assert seeds == [5]
    assert "load this page again" in early[0]
    assert "A flower, cut out" in early[0]
    return made


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_the_page_needs_nothing_else_and_replaces_the_earlier_one(made):
    read = Page(made.page.read_text())
    assert read.faults == []
    for told in ("danielbuechele, CC BY 2.0", "vultilion, CC BY 2.0", "US Navy", "pixelwise colourise"):
        assert told in read.text
    assert f"in {made.seconds:.0f} seconds" in read.text


def test_the_page_shows_every_photograph_and_the_training(made):
    alts = " ".join(Page(made.page.read_text()).pictures)
    for subject in SUBJECTS:
        for what in ("before", "after"):
            assert f"{subject.title}, {what}" in alts
        for what in ("Grey", "Coloured", "How sure it is", "As taken"):
            assert f"{subject.title}: {what}" in alts
    assert "loss by epoch" in alts
    assert "Prediction" in alts


def test_the_photographs_are_left_beside_the_page(made):
    assert sorted(path.name for path in made.page.parent.iterdir()) == sorted(
        [
            "index.html",
            "flower-mask.png",
            "flower-overlay.jpg",
            *(f"{s.name}-{what}.jpg" for s in SUBJECTS for what in ("grey", "coloured")),
        ]
    )
    for path, subject in zip(made.photos, SUBJECTS, strict=True):
        with Image.open(path) as coloured, Image.open(subject.find()) as original:
            assert coloured.size == original.size


def test_grey_photographs_are_grey_and_coloured_ones_have_the_models_colour(made):
    for path in made.photos:
        grey = pixels(path.with_name(path.name.replace("coloured", "grey")))
        assert np.ptp(grey, axis=-1).max() <= 2
        red, _, blue = pixels(path).mean((0, 1))
        assert red > blue + 10


def test_the_page_says_that_its_maps_are_stretched(made):
    assert "as light, black for 0 % and white for 100 %" in Page(made.page.read_text()).text


@pytest.mark.parametrize(("off", "worse"), [(21.0, False), (30.0, True)])
def test_a_photograph_that_was_better_left_grey_is_told_so(off, worse):
    told = demo._distances_told(off, 25.0)
    assert f"{off} away from the true ones in Lab's a and b; left grey, they would be 25.0 away." in told
    assert ("better left grey" in told) == worse


def test_without_photographs_it_says_whose_are_missing(model, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "SUBJECTS", (Subject("x", "X", "sklearn", "no/such.jpg", "nobody"),))
    with pytest.raises(DataError, match="the photographs of sklearn are not installed"):
        write_demo(tmp_path, model, "cpu")
