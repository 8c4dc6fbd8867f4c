"""The verb suggest, through the command line."""

import pytest

from fixtures.discs import folder_of_discs

pytestmark = pytest.mark.core


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
