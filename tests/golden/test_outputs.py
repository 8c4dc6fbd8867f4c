"""Pictures, masks and learned weights that must not change, as recorded before the code was rearranged.

Everything goes through the command line. Sums of floats differ in their last bits between processors and
numbers of threads, so results that are not the same bytes may differ by a mean CIEDE2000 of 0.05, an
intersection over union of 0.999 and, for weights and scores, by a thousandth; the score of the learned head,
which was recorded with features of 8 bits in place of 11, by two.
To record them anew after a change that is meant to change them: python tests/golden/test_outputs.py, with
colours, masks or head behind it for these alone.
"""

import contextlib
import hashlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from skimage.color import deltaE_ciede2000, rgb2lab

from pixelwise.cli.app import run

RECORDED = Path(__file__).parent / "recorded"
NUM_PHOTOS, NUM_POINTS = 20, 256
JOBS = {
    "default": [],
    "bolder": ["--temperature", "0.5", "--saturation", "1.3"],
    "two_hints": ["--hint", "40,60,#3b4f7a", "--hint", "150,120,#a03020"],
    "reference": ["--reference", "REFERENCE"],
    "paper_grey": ["--keep-grey", "paper"],
}
pytestmark = [pytest.mark.slow, pytest.mark.real]


def pixelwise(*args):
    """Run a verb in this process; return its JSON object."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert run([*map(str, args), "--json"]) == 0
    return json.loads(printed.getvalue().splitlines()[-1])


def photos(data):
    """Return twenty photos: ten each of two collections."""
    folder = data / "photos"
    return sorted(folder.glob("bsds_*.jpg"))[::30][:10] + sorted(folder.glob("imagenet_*.jpg"))[::95][:10]


def on_paper(data, folder):
    """Write the photos on sheets of paper as grey PNG files; return their paths."""
    paths = []
    for photo in photos(data):
        grey = np.asarray(Image.open(photo).convert("L"))
        sheet = 235 + np.random.default_rng(0).integers(-3, 4, (grey.shape[0] + 90, grey.shape[1] + 90))
        sheet[45:-45, 45:-45] = grey
        paths.append(Path(folder) / f"{photo.stem}.png")
        Image.fromarray(sheet.astype(np.uint8)).save(paths[-1])
    return paths


def flowers(data):
    return [data / "flowers17" / "jpg" / f"image_{number:04d}.jpg" for number in range(5, 1360, 68)][
        :NUM_PHOTOS
    ]


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def points(image):
    """Return the colours (256, 3) of the same random points of an image, which tell no picture."""
    rows, columns = np.random.default_rng(0).random((2, NUM_POINTS))
    return image[(rows * image.shape[0]).astype(int), (columns * image.shape[1]).astype(int)]


def coloured(data, job, model="photo"):
    """Colour the photos; return digests of all pixels and colours of some (20, 256, 3)."""
    options = [str(photos(data)[3]) if one == "REFERENCE" else one for one in JOBS[job]]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as out:
        inputs = on_paper(data, folder) if job == "paper_grey" else photos(data)
        for batch in [[one] for one in inputs] if job == "two_hints" else [inputs]:
            pixelwise("colourise", *batch, "-o", out, "--model", model, *options)
        images = [pixels(Path(out) / one.name) for one in inputs]
    return [digest(image) for image in images], np.stack([points(image) for image in images])


def masks(data):
    """Return the masks of twenty flowers by the shipped head."""
    with tempfile.TemporaryDirectory() as out:
        pixelwise("segment", *flowers(data), "--head", "flower", "-o", out)
        return [np.asarray(Image.open(Path(out) / f"{one.stem}.png")) for one in flowers(data)]


def learned_head(data):
    """Return the weights of a head of twenty flowers, and its scores."""
    with tempfile.TemporaryDirectory() as out:
        head = Path(out) / "golden.head.safetensors"
        said = pixelwise(
            "finetune", "flowers17", "--shots", 20, "--seed", 7, "--out", head, "--data-dir", data
        )
        tensors = load_file(head)
    return tensors, {name: said[name] for name in ("before", "after", "num_images", "num_learned", "classes")}


def learned_colouriser(data):
    """Return the file digest of a colouriser of 32 flowers and colours of the photos by it."""
    with tempfile.TemporaryDirectory() as out:
        folder = Path(out) / "garden"
        folder.mkdir()
        for one in sorted((data / "flowers17" / "jpg").glob("*.jpg"))[::42][:32]:
            (folder / one.name).symlink_to(one)
        model = Path(out) / "garden.safetensors"
        pixelwise("finetune", f"folder:{folder}", "--task", "colour", "--seed", 7, "--out", model)
        return coloured(data, "default", model)


def write_recorded(data, parts):
    """Record some parts, or all, under `RECORDED`, and leave the others as they are."""
    told = recorded()
    digests = told["digests"]
    if "colours" in parts:
        colours = {}
        for job in JOBS:
            digests[job], colours[job] = coloured(data, job)
        digests["personal"], colours["personal"] = learned_colouriser(data)
        np.savez_compressed(RECORDED / "colours.npz", **colours)
    if "masks" in parts:
        found = masks(data)
        digests["masks"] = [digest(one) for one in found]
        np.savez_compressed(
            RECORDED / "masks.npz", **{f"m{index}": np.packbits(one > 0) for index, one in enumerate(found)}
        )
    if "head" in parts:
        tensors, told["head"] = learned_head(data)
        np.savez_compressed(RECORDED / "head.npz", **tensors)
    (RECORDED / "recorded.json").write_text(json.dumps(told, indent=1) + "\n")


def recorded():
    return json.loads((RECORDED / "recorded.json").read_text())


def require_same_colours(job, digests, colours):
    if digests == recorded()["digests"][job]:
        return
    before, now = (rgb2lab(one / 255.0) for one in (np.load(RECORDED / "colours.npz")[job], colours))
    assert deltaE_ciede2000(before, now).mean(-1).max() < 0.05


@pytest.fixture(autouse=True)
def _no_features_from_before(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.parametrize("job", JOBS)
def test_photos_are_coloured_as_before(real_data_dir, job):
    require_same_colours(job, *coloured(real_data_dir, job))


def test_a_personal_colouriser_colours_as_before(real_data_dir):
    require_same_colours("personal", *learned_colouriser(real_data_dir))


def test_masks_are_as_before(real_data_dir):
    before = np.load(RECORDED / "masks.npz")
    for index, mask in enumerate(masks(real_data_dir)):
        if digest(mask) == recorded()["digests"]["masks"][index]:
            continue
        old, new = np.unpackbits(before[f"m{index}"], count=mask.size).astype(bool), mask.ravel() > 0
        assert (old & new).sum() >= 0.999 * (old | new).sum()


def test_a_head_of_twenty_flowers_is_as_before(real_data_dir):
    tensors, scores = learned_head(real_data_dir)
    before, told = np.load(RECORDED / "head.npz"), recorded()["head"]
    assert sorted(tensors) == sorted(before)
    for name, values in tensors.items():
        assert np.linalg.norm(values - before[name]) <= 1e-3 * np.linalg.norm(before[name])
    assert scores["after"]["miou"] == pytest.approx(told["after"]["miou"], abs=2e-3)
    assert scores["before"]["miou"] == pytest.approx(told["before"]["miou"], abs=1e-3)
    assert {one: scores[one] for one in ("num_images", "num_learned", "classes")} == {
        one: told[one] for one in ("num_images", "num_learned", "classes")
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        write_recorded(Path(os.environ["PIXELWISE_DATA"]), sys.argv[1:] or ("colours", "masks", "head"))
