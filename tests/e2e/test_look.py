"""The verbs models and demo, through the command line."""

import json
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.discs import folder_of_discs
from fixtures.drawn import folder_of_masks, write_black_and_white
from fixtures.pages import Page
from pixelwise.api.demo import SUBJECTS
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


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.slow
def test_demo_shows_the_main_jobs_on_a_page_and_leaves_the_photographs_beside_it(answer, model, tmp_path):
    page = tmp_path / "index.html"
    page.write_text("an earlier demonstration")
    made = answer("demo", "-o", tmp_path, "--model", model, "--seed", 5)
    assert made["page"] == str(page)
    read = Page(page.read_text())
    assert read.faults == []
    assert "A flower, cut out: Cut out" in read.pictures
    assert "Learned from 20 masks" in read.text
    assert float(re.search(r"overlaps with the discs by (\d+\.\d)", read.text)[1]) > 70
    names = {page.name}
    for subject, path in zip(SUBJECTS, map(Path, made["photos"]), strict=True):
        assert subject.credit in read.text
        assert {f"{subject.title}, before", f"{subject.title}, after"} <= read.pictures.keys()
        alts = " ".join(alt for alt in read.pictures if alt.startswith(f"{subject.title}: "))
        assert re.search("Grey.*Coloured.*Confidence.*As taken", alts)
        beside = tmp_path / f"{subject.path.stem}-grey.jpg"
        grey, coloured = pixels(beside), pixels(path)
        assert grey.shape == coloured.shape == pixels(subject.path).shape
        assert np.ptp(grey, axis=-1).max() <= 2
        assert np.ptp(coloured, axis=-1).mean() > 10
        names |= {beside.name, path.name}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_a_clean_folder_has_no_problem(tmp_path, pixelwise):
    folder = folder_of_masks(tmp_path / "flowers", write_black_and_white)
    done = pixelwise("check-labels", folder, "--json")
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, {"problems": []}, "")
    assert pixelwise("check-labels", folder).stdout == f"no problem in {folder}\n"


def test_each_problem_is_a_line_with_its_remedy_and_the_exit_code_is_1(tmp_path, pixelwise):
    folder = folder_of_masks(tmp_path / "flowers", write_black_and_white)
    (folder / "masks/photo1.png").unlink()
    (folder / "images/photo2.jpg").unlink()
    done = pixelwise("check-labels", folder, "--json")
    first, second = json.loads(done.stdout)["problems"]
    assert (done.returncode, done.stderr) == (1, "")
    assert first == {
        "path": str(folder / "images/photo1.jpg"),
        "problem": "there is no mask for this photo",
        "remedy": "save one in masks/photo1.png, or move the photo elsewhere",
    }
    assert second["path"] == str(folder / "masks/photo2.png")
    done = pixelwise("check-labels", folder)
    assert done.returncode == 1
    *lines, last = done.stdout.splitlines()
    assert lines == [f"{one['path']}: {one['problem']}; {one['remedy']}" for one in (first, second)]
    assert last == f"2 problems in {folder}"


@pytest.mark.slow
def test_photos_without_masks_are_ranked_by_what_a_head_does_not_know(
    answer, pixelwise, tmp_path, monkeypatch
):
    monkeypatch.setenv("PIXELWISE_CACHE", str(tmp_path / "cache"))
    folder = folder_of_discs(tmp_path / "discs", num_train=3, num_test=1, num_unlabelled=4)
    head = tmp_path / "disc.safetensors"
    answer("finetune", f"folder:{folder}", "--sizes", 64, "--looks", 1, "-o", head)
    values = answer("suggest", f"folder:{folder}", "--head", head, "-n", 3, "--sizes", 64)
    assert (values["num_candidates"], values["num_known"]) == (4, 3)
    gains = [one["gain"] for one in values["suggestions"]]
    assert gains == sorted(gains, reverse=True)
    unlabelled = {str(folder / "images" / f"disc{number:02}.png") for number in range(4, 8)}
    assert {one["path"] for one in values["suggestions"]} < unlabelled
    shown = pixelwise("suggest", f"folder:{folder}", "--head", head, "-n", 3).stdout.splitlines()
    assert shown[0].startswith("4 photos without labels, 3 known")
    assert [line.split()[-1] for line in shown[1:]] == [one["path"] for one in values["suggestions"]]


def test_a_folder_with_nothing_left_to_label_is_one_clear_line(refused, tmp_path):
    folder = folder_of_discs(tmp_path / "discs", num_train=2, num_test=1)
    assert "needed photos without labels to choose from" in refused("suggest", f"folder:{folder}", "--json")
