"""The verb evaluate, through the command line."""

import pytest


@pytest.mark.slow
def test_a_trained_network_scores_above_its_baselines(answer, pixelwise, tmp_path):
    answer("train", "unet", "synthetic:shapes", "--recipe", "fast", "--epochs", 2, "--out", tmp_path / "run")
    values = answer("evaluate", tmp_path / "run", "synthetic:shapes")
    assert set(values) == {"accuracy", "loss", "baselines"}
    assert set(values["accuracy"]) == {"value", "low", "high"}
    assert values["accuracy"]["low"] > values["baselines"]["grey level"]["accuracy"]["high"]
    shown = pixelwise("evaluate", tmp_path / "run", "synthetic:shapes").stdout
    assert f"{values['accuracy']['value']:.2f}" in shown


def test_a_model_that_cannot_be_scored_is_one_clear_line(refused, tmp_path):
    assert "needed cnn or unet to score synthetic:shapes, got photo" in refused(
        "evaluate", "photo", "synthetic:shapes"
    )
    assert str(tmp_path / "none") in refused("evaluate", tmp_path / "none", "synthetic:shapes", "--json")
