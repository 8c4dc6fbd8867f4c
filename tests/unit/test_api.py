"""From Python: pictures of every kind in and out, recolouring without the network, scikit-learn's manner."""

import doctest
import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyvips
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_sample_image
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import pixelwise
from fixtures.photos.make import profile_of
from pixelwise.api.images import photo_from
from pixelwise.backbones import open_backbone
from pixelwise.colourising import colourise as colourise_files
from pixelwise.control.options import ColouriseOptions
from pixelwise.errors import ConfigError, LabelError, PhotoError, PixelwiseError, ShapeError
from pixelwise.heads import open_head
from pixelwise.photos.provenance import read_provenance
from pixelwise.runs import open_model
from pixelwise.segmenting import segment as segment_files


@pytest.fixture(scope="module")
def flower():
    """A red dahlia on green, 213 x 320."""
    return np.asarray(Image.fromarray(load_sample_image("flower.jpg")).resize((320, 213)))


@pytest.fixture(scope="module")
def coloured(flower):
    return pixelwise.colourise(flower)


@pytest.mark.parametrize("name", ["colour", "learning", "segmentation"])
def test_examples_in_docstrings_run(name):
    results = doctest.testmod(importlib.import_module(f"pixelwise.api.{name}"))
    assert results.attempted > 0
    assert results.failed == 0


def test_import_alone_imports_nothing_heavy():
    code = "import sys, pixelwise; assert 'torch' not in sys.modules; assert 'colourise' in dir(pixelwise)"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'colorize'"):
        _ = pixelwise.colorize


def test_a_picture_has_the_pixels_that_the_command_line_writes(flower, tmp_path):
    Image.fromarray(flower).save(tmp_path / "flower.png")
    options = ColouriseOptions(temperature=0.5, saturation=1.5)
    colourise_files([str(tmp_path / "flower.png")], tmp_path / "out", open_model(), options)
    written = np.asarray(Image.open(tmp_path / "out" / "flower.png"))
    from_path = pixelwise.colourise(tmp_path / "flower.png", temperature=0.5, saturation=1.5)
    assert (np.asarray(from_path) == written).all()
    in_memory = pixelwise.colourise(flower, temperature=0.5).with_(saturation=1.5)
    assert (np.asarray(in_memory) == written).all()


def test_every_kind_of_picture_in(flower, coloured):
    codes = np.asarray(coloured)
    assert codes.dtype == np.uint8
    kinds = [
        Image.fromarray(flower),
        torch.from_numpy(flower.copy()).movedim(-1, 0),
        np.dstack([flower, np.full(flower.shape[:2], 255, np.uint8)])[..., :3],
    ]
    for kind in kinds:
        assert (np.asarray(pixelwise.colourise(kind)) == codes).all()
    precise = pixelwise.colourise(flower / 255)
    assert np.asarray(precise).dtype == np.uint16
    assert abs(np.asarray(precise) / 257 - codes.astype(float)).max() < 3
    as_floats = pixelwise.colourise(torch.from_numpy(flower.copy()).movedim(-1, 0) / 255).tensor
    assert as_floats.shape == (3, 213, 320)
    assert 0 <= float(as_floats.min()) < float(as_floats.max()) <= 1


def test_every_kind_of_picture_out(coloured):
    assert coloured.image.size == (320, 213)
    assert coloured.tensor.shape == (3, 213, 320)
    assert np.asarray(coloured, dtype=np.float32).dtype == np.float32
    assert coloured.confidence.min() >= 0
    assert coloured.confidence.max() <= 1
    html = coloured._repr_html_()
    assert html.count("<img") == 2
    assert "http" not in html
    assert coloured._repr_png_().startswith(b"\x89PNG")


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


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_pil_image_of_another_colour_space_is_brought_into_srgb(mode, flower):
    in_p3 = pyvips.Image.new_from_array(flower).icc_transform("p3", input_profile="srgb").numpy()
    assert np.abs(in_p3.astype(int) - flower).max() > 20
    image = Image.fromarray(in_p3).convert(mode)
    image.info["icc_profile"] = profile_of("p3")
    codes = np.concatenate(list(photo_from(image).strips()))
    assert codes.shape[2] == len(mode)
    assert np.abs(codes[..., :3].astype(int) - flower).mean() < 1


def test_a_damaged_profile_is_as_good_as_none(flower, coloured):
    image = Image.fromarray(flower)
    image.info["icc_profile"] = profile_of("p3")[:200]
    assert (np.asarray(pixelwise.colourise(image)) == np.asarray(coloured)).all()


def test_a_turned_pil_image_is_turned(flower):
    image, exif = Image.fromarray(flower), Image.Exif()
    exif[0x0112] = 6
    image.info["exif"] = exif.tobytes()
    assert pixelwise.colourise(image).image.size == (213, 320)


@pytest.mark.parametrize(
    ("picture", "error", "message"),
    [
        (np.zeros((3, 20, 30), np.uint8), ShapeError, "numpy arrays have their channels last"),
        (torch.zeros(20, 30, 3), ShapeError, "numpy arrays have their channels last, tensors first"),
        (np.zeros((0, 5, 3), np.uint8), ShapeError, "needed an array"),
        (np.full((9, 9), 200.0), PhotoError, "needed floats from 0 to 1, got 200 to 200"),
        (np.full((9, 9), np.nan), PhotoError, "got 81 of 81 that are no numbers or infinite"),
        (np.append(np.zeros((9, 8)), np.full((9, 1), np.inf), axis=1), PhotoError, "got 9 of 81"),
        (np.zeros((9, 9), np.int64), PhotoError, "needed uint8, uint16 or floats from 0 to 1, got int64"),
        (Image.new("F", (9, 9)), PhotoError, "needed a PIL image of 8 or 16 bit, got mode F"),
        ("nothing.jpg", PhotoError, "nothing.jpg"),
    ],
)
def test_what_is_no_picture(picture, error, message):
    with pytest.raises(error, match=message):
        pixelwise.colourise(picture)


def test_other_colours_do_not_run_the_network_again(coloured, monkeypatch):
    def fail(*_):
        raise AssertionError

    monkeypatch.setattr("pixelwise.api.colour.predict", fail)
    assert np.ptp(np.asarray(coloured.with_(saturation=0)).astype(int), axis=2).max() <= 1
    hinted = coloured.with_(hints=["100,160,#3050c0"])
    there = np.asarray(hinted)[100, 160].astype(int)
    assert there[2] > there[0] + 20
    assert hinted.with_(hints=[]).options == coloured.options
    (hint,) = coloured.next_hints(1)
    assert 0 <= hint.row < 213
    first, second = coloured.alternatives(2)
    assert (np.asarray(first) == np.asarray(coloured)).all()
    assert abs(np.asarray(first).astype(int) - np.asarray(second)).mean() > 1
    with pytest.raises(ConfigError, match="saturation needs to be from 0 to 10"):
        coloured.with_(saturation=-1)


def test_a_reference_and_what_stays_grey(flower, tmp_path):
    Image.fromarray(flower).save(tmp_path / "like.png")
    found = pixelwise.colourise(flower, reference=tmp_path / "like.png", keep_grey=["0,0,40,320"])
    assert np.ptp(np.asarray(found)[:30].astype(int), axis=2).max() <= 1
    assert found.with_(saturation=0.5).options.keep_grey == found.options.keep_grey


def test_saved_pictures_say_what_they_are(coloured, tmp_path):
    assert coloured.save(tmp_path / "a.png") == tmp_path / "a.png"
    assert (np.asarray(Image.open(tmp_path / "a.png")) == np.asarray(coloured)).all()
    assert read_provenance(tmp_path / "a.png").model == "photo"
    for suffix in ("jpg", "webp", "tif"):
        assert coloured.save(tmp_path / f"a.{suffix}").is_file()
    with pytest.raises(ConfigError, match=r"needed a name that ends in one of .*\.jpg"):
        coloured.save(tmp_path / "a.gif")


def test_a_flower_is_cut_out(flower):
    found = pixelwise.segment(flower)
    assert found.labels.shape == flower.shape[:2]
    assert found.labels[110, 160] == 1
    assert found.mask("flower").mean() == pytest.approx(found.labels.mean())
    probs = found.probs()
    assert (probs.argmax(0) == found.labels).all()
    assert probs.sum(0) == pytest.approx(1, abs=1e-5)
    assert (np.asarray(found) == found.labels).all()
    assert np.asarray(found.cut_out("flower"))[..., 3].astype(bool).mean() == pytest.approx(
        found.labels.mean()
    )
    assert found.overlay().size == (320, 213)
    assert "flower" in found._repr_html_()
    assert found._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(LabelError, match="perhaps you meant flower"):
        found.mask("flowr")


def test_masks_are_those_that_the_command_line_writes(flower, tmp_path):
    Image.fromarray(flower).save(tmp_path / "flower.png")
    head = open_head("flower")
    segment_files([str(tmp_path / "flower.png")], tmp_path / "out", [head], open_backbone(head.backbone))
    written = np.asarray(Image.open(tmp_path / "out" / "flower.png"))
    assert 0 < written.mean() < 1
    assert (pixelwise.segment(flower).labels == written).all()


def discs(num, seed=0):
    """Pictures of a bright disc on a dark slope, and where it is."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:96, :128]
    pictures, masks = [], []
    for _ in range(num):
        row, column, radius = rng.uniform(30, 66), rng.uniform(30, 98), rng.uniform(12, 26)
        inside = np.hypot(rows - row, columns - column) < radius
        picture = np.zeros((96, 128, 3), np.uint8) + (rows + columns)[..., None].astype(np.uint8) // 4
        picture[inside] = 230, 180, 40
        pictures.append(picture)
        masks.append(inside)
    return pictures, masks


@pytest.fixture(scope="module")
def learned():
    pictures, masks = discs(4)
    return pixelwise.Segmenter(sizes=(96,), looks=2).fit(pictures, masks)


def test_a_head_is_learned_from_a_few_masks(learned, tmp_path):
    pictures, masks = discs(3, seed=1)
    assert learned.class_names_ == ("background", "object")
    assert learned.score(pictures, masks) > 0.9
    one, several = learned.predict(pictures[0]), learned.predict(pictures)
    assert (one == several[0]).all()
    assert (learned.predict_proba(pictures[0]).argmax(0) == one).all()
    assert len(learned.predict_proba(pictures)) == 3
    path = learned.save(tmp_path / "disc.head.safetensors")
    assert open_head(path).classes.names == ("background", "object")
    assert (pixelwise.segment(pictures[0], head=path).labels == one).all()
    assert (pixelwise.segment(pictures[0], head=learned.head_).labels == one).all()
    assert (pickle.loads(pickle.dumps(learned)).predict(pictures[0]) == one).all()


def test_a_head_written_anew_is_opened_anew(tmp_path):
    (picture,), (mask,) = discs(1)
    segmenter, path = pixelwise.Segmenter(sizes=(64,), looks=1), tmp_path / "disc.head.safetensors"
    for truth in (mask, ~mask):
        segmenter.fit([picture], [truth]).save(path)
        assert (pixelwise.segment(picture, head=path).labels == segmenter.predict(picture)).all()


def test_masks_can_be_corrected_without_looking_again(monkeypatch):
    pictures, masks = discs(2)
    segmenter = pixelwise.Segmenter(sizes=(64,), looks=1).fit(pictures, masks)
    before = segmenter.head_.weights.weight.clone()

    def fail(*_):
        raise AssertionError

    monkeypatch.setattr("pixelwise.api.learning._look_at", fail)
    segmenter.fit(pictures, [~mask for mask in masks])
    assert not torch.equal(before, segmenter.head_.weights.weight)
    with pytest.raises(AssertionError):
        segmenter.set_params(sizes=(96,)).fit(pictures, masks)


def test_what_was_looked_at_before_is_learned_from_and_segmented_without_looking(tmp_path, monkeypatch):
    pictures, masks = discs(3)
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture).save(path)
    fresh = pixelwise.Segmenter(sizes=(64,), looks=1).fit(pictures, masks)
    early = pixelwise.Segmenter(sizes=(64,), looks=1).look(paths)
    monkeypatch.setattr("pixelwise.api.learning._look_at", None)
    monkeypatch.setattr("pixelwise.segmenting.Look.__call__", None)
    early.fit(paths[:2], masks[:2]).fit(paths, masks)
    assert [early.predict(path).shape for path in paths] == [(96, 128)] * 3
    monkeypatch.undo()
    assert (early.predict(paths[2]) == fresh.predict(pictures[2])).all()
    pictures[2][:] = 0
    Image.fromarray(pictures[2]).save(paths[2])  # written anew, it is another picture
    assert (early.predict(paths[2]) == fresh.predict(pictures[2])).all()


def test_no_more_is_kept_of_what_was_seen_than_there_is_room_for(monkeypatch):
    pictures, masks = discs(3)
    segmenter = pixelwise.Segmenter(sizes=(64,), looks=1).look(pictures[:1])
    (maps,) = segmenter._kept.values()
    monkeypatch.setattr("pixelwise.api.learning._KEPT_BYTES", 2 * sum(one.nbytes for one in maps))
    before = list(segmenter.look(pictures)._kept)
    assert len(before) == 2
    segmenter.fit(pictures, masks)
    assert len(segmenter._kept) == 2


def test_a_stack_of_pictures_is_a_sequence(learned):
    pictures, masks = discs(2, seed=1)
    stacked = np.stack(pictures)
    assert all(
        (one == other).all() for one, other in zip(*map(learned.predict, (stacked, pictures)), strict=True)
    )
    assert learned.score(stacked, np.stack(masks)) == learned.score(pictures, masks)
    tensors = torch.from_numpy(stacked).movedim(-1, 1)
    assert len(learned.predict(tensors)) == 2
    assert pixelwise.Segmenter(sizes=(64,), looks=1).fit(tensors, np.stack(masks)).class_names_


def test_it_is_an_estimator_of_scikit_learn(learned):
    pictures, masks = discs(2)
    twin = clone(learned)
    assert twin.get_params() == learned.get_params()
    assert not hasattr(twin, "head_")
    assert "sizes=(96,)" in repr(twin)
    twin.set_params(ridge=0.5, looks=1)
    brighter = FunctionTransformer(lambda images: [np.minimum(one, 250) for one in images])
    pipeline = make_pipeline(brighter, twin).fit(pictures, masks)
    assert pipeline.predict(pictures)[0].shape == (96, 128)
    assert twin.head_.facts["ridge"] == 0.5
    assert pipeline.score(pictures, masks) > 0.5


def test_a_search_finds_the_better_setting():
    pictures, masks = discs(4)
    search = GridSearchCV(pixelwise.Segmenter(sizes=(64,), looks=1), {"ridge": [1e-4, 1e4]}, cv=2)
    search.fit(pictures, masks)
    assert search.best_params_ == {"ridge": 1e-4}
    assert search.best_score_ > 0.5
    assert search.predict(pictures)[0].shape == (96, 128)
    with pytest.raises(ShapeError, match="as many masks as pictures, got 4 and 3"):
        search.best_estimator_.score(pictures, masks[:3])


@pytest.mark.parametrize(
    ("images", "masks", "error", "message"),
    [
        (discs(2)[0], discs(1)[1], ShapeError, "as many masks as pictures, got 2 and 1"),
        ([], [], ShapeError, "as many masks as pictures, got 0 and 0"),
        (discs(1)[0][0], discs(1)[1], ShapeError, "got a single picture"),
        (discs(1)[0], [np.zeros((5, 5), int)], ShapeError, r"a mask of the size \(96, 128\), got \(5, 5\)"),
        (discs(1)[0], [np.zeros((96, 128))], LabelError, "True and False or of whole numbers"),
        (discs(1)[0], [np.full((96, 128), 300)], LabelError, "whole numbers from 0 to 255"),
        (discs(1)[0], [np.full((96, 128), 255)], LabelError, "needed labelled pixels to learn from"),
        (discs(1)[0], [np.full((96, 128), 1)], LabelError, "needed pixels of two classes at least"),
    ],
)
def test_what_cannot_be_learned_from(images, masks, error, message):
    with pytest.raises(error, match=message):
        pixelwise.Segmenter(sizes=(64,), looks=1).fit(images, masks)


def test_names_of_classes():
    pictures, masks = discs(2)
    three = [np.where((np.arange(96) > 80)[:, None], 2, mask) for mask in masks]
    found = pixelwise.Segmenter(sizes=(64,), looks=1).fit(pictures, three)
    assert found.class_names_ == ("background", "class 1", "class 2")
    with pytest.raises(LabelError, match="needed masks of the classes 0 to 1, got 2 in one"):
        pixelwise.Segmenter(classes=["ground", "sun"], sizes=(64,)).fit(pictures, three)
    named = pixelwise.Segmenter(classes=["ground", "sun"], sizes=(64,), looks=1).fit(pictures, masks)
    assert named.segment(pictures[0]).classes.names == ("ground", "sun")


def test_nothing_is_predicted_before_learning():
    with pytest.raises(Exception, match="not fitted yet"):
        pixelwise.Segmenter().predict(np.zeros((9, 9, 3), np.uint8))


def test_wrong_names_are_ours_to_tell(flower):
    for call in (
        lambda: pixelwise.colourise(flower, "nobody"),
        lambda: pixelwise.segment(flower, head="nobody"),
        lambda: pixelwise.segment(flower, head=Path("nowhere") / "nobody"),
    ):
        with pytest.raises(PixelwiseError, match="nobody"):
            call()
