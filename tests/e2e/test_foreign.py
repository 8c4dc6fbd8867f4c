"""Other people's colourisers through the command line; the networks are small and of the true signatures."""

import numpy as np
import pytest
from PIL import Image

from fixtures.foreign import ddcolor, write
from fixtures.photos.make import scene
from pixelwise.files import checksum
from pixelwise.photos.provenance import read_provenance

pytestmark = pytest.mark.core


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    return ddcolor(tmp_path_factory.mktemp("models") / "ddcolor.onnx", model_license="Apache-2.0")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for seed in range(2):
        Image.fromarray(scene(60 + 8 * seed, 90, seed)).save(tmp_path / "in" / f"photo{seed}.png")
    return tmp_path / "in"


def test_a_folder_is_coloured_with_hints_and_a_record(answer, theirs, folder, tmp_path):
    told = answer("colourise", folder, "-o", tmp_path / "out", "--model", theirs, "--keep-grey", "0,0,9,9")
    assert (len(told["written"]), told["failed"]) == (2, [])
    assert told["lightness_difference"] < 0.25
    record = read_provenance(tmp_path / "out" / "photo0.png")
    assert (record.model, record.model_sha256) == ("ddcolor.onnx", checksum(theirs))
    assert record.licence == "Apache-2.0"


def test_what_it_cannot_do_is_one_clear_line(refused, theirs, folder, tmp_path):
    arguments = ("colourise", folder, "-o", tmp_path / "out", "--model")
    assert "ddcolor.onnx does not give, are needed by confidence" in refused(
        *arguments, theirs, "--confidence"
    )
    other = write(tmp_path / "depth.onnx", np.ones((1, 3)), [0], 64)
    assert "output [1, 1, 64, 64] tensor(float)" in refused(*arguments, other)
    assert "temperature" in refused("evaluate", theirs, f"folder:{folder}", "--temperature", 2)


def test_it_is_scored_as_far_as_no_classes_are_needed(answer, theirs, folder, tmp_path):
    pytest.importorskip("matplotlib")
    told = answer("evaluate", theirs, f"folder:{folder}", "--size", 48, "--page", tmp_path / "page.html")
    assert told["ciede2000"]["value"] > 0
    assert told["cross_entropy"]["value"] is None
    assert told["model"]["sha256"] == checksum(theirs)
    assert "classes" not in told["protocol"]
    page = (tmp_path / "page.html").read_text()
    assert "Calibration" not in page
    assert "photo1.png" in page
