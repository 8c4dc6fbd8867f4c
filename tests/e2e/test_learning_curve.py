"""finetune --curve, through the command line."""

import pytest
from PIL import Image

from fixtures.discs import folder_of_discs

pytestmark = pytest.mark.slow


def test_the_curve_ends_in_the_score_of_all_photos_and_is_drawn_beside_the_head(
    answer, tmp_path, monkeypatch
):
    monkeypatch.setenv("PIXELWISE_CACHE", str(tmp_path / "cache"))
    folder = folder_of_discs(tmp_path / "discs", num_train=3, num_test=2)
    few = ("--sizes", 64, "--looks", 1, "--ridge", 0.01)
    values = answer("finetune", f"folder:{folder}", *few, "--curve", "-o", tmp_path / "disc.safetensors")
    assert [(row["shots"], row["draws"]) for row in values["curve"]] == [(2, 5), (3, 1)]
    for row in values["curve"]:
        assert 0 <= row["miou"]["low"] <= row["miou"]["high"] <= 1
    # both heads are within the certificate of the best: some pixels at the rim may differ
    assert abs(values["curve"][-1]["miou"]["value"] - values["after"]["miou"]) < 0.002
    assert values["forecast"] is None
    assert values["curve_picture"] == str(tmp_path / "disc.curve.png")
    with Image.open(tmp_path / "disc.curve.png") as picture:
        assert picture.width > 500
