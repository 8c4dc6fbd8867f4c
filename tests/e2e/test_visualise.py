"""The verb visualise, through the command line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from pixelwise.config import RunConfig, TrainConfig, UNetConfig
from pixelwise.data import load_pictures
from pixelwise.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    whole = load_pictures("synthetic:shapes")
    pictures = replace(whole, train=whole.train[:20], val=whole.val[:4])
    train_config = TrainConfig(epochs=1, batch_size=10, precision="fp32")
    config = RunConfig(net=UNetConfig(num_filters=4), source="synthetic:shapes", train=train_config)
    train(config, pictures, folder, device="cpu")
    return folder


def figures(done) -> dict[str, Path]:
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return {name: Path(path) for name, path in json.loads(line)["figures"].items()}


def test_a_run_is_shown_on_a_picture_of_its_own(pixelwise, run, tmp_path):
    paths = figures(pixelwise("visualise", run, "-o", tmp_path / "seen", "--json"))
    assert set(paths) == {"network", "filters", "activations"}
    for name, path in paths.items():
        assert path == tmp_path / "seen" / f"{name}.png"
        with Image.open(path) as shown:
            assert shown.width > 1000


def test_a_photo_of_any_size_is_looked_at(pixelwise, run, tmp_path):
    photo = tmp_path / "photo.png"
    Image.linear_gradient("L").convert("RGB").resize((150, 97)).save(photo)
    ours = figures(pixelwise("visualise", run, "-o", tmp_path / "run", "--json"))
    given = figures(pixelwise("visualise", run, photo, "-o", tmp_path / "photo", "--json"))
    assert ours["filters"].read_bytes() == given["filters"].read_bytes()
    assert ours["activations"].read_bytes() != given["activations"].read_bytes()


def test_a_shipped_model_without_a_photo_has_no_activations_and_says_so(pixelwise, tmp_path):
    done = pixelwise("visualise", "cifar-ab", "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no activations: cifar-ab keeps no picture; give a photo" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["filters.png", "network.png"]


def test_what_is_no_model_and_what_is_no_photo_are_one_clear_line_each(pixelwise, run, tmp_path):
    for arguments, told in (
        (["nothing"], "needed a model"),
        ([run, tmp_path / "none.jpg"], "none.jpg"),
    ):
        done = pixelwise("visualise", *arguments, "-o", tmp_path)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert told in line
