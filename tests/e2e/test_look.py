"""The verbs models and demo, through the command line."""

from dataclasses import fields
from pathlib import Path

import pytest

from fixtures.pages import Page
from pixelwise.files import checksum
from pixelwise.network.cards import Card, weights_path
from pixelwise.network.model import DEFAULT_MODEL, open_model
from pixelwise.segmenting.heads import open_head

pytestmark = pytest.mark.core


def test_models_lists_where_each_comes_from_and_its_checksum(answer):
    listed = answer("models")["models"]
    assert DEFAULT_MODEL in [model["name"] for model in listed]
    for model in listed:
        assert {"name", "size_bytes", *(one.name for one in fields(Card))} <= set(model)
        assert model["size_bytes"] < 5_000_000
        assert checksum(weights_path(model["name"])) == model["checksum"]
        if model["colours"]:
            assert open_model(model["name"]).checksum == model["checksum"]
        else:
            assert open_head(model["name"]).classes.names == ("background", "flower")


@pytest.mark.slow
def test_demo_makes_its_page_and_says_where(answer, model, tmp_path):
    made = answer("demo", "-o", tmp_path / "demo", "--model", model)
    assert made["page"] == str(tmp_path / "demo" / "index.html")
    read = Page(Path(made["page"]).read_text())
    assert read.faults == []
    assert all(Path(photo).is_file() for photo in made["photos"])
