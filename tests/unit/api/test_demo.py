"""The demonstration: real photographs, one page that needs nothing else."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from fixtures.pages import Page
from pixelwise.api.demo import SUBJECTS, write_demo
from pixelwise.colour.palette import Palette
from pixelwise.network.config import UNetConfig
from pixelwise.training.models import build
from pixelwise.training.runs import TorchModel


@pytest.fixture(scope="module")
def model():
    """Untrained, but its last bias favours one colour, so that photographs come out tinted."""
    palette = Palette(np.array([[30.0, 30.0], [-30.0, 0.0]]), "ab", "two")
    config = UNetConfig(num_filters=4, num_colours=2)
    torch.manual_seed(0)
    net = build(config).eval()
    with torch.no_grad():
        list(net.parameters())[-1].copy_(torch.tensor([9.0, 0.0]))
    return TorchModel.of(name="tinted", net=net, palette=palette, size=32, checksum="0" * 64)


@pytest.fixture(scope="module")
def made(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    (folder / "index.html").write_text("an earlier demonstration")
    return write_demo(folder, model, seed=5)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.slow
def test_the_page_shows_the_main_jobs_and_needs_nothing_else(made):
    read = Page(made.page.read_text())
    assert read.faults == []
    for subject in SUBJECTS:
        assert subject.credit in read.text
        assert {f"{subject.title}, before", f"{subject.title}, after"} <= read.pictures.keys()
        alts = " ".join(alt for alt in read.pictures if alt.startswith(f"{subject.title}: "))
        assert re.search("Grey.*Coloured.*Confidence.*As taken", alts)
    assert "A flower, cut out: Cut out" in read.pictures
    assert "Learned from 20 masks" in read.text
    found = re.search(r"mean intersection over union is (\d+\.\d)", read.text)
    assert float(found[1]) > 80


@pytest.mark.slow
def test_the_photographs_are_left_beside_the_page(made):
    stems = [subject.path.stem for subject in SUBJECTS]
    wanted = {"index.html", *(f"{stem}-{what}.jpg" for stem in stems for what in ("grey", "coloured"))}
    assert {path.name for path in made.page.parent.iterdir()} == wanted
    for path, subject in zip(made.photos, SUBJECTS, strict=True):
        grey, coloured = pixels(path.with_name(path.name.replace("coloured", "grey"))), pixels(path)
        assert grey.shape == coloured.shape == pixels(subject.path).shape
        assert np.ptp(grey, axis=-1).max() <= 2
        assert coloured[..., 0].mean() > coloured[..., 2].mean() + 10  # the model's one colour is red
