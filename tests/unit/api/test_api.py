"""From Python: pictures of every kind in and out, recolouring without the network, scikit-learn's manner."""

import doctest
import importlib
import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_sample_image
from sklearn.model_selection import GridSearchCV, cross_val_score

import pixelwise
from fixtures.discs import HEIGHT, WIDTH, disc
from pixelwise.api.images import file_state
from pixelwise.colourising.options import ColouriseOptions
from pixelwise.colourising.run import colourise_files
from pixelwise.errors import ConfigError, LabelError, PhotoError, ShapeError
from pixelwise.network.backbone import open_backbone
from pixelwise.network.model import open_model
from pixelwise.segmenting.heads import open_head, write_head
from pixelwise.segmenting.run import segment_files


@pytest.fixture(scope="module")
def flower():
    """A red dahlia on green, 213 x 320."""
    return np.asarray(Image.fromarray(load_sample_image("flower.jpg")).resize((320, 213)))


@pytest.fixture(scope="module")
def coloured(flower):
    return pixelwise.colourise(flower)


def test_import_alone_imports_nothing_heavy():
    code = "import sys, pixelwise; assert 'torch' not in sys.modules; assert 'colourise' in dir(pixelwise)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["colour", "segmentation"])
def test_examples_in_docstrings_run(name):
    results = doctest.testmod(importlib.import_module(f"pixelwise.api.{name}"))
    assert (results.attempted > 0, results.failed) == (True, 0)


def test_a_picture_has_the_pixels_that_the_command_line_writes(flower, tmp_path):
    Image.fromarray(flower).save(tmp_path / "flower.png")
    options = ColouriseOptions(temperature=0.5, saturation=1.5)
    colourise_files([str(tmp_path / "flower.png")], tmp_path / "out", open_model(), options)
    written = np.asarray(Image.open(tmp_path / "out" / "flower.png"))
    from_path = pixelwise.colourise(tmp_path / "flower.png", temperature=0.5, saturation=1.5)
    assert (np.asarray(from_path) == written).all()
    in_memory = pixelwise.colourise(flower, temperature=0.5).with_(saturation=1.5)
    assert (np.asarray(in_memory) == written).all()


def test_every_kind_of_picture_in_and_out(flower, coloured):
    codes, tensor = np.asarray(coloured), torch.from_numpy(flower.copy()).movedim(-1, 0)
    assert codes.dtype == np.uint8
    for kind in (Image.fromarray(flower), tensor):
        assert (np.asarray(pixelwise.colourise(kind)) == codes).all()
    beyond = flower / 255 * 1.0000001  # as sums of floats may be
    for precise in (
        flower / 255,
        tensor / 255,
        (flower / 255).astype(">f4"),
        (flower / 255).astype("f2"),
        beyond,
    ):
        found = np.asarray(pixelwise.colourise(precise))
        assert found.dtype == np.uint16
        assert abs(found / 257 - codes.astype(float)).max() < 3
    assert coloured.image.size == (320, 213)
    assert np.asarray(coloured, dtype=np.float32).dtype == np.float32
    assert 0 <= coloured.confidence.min() <= coloured.confidence.max() <= 1


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK", "I;16", "YCbCr"])
def test_modes_of_pil(mode, flower):
    image = Image.fromarray(flower)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    elif mode in ("LA", "RGBA"):
        image = image.convert(mode)
    else:
        image = image.convert("L" if mode == "1" else "RGB").convert(mode)
    found = pixelwise.colourise(image)
    assert found.codes.shape == (213, 320, 4 if mode in ("LA", "RGBA") else 3)
    assert found.codes.dtype == (np.uint16 if mode == "I;16" else np.uint8)


@pytest.mark.parametrize(
    ("picture", "error", "message"),
    [
        (np.zeros((3, 20, 30), np.uint8), ShapeError, r"\(3, 20, 30\)"),
        (torch.zeros(20, 30, 3), ShapeError, r"\(20, 30, 3\)"),
        (np.zeros((0, 5, 3), np.uint8), ShapeError, r"\(0, 5, 3\)"),
        (np.full((9, 9), 200.0), PhotoError, "200 to 200"),
        (np.append(np.zeros((9, 8)), np.full((9, 1), np.nan), axis=1), PhotoError, "nan"),
        (np.zeros((9, 9), np.int64), PhotoError, "int64"),
        (Image.new("F", (9, 9)), PhotoError, "mode F"),
        ("nothing.jpg", PhotoError, "nothing.jpg"),
    ],
)
def test_what_is_no_picture(picture, error, message):
    with pytest.raises(error, match=message):
        pixelwise.colourise(picture)


def test_a_picture_is_coloured_again_by_other_options(coloured):
    assert np.ptp(np.asarray(coloured.with_(saturation=0)).astype(int), axis=2).max() <= 1
    hinted = coloured.with_(hints=["100,160,#3050c0"])
    assert hinted.guess is coloured.guess  # the network has not run again
    red, _, blue = np.asarray(hinted)[100, 160].astype(int)
    assert blue > red + 20
    assert hinted.with_(hints=[]).options == coloured.options
    assert hinted.with_(temperature=None, hints=None).options == hinted.options
    (hint,) = coloured.next_hints(1)
    assert 0 <= hint.row < 213
    first, second = coloured.alternatives(2)
    assert (np.asarray(first) == np.asarray(coloured)).all()
    assert abs(np.asarray(first).astype(int) - np.asarray(second)).mean() > 1
    with pytest.raises(ConfigError, match="-1"):
        coloured.with_(saturation=-1)


def test_a_flower_is_cut_out_as_by_the_command_line(flower, tmp_path):
    found = pixelwise.segment(flower)
    Image.fromarray(flower).save(tmp_path / "flower.png")
    head = open_head("flower")
    segment_files([str(tmp_path / "flower.png")], tmp_path / "out", [head], open_backbone(head.backbone))
    assert (found.labels == np.asarray(Image.open(tmp_path / "out" / "flower.png"))).all()
    assert found.labels[110, 160] == 1
    assert (found.mask("flower") == found.labels).all()
    probs = found.probs()
    assert (probs.argmax(0) == found.labels).all()
    assert probs.sum(0) == pytest.approx(1, abs=1e-5)
    assert (np.asarray(found) == found.labels).all()
    cut = np.asarray(found.cut_out("flower"))
    assert (cut[..., 3] == 255 * found.labels).all()
    assert not cut[found.labels == 0].any()
    assert found.overlay().size == (320, 213)
    with pytest.raises(LabelError, match="flowr"):
        found.mask("flowr")


def discs(num, seed=0):
    drawn = [disc(10 * seed + number) for number in range(num)]
    return [pixels for pixels, _ in drawn], [labels == 1 for _, labels in drawn]


@pytest.fixture(scope="module")
def learned():
    pictures, masks = discs(4)
    return pixelwise.Segmenter(sizes=(96,), num_views=2, ridge=0.1).fit(pictures, masks)


def test_a_head_is_learned_from_a_few_masks(learned, tmp_path):
    pictures, masks = discs(3, seed=1)
    assert learned.class_names_ == ("background", "object")
    assert learned.score(pictures, masks) > 0.9
    one, several = learned.predict(pictures[0]), learned.predict(pictures)
    assert (one == several[0]).all()
    assert (learned.predict_proba(pictures[0]).argmax(0) == one).all()
    path = learned.save(tmp_path / "disc.head.safetensors")
    assert open_head(path).classes.names == ("background", "object")
    assert (pixelwise.segment(pictures[0], head=path).labels == one).all()
    assert (pixelwise.segment(pictures[0], head=learned.head_).labels == one).all()
    assert (pickle.loads(pickle.dumps(learned)).predict(pictures[0]) == one).all()


def test_a_head_written_anew_is_opened_anew(learned, tmp_path):
    (picture,), _ = discs(1, seed=3)
    head, path = learned.head_, tmp_path / "disc.head.safetensors"
    swapped = replace(head.weights, weight=head.weights.weight[::-1], bias=head.weights.bias[::-1])
    write_head(path, head)
    before = pixelwise.segment(picture, head=path).labels
    write_head(path, replace(head, weights=swapped))
    assert (pixelwise.segment(picture, head=path).labels == 1 - before).all()


def test_a_run_folder_of_which_a_file_is_written_anew_is_another(tmp_path):
    (tmp_path / "model").write_text("first")
    before = file_state(str(tmp_path))
    (tmp_path / "model").write_text("and another")  # in place: the folder itself has not changed
    assert file_state(str(tmp_path)) != before
    assert file_state("flower") == ()


def test_threads_may_share_a_segmenter(learned):
    pictures, _ = discs(4, seed=2)
    expected = [pixelwise.segment(picture, head=learned.head_).labels for picture in pictures]
    with ThreadPoolExecutor(2) as pool:
        for found, labels in zip(pool.map(learned.predict, pictures), expected, strict=True):
            assert (found == labels).all()


@pytest.mark.slow
def test_features_are_extracted_once(tmp_path):
    pictures, masks = discs(3)
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture).save(path)
    segmenter = pixelwise.Segmenter(sizes=(64,), num_views=1)
    before = segmenter.fit(pictures, masks).head_.weights.weight
    assert np.array_equal(segmenter.fit(paths, masks).head_.weights.weight, before)
    assert not np.array_equal(segmenter.fit(paths, [~mask for mask in masks]).head_.weights.weight, before)
    pictures[2][:] = 0
    Image.fromarray(pictures[2]).save(paths[2])  # written anew, it is another picture
    assert (segmenter.predict(paths[2]) == segmenter.predict(pictures[2])).all()


@pytest.mark.slow
def test_it_is_an_estimator_of_scikit_learn(learned):
    pictures, masks = discs(4)
    assert clone(learned).get_params() == learned.get_params()
    assert not hasattr(clone(learned), "head_")
    segmenter = pixelwise.Segmenter(sizes=(64,), num_views=1)
    search = GridSearchCV(segmenter, {"ridge": [1e-4, 1e4]}, cv=2).fit(pictures, masks)
    assert search.best_params_ == {"ridge": 1e-4}
    assert search.best_score_ > 0.5
    assert cross_val_score(segmenter.set_params(ridge=1e-4), pictures, masks, cv=2).mean() > 0.5
    with pytest.raises(ShapeError, match="4 and 3"):
        search.best_estimator_.score(pictures, masks[:3])


def test_one_that_has_not_learned_says_so(tmp_path):
    segmenter = pixelwise.Segmenter(num_views=1)
    with pytest.raises(ConfigError, match="fit"):
        segmenter.predict(discs(1)[0])
    with pytest.raises(ConfigError, match="fit"):
        segmenter.save(tmp_path / "disc.head.safetensors")
    with pytest.raises(ConfigError, match="views"):
        segmenter.set_params(views=2)


def test_masks_of_0_and_255_are_background_and_object_and_any_iterable_does():
    pictures, masks = discs(2)
    segmenter = pixelwise.Segmenter(sizes=(64,), num_views=1)
    usual = segmenter.fit(pictures, masks).predict(pictures)
    whites = [255 * (mask > 0).astype(np.uint8) for mask in masks]
    again = segmenter.fit(iter(pictures), iter(whites)).predict(iter(pictures))
    assert np.array_equal(usual, again)
    assert segmenter.score(pictures, whites) == segmenter.score(pictures, masks)
    with pytest.raises(PhotoError, match="NoneType"):
        segmenter.predict(None)


@pytest.mark.parametrize(
    ("images", "masks", "error", "message"),
    [
        (discs(2)[0], discs(1)[1], ShapeError, "2 and 1"),
        ([], [], ShapeError, "0 and 0"),
        (discs(1)[0][0], discs(1)[1], ShapeError, "single picture"),
        (discs(1)[0], [np.zeros((5, 5), int)], ShapeError, r"\(5, 5\)"),
        (discs(1)[0], [np.zeros((HEIGHT, WIDTH))], LabelError, "float64"),
        (discs(1)[0], [np.full((HEIGHT, WIDTH), 300)], LabelError, "300"),
        (discs(1)[0], [np.full((HEIGHT, WIDTH), 255)], LabelError, "labelled pixels"),
        (discs(1)[0], [np.full((HEIGHT, WIDTH), 1)], LabelError, "two classes"),
    ],
)
def test_what_cannot_be_learned_from(images, masks, error, message):
    with pytest.raises(error, match=message):
        pixelwise.Segmenter(sizes=(64,), num_views=1).fit(images, masks)


PAGE = Path(__file__).parents[3] / "docs" / "python.md"


@pytest.mark.slow
def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flower = Image.fromarray(load_sample_image("flower.jpg"))
    flower.save("garden.jpg")
    flower.convert("L").save("grandmother.jpg")
    small = np.asarray(flower.resize((96, 64)))
    mask = small[..., 0] > 140
    given = {"pictures": [small] * 2, "masks": [mask] * 2, "corrected_masks": [~mask] * 2}
    given |= {"others": [small], "true_masks": [mask]}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        exec(block.replace("Segmenter(", "Segmenter(sizes=(64,), num_views=1, "), given)
    assert len(given["variants"]) == 4
    assert given["found"].labels.shape == (427, 640)
    names = "garden.jpg grandmother.jpg grandmother-coloured.jpg cut.png leaf.head.safetensors"
    assert {path.name for path in tmp_path.iterdir()} == set(names.split())
