"""The verbs models and demo, through the command line."""

import json
import re
import runpy
from pathlib import Path

import pytest

from pixelwise.cards import weights_path
from pixelwise.files import checksum
from pixelwise.heads import open_head
from pixelwise.runs import DEFAULT_MODEL, open_model

Page = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "pages.py"))["Page"]
KEYS = {"name", "size_bytes", "purpose", "source", "licence", "checksum", "command", "error", "score"}


def test_models_lists_where_each_comes_from_and_its_checksum(pixelwise):
    done = pixelwise("models", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)["models"]
    assert DEFAULT_MODEL in [model["name"] for model in listed]
    for model in listed:
        assert set(model) >= KEYS
        assert model["size_bytes"] < 5_000_000
        assert checksum(weights_path(model["name"])) == model["checksum"]
        if model["colours"]:
            assert open_model(model["name"]).checksum == model["checksum"]
        else:
            assert open_head(model["name"]).classes.names == ("background", "flower")


def test_models_prints_each_score_beside_its_baselines(pixelwise):
    printed = pixelwise("models").stdout
    assert re.search(r"root mean square error of Lab's a and b is \d\d\.\d\d\b.*left grey", printed)
    assert re.search(r"cross-entropy is \d\.\d{3} nats.*by grey level alone", printed)


@pytest.mark.slow
def test_demo_makes_its_page_and_prints_where(pixelwise, tmp_path):
    done = pixelwise("demo", "-o", tmp_path / "demo", "--model", "cifar-ab", "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    made = json.loads(line)
    assert made["page"] == str(tmp_path / "demo" / "index.html")
    assert Page(Path(made["page"]).read_text()).faults == []
    assert all(Path(photo).is_file() for photo in made["photos"])
