"""Suggested hints and warnings, through the command line, with the shipped model."""

import re

import pytest
from PIL import Image

from fixtures.photos.make import scene
from pixelwise.photos.provenance import read_provenance

pytestmark = pytest.mark.core


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(scene(90, 120)).convert("L").save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_hints_for_people(pixelwise, photo, tmp_path):
    done = pixelwise("colourise", photo, "-o", tmp_path / "out", "--suggest-hints", 3)
    assert done.returncode == 0, done.stderr
    first, *hints, last = done.stdout.splitlines()
    assert first == f"{tmp_path}/out/a.png: the true colours here would help most:"
    assert len(hints) == 3
    pattern = (
        r"  --hint \d+,\d+,#[0-9a-f]{6}   settles \d+% of all doubt; guessed by \d+%, or #[0-9a-f]{6} \("
    )
    assert all(re.match(pattern, hint) for hint in hints)
    assert last.startswith("1 photo coloured in ")


def test_of_a_photo_that_fails_nothing_is_left(pixelwise, model, photo, tmp_path):
    out = tmp_path / "out"
    cut = tmp_path / "cut.png"
    cut.write_bytes(photo.read_bytes()[:-2000])
    options = ("-o", out, "--model", model, "--confidence", "--alternatives", 2)
    done = pixelwise("colourise", cut, *options)
    assert done.returncode == 1, done.stderr
    assert not list(out.iterdir())
    (out / "a.2.png").mkdir(parents=True)  # the second copy has no place
    done = pixelwise("colourise", photo, *options)
    assert done.returncode == 1, done.stderr
    assert [path.name for path in out.iterdir()] == ["a.2.png"]


def test_the_reference_is_held_to_the_same_limit(refused, model, photo, tmp_path):
    Image.new("RGB", (400, 300), "#c03030").save(tmp_path / "red.png")
    args = ["colourise", photo, "-o", tmp_path / "out", "--model", model, "--reference", tmp_path / "red.png"]
    told = refused(*args, "--max-megapixels", 0.1)
    assert "red.png: needed a photo of at most 0.1 megapixels" in told


def test_a_copy_says_that_it_is_one_unless_told_not_to(pixelwise, model, photo, tmp_path):
    pixelwise("colourise", photo, "-o", tmp_path / "out", "--temperature", 0.5)
    record = read_provenance(tmp_path / "out" / "a.png")
    assert record.model == "photo"
    assert len(record.model_sha256) == 64
    assert (record.settings["temperature"], record.settings["saturation"]) == (0.5, 1.0)
    again = pixelwise("colourise", tmp_path / "out" / "a.png", "-o", tmp_path / "again", "--model", model)
    assert f"a.png: warning: was colourised already, by {record.software} with photo\n" in again.stderr
    assert "in colour already" not in again.stderr
    pixelwise("colourise", photo, "-o", tmp_path / "bare", "--model", model, "--no-provenance")
    assert read_provenance(tmp_path / "bare" / "a.png") is None
    with Image.open(tmp_path / "bare" / "a.png") as bare:
        assert "XML:com.adobe.xmp" not in bare.info
