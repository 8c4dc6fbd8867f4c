"""The verb evaluate, through the command line."""

import json

import pytest


@pytest.mark.slow
def test_a_trained_network_scores_above_its_baselines(pixelwise, tmp_path):
    trained = pixelwise(
        "train", "unet", "synthetic:shapes", "--recipe", "fast", "--epochs", 2, "--out", tmp_path / "run"
    )
    assert trained.returncode == 0, trained.stderr
    done = pixelwise("evaluate", tmp_path / "run", "synthetic:shapes", "--json")
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert set(values) == {"accuracy", "loss", "baselines"}
    assert set(values["accuracy"]) == {"value", "low", "high"}
    assert values["accuracy"]["low"] > values["baselines"]["grey level"]["accuracy"]["high"]
    shown = pixelwise("evaluate", tmp_path / "run", "synthetic:shapes").stdout
    assert f"{values['accuracy']['value']:.2f}" in shown


def test_a_model_that_is_not_there_is_one_clear_line(pixelwise, tmp_path):
    done = pixelwise("evaluate", tmp_path / "none", "synthetic:shapes", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert str(tmp_path / "none") in done.stderr
