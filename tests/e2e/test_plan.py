"""`pixelwise plan`, through the program."""

import json

import numpy as np
import pytest
from PIL import Image

KEYS = {"memory_bytes", "flops", "seconds", "num_learned"}
POLICIES = ["last-layer", "last-layer-cached", "stage", "full"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six photos of a disc on grey, with their masks."""
    folder = tmp_path_factory.mktemp("discs")
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    rows, columns = np.mgrid[:48, :64]
    for number in range(6):
        disc = (rows - 20 - number) ** 2 + (columns - 30) ** 2 < 150
        photo = np.where(disc[..., None], [200, 60, 60 + number], [120, 120, 120]).astype(np.uint8)
        Image.fromarray(photo).save(folder / "images" / f"{number}.png")
        Image.fromarray(disc.astype(np.uint8) * 255).save(folder / "masks" / f"{number}.png")
    return folder


def test_a_plan_has_every_policy_at_both_sizes(pixelwise, folder):
    done = pixelwise(
        "plan", "finetune", f"folder:{folder}", "--sizes", "32", "--shots", "2", "--epochs", "3", "--json"
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    for costs in (told["policies"], told["doubled"]):
        assert list(costs) == POLICIES
        assert all(set(cost) == KEYS for cost in costs.values())
        assert all(value > 0 for cost in costs.values() for value in cost.values())
    assert told["policies"]["last-layer"]["num_learned"] == 2 * (768 + 1)
    looking, twice = (
        costs["last-layer"]["flops"] - costs["last-layer-cached"]["flops"]
        for costs in (told["policies"], told["doubled"])
    )
    assert twice > 3.5 * looking


@pytest.mark.parametrize(
    ("options", "policies"),
    [
        (["--policy", "last-layer", "--ridge", "0.1"], POLICIES[:2]),
        (["--solver", "adam", "--epochs", "1"], ["last-layer-adam"]),
    ],
    ids=["policy", "solver"],
)
def test_a_plan_takes_the_options_of_what_it_plans(pixelwise, folder, options, policies):
    always = "--sizes", "32", "--out", "head", "--curve", "--json"
    done = pixelwise("plan", "finetune", f"folder:{folder}", *always, *options)
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)["policies"]) == policies
    assert "the plan leaves out what --advise and --curve take" in done.stderr


def test_more_shots_than_photos_are_refused(pixelwise, folder):
    done = pixelwise("plan", "finetune", f"folder:{folder}", "--shots", "9")
    assert done.returncode == 2
    assert "needed 9 labelled photos to learn from, there are 5" in done.stderr


def test_training_is_planned_by_recipe_with_the_options_of_train(pixelwise, tmp_path):
    shared = "unet", "synthetic:shapes", "--epochs", "1", "--num-filters", "4", "--precision", "fp32"
    done = pixelwise("plan", "train", *shared, "--out", tmp_path / "run", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["policies"]
    assert list(told) == ["handout", "fast", "best", "embedded"]
    assert all(set(cost) == KEYS for cost in told.values())
    assert told["fast"]["flops"] < told["handout"]["flops"]
    assert not (tmp_path / "run").exists()
    done = pixelwise("plan", "train", *shared, "--recipe", "fast")
    assert "fast: how it is known" in done.stdout
    assert "handout" not in done.stdout
    assert pixelwise("plan", "train", "unet").returncode == 2
