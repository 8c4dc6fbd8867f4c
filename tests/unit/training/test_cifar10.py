"""CIFAR-10's own format, from a seeded fake; where the real one lies, from that too."""

import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fixtures.cifar10 import make
from pixelwise.colour.spaces import lightness, srgb_to_lab
from pixelwise.errors import ConfigError, DataError
from pixelwise.files import checksum
from pixelwise.photos.download import Remote
from pixelwise.training.data import cifar10
from pixelwise.training.data.cifar10 import load_cifar10, read_batch
from pixelwise.training.data.sources import load_pictures
from pixelwise.training.data.synthetic import GROUND_CHROMA, SHAPE_CHROMA, draw_shapes, load_synthetic

NOWHERE = "http://127.0.0.1:9/cifar-10-python.tar.gz"  # the port that discards; nothing listens there
BATCH = pickle.dumps({"labels": [1, 2], "data": np.zeros((2, 3072), np.uint8)}, protocol=3)


@pytest.fixture
def data_dir(tmp_path):
    make.write_cifar10(tmp_path)
    return tmp_path


def change(path, **fields):
    with path.open("rb") as file:
        record = pickle.load(file, encoding="bytes")
    record |= {key.encode(): value for key, value in fields.items()}
    path.write_bytes(pickle.dumps(record, protocol=3))


@pytest.mark.filterwarnings("ignore:dtype\\(\\).*align")  # torchvision hands the archive's own dtype to numpy
@pytest.mark.slow
def test_all_classes_are_what_torchvision_reads(data_dir, monkeypatch):
    from torchvision.datasets import CIFAR10

    folder = data_dir / CIFAR10.base_folder
    for listed in ("train_list", "test_list"):
        md5s = [[file, checksum(folder / file, "md5")] for file, _ in getattr(CIFAR10, listed)]
        monkeypatch.setattr(CIFAR10, listed, md5s)
    monkeypatch.setitem(CIFAR10.meta, "md5", checksum(folder / "batches.meta", "md5"))
    pictures = load_cifar10("all", data_dir)
    for part, train in ((pictures.train, True), (pictures.val, False)):
        theirs = CIFAR10(data_dir, train=train).data
        assert np.array_equal(part.permute(0, 2, 3, 1).numpy(), theirs)


@pytest.mark.parametrize("source", ["", "cifar100:horse", "folder", "folder:", "synthetic:"])
def test_unknown_sources_are_met_with_those_there_are(source):
    with pytest.raises(ConfigError, match=f"'{source}'.*cifar10:airplane, .*shapes, or folder:PATH"):
        load_pictures(source)


def test_an_unknown_class_is_refused_before_any_download(tmp_path):
    with pytest.raises(ConfigError, match="'horses'"):
        load_cifar10("horses", tmp_path)


@pytest.mark.parametrize("keep_frac", [None, 0, 0.999])
def test_missing_and_damaged_files_are_named(data_dir, keep_frac):
    path = data_dir / cifar10.FOLDER / "data_batch_3"
    content = path.read_bytes()
    path.unlink()
    if keep_frac is not None:
        path.write_bytes(content[: int(keep_frac * len(content))])
    with pytest.raises(DataError, match=r"data_batch_3.*delete the folder"):
        load_cifar10("horse", data_dir)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"labels": [10] * 20}, "labels"),
        ({"labels": None}, "labels"),
        ({"labels": [1.0] * 20}, "labels"),
        ({"labels": [7] * 19}, r"\(19, 3072\)"),
        ({"data": np.zeros((20, 3071), np.uint8)}, r"\(20, 3072\)"),
        ({"data": np.zeros((20, 3072), np.float32)}, r"\(20, 3072\)"),
        ({"data": [1, 2, 3]}, r"\(20, 3072\)"),
        ({"labels": [1] * 20}, "val"),
    ],
)
def test_contents_that_do_not_fit_are_refused(data_dir, fields, wrong):
    change(data_dir / cifar10.FOLDER / "test_batch", **fields)
    with pytest.raises(DataError, match=wrong):
        load_cifar10("horse", data_dir)


class Call:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def test_a_pickle_that_numbers_a_value_beyond_its_length_takes_no_memory(tmp_path):
    spoilt = tmp_path / "batch"
    spoilt.write_bytes(b"\x80\x02}r" + (2**30).to_bytes(4, "little") + b".")  # 8 GB of places
    with pytest.raises(DataError, match="it numbers a value 1073741824"):
        read_batch(spoilt)


@pytest.mark.parametrize("function", [os.mkdir, eval, getattr, np.load])
def test_nothing_that_a_pickle_names_is_called(tmp_path, function):
    made = tmp_path / "made"
    content = pickle.dumps(Call(function, str(made)), protocol=2, fix_imports=False)
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(DataError, match=function.__name__):
        read_batch(tmp_path / "batch")
    assert not made.exists()
    if function is os.mkdir:
        pickle.loads(content)
        assert made.exists()  # it was a live one


@given(st.integers(0, len(BATCH) - 1), st.binary(min_size=1, max_size=4))
def test_a_spoilt_pickle_is_read_or_refused(tmp_path_factory, at, spoilt):
    path = tmp_path_factory.mktemp("spoilt") / "batch"
    path.write_bytes(BATCH[:at] + spoilt + BATCH[at + len(spoilt) :])
    try:
        pixels, labels = read_batch(path)
    except DataError:
        return
    assert pixels.shape == (len(labels), 3072)


def test_an_archive_put_there_by_hand_is_unpacked(data_dir):
    before = load_cifar10("horse", data_dir)
    path = make.write_archive(data_dir)
    archive = Remote(url=NOWHERE, num_megabytes=1.0, checksum=f"md5:{checksum(path, 'md5')}")
    shutil.rmtree(data_dir / cifar10.FOLDER)
    assert load_cifar10("horse", data_dir, archive).digest == before.digest
    assert (data_dir / cifar10.FOLDER / "data_batch_1").is_file()


@pytest.mark.real
def test_the_real_horses(real_data_dir):
    pictures = load_cifar10("horse", real_data_dir)
    assert pictures.train.shape == (5000, 3, 32, 32)
    assert pictures.val.shape == (1000, 3, 32, 32)
    assert 100 < pictures.train.float().mean() < 140


CHROMA = np.array([*GROUND_CHROMA, *SHAPE_CHROMA])


@pytest.fixture(scope="module")
def pictures():
    return load_synthetic(seed=0)


def kinds(images):
    """Which of the five colours a pixel has, (N, H, W)."""
    chroma = np.moveaxis(srgb_to_lab(images / 255)[:, 1:], 1, -1)
    return np.square(chroma[..., None, :] - CHROMA).sum(-1).argmin(-1)


def test_equal_seeds_draw_equal_pictures(pictures):
    again, other = (draw_shapes(50, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert torch.equal(draw_shapes(50, torch.Generator().manual_seed(0)), again)
    assert not torch.equal(other, again)
    assert load_synthetic(seed=0).digest == pictures.digest


@pytest.mark.parametrize(
    "grey", [lambda images: 255 * images.mean(1), lambda images: 2.55 * lightness(images)]
)
def test_grey_alone_does_not_give_the_colour_away(pictures, grey):
    """The best table from 256 grey levels to colours, learnt on the very pictures it is tried on, is poor."""
    images = pictures.val.numpy()
    levels, counts = grey(images / 255).astype(int).ravel(), np.zeros((256, 5))
    np.add.at(counts, (levels, kinds(images).ravel()), 1)
    assert counts.max(axis=1).sum() / counts.sum() < 0.5
