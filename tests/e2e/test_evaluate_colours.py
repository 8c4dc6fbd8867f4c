"""The verb evaluate on a folder of colour photos, through the command line."""

import json
import os
import re
import subprocess

import pytest
from PIL import Image

from fixtures.pages import Page
from fixtures.photos.make import scene

SCORES = {
    *("ciede2000", "ab_rmse", "colourfulness", "colourfulness_ratio"),
    *("top1_accuracy", "top5_accuracy", "cross_entropy", "ciede2000_gain", "calibration_error"),
}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(3):
        Image.fromarray(scene(60 + 8 * seed, 90, seed)).save(folder / f"photo{seed}.png")
    return folder


def test_scores_come_with_intervals_baselines_and_the_whole_protocol(answer, pixelwise, folder, model):
    values = answer("evaluate", model, f"folder:{folder}", "--size", 48)
    assert set(values) >= SCORES
    assert set(values["baselines"]) == {"grey", "mean ab"}
    assert all(set(values[name]) == {"value", "low", "high"} for name in SCORES)
    assert values["baselines"]["grey"]["cross_entropy"]["value"] is None
    protocol = values["protocol"]
    assert (protocol["size"], protocol["temperature"], protocol["saturation"]) == (48, 1.0, 1.0)
    assert (values["num_photos"], values["failed"], values["colourless"]) == (3, [], [])
    assert values["model"]["name"] == str(model)
    printed = pixelwise("evaluate", model, f"folder:{folder}", "--size", "48").stdout
    assert f"{values['ciede2000']['value']:.3f} (" in printed
    for step in ("read", "given", "decoded", "joined", "compared", "conventions", "baselines"):
        assert f"{step}: {protocol[step]}" in printed


def test_a_damaged_photo_is_named_the_rest_scored_and_grey_photos_left_out(pixelwise, folder, model):
    (folder / "damaged.jpg").write_bytes(b"no photo")
    Image.fromarray(scene()).convert("L").save(folder / "grey.png")
    done = pixelwise("evaluate", model, f"folder:{folder}", "--size", "48", "--json")
    assert done.returncode == 1
    values = json.loads(done.stdout)
    assert [one["path"] for one in values["failed"]] == [str(folder / "damaged.jpg")]
    assert values["failed"][0]["error"] in done.stderr
    assert values["colourless"] == [str(folder / "grey.png")]
    assert values["num_photos"] == 3


def test_a_page_shows_scores_warnings_and_each_photo_four_times(pixelwise, folder, model, tmp_path):
    args = ("evaluate", model, f"folder:{folder}", "--size", 48, "--saturation", 0.01)
    done = pixelwise(*args, "--page", tmp_path / "page.html")
    assert done.returncode == 0
    assert "pixelwise: warning: collapsed to grey" in done.stderr
    assert f"wrote {tmp_path / 'page.html'}" in done.stdout
    page = Page((tmp_path / "page.html").read_text())
    assert page.faults == []
    assert re.search(r"CIEDE2000\s+(\d+\.\d+)", done.stdout)[1] in page.text
    assert "collapsed to grey" in page.text
    of_one = [alt for alt in page.pictures if alt.startswith("photo1.png: ")]
    assert len(of_one) == 4
    assert page.picture(of_one[0]).size == (64, 48)  # of 68 x 90, its short side 48


@pytest.mark.slow
def test_photos_may_have_names_that_are_not_utf8(program, folder, model, tmp_path):
    (folder / "photo0.png").rename(folder / os.fsdecode(b"Gro\xdf.png"))
    page = tmp_path / "page.html"
    command = [*program, "evaluate", model, f"folder:{folder}", "--size", "48", "--page", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Gro\\udcdf.png" in done.stderr
    assert "Gro?" in page.read_text()


def test_options_that_do_not_belong_are_one_clear_line(refused, folder):
    for arguments, value in {
        ("photo", "synthetic:shapes", "--size", "64"): "synthetic:shapes",
        ("photo", f"folder:{folder}", "--part", "val"): "photo",
        ("flower", "flowers17", "--temperature", "2"): "flower",
        ("photo", f"folder:{folder}", "--size", "4"): "4",
        ("photo", f"folder:{folder / 'none'}"): str(folder / "none"),
        ("photo", "synthetic:shapes"): "needed cnn or unet to score synthetic:shapes, got photo",
        (folder / "run", "synthetic:shapes", "--json"): str(folder / "run"),
    }.items():
        assert value in refused("evaluate", *arguments)


@pytest.mark.slow
def test_a_trained_network_scores_above_its_baselines(answer, pixelwise, tmp_path):
    answer("train", "unet", "synthetic:shapes", "--recipe", "fast", "--epochs", 2, "--out", tmp_path / "run")
    values = answer("evaluate", tmp_path / "run", "synthetic:shapes")
    assert set(values) == {"accuracy", "loss", "baselines"}
    assert set(values["accuracy"]) == {"value", "low", "high"}
    assert values["accuracy"]["low"] > values["baselines"]["grey level"]["accuracy"]["high"]
    shown = pixelwise("evaluate", tmp_path / "run", "synthetic:shapes").stdout
    assert f"{values['accuracy']['value']:.2f}" in shown
