"""A colouriser of one's own photos, through the command line: learned, stopped, gone on with, used."""

import shutil

import pytest

from fixtures.ctrl_c import ctrl_c
from fixtures.sunsets import HEIGHT, folder_of_sunsets
from pixelwise.cli.app import run
from pixelwise.files import checksum
from pixelwise.training.runs import WEIGHTS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run that Ctrl-C stopped halfway, one that nothing stopped, and the photos of both."""
    folder = tmp_path_factory.mktemp("runs")
    source = f"folder:{folder_of_sunsets(folder / 'sunsets', 24)}"
    small = ["--epochs", "12", "--batch-size", "4", "--num-colours", "12", "--size", str(HEIGHT)]
    begin = ["train", "colournet", source, *small]
    assert run([*begin, "--out", str(folder / "whole")]) == 0
    with ctrl_c():
        assert run([*begin, "--out", str(folder / "stopped")]) == 130
    return folder


def test_a_run_that_was_stopped_goes_on_bit_for_bit(answer, runs, tmp_path):
    stopped = shutil.copytree(runs / "stopped", tmp_path / "run")
    answer("train", "--resume", "-o", stopped)
    assert checksum(stopped / WEIGHTS) == checksum(runs / "whole" / WEIGHTS)


def test_it_learned_what_skies_and_seas_look_like(answer, runs, tmp_path):
    others = folder_of_sunsets(tmp_path / "others", 6)
    scores = answer("evaluate", runs / "whole", f"folder:{others}")
    assert scores["ciede2000"]["value"] < 0.7 * scores["baselines"]["mean ab"]["ciede2000"]["value"]
    assert 0.6 < scores["colourfulness_ratio"]["value"] < 1.4
