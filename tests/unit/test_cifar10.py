"""CIFAR-10's own format, from a seeded fake; where the real one lies, from that too."""

import os
import pickle
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pixelwise.data import cifar10
from pixelwise.data.cifar10 import CLASSES, load_cifar10
from pixelwise.data.download import Remote
from pixelwise.errors import ConfigError, DataError, DownloadError
from pixelwise.files import checksum

make = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "cifar10" / "make.py"))
NOWHERE = "http://127.0.0.1:9/cifar-10-python.tar.gz"  # the port that discards; nothing listens there


@pytest.fixture
def data_dir(tmp_path):
    make["write_cifar10"](tmp_path)
    return tmp_path


def archive_of(path, url=NOWHERE):
    return Remote(url=url, about_bytes=path.stat().st_size, checksum=checksum(path, "md5"), algorithm="md5")


def change(path, **fields):
    with path.open("rb") as file:
        record = pickle.load(file, encoding="bytes")
    record |= {key.encode(): value for key, value in fields.items()}
    path.write_bytes(pickle.dumps(record, protocol=3))


def test_a_class_comes_in_the_order_of_the_files(tmp_path):
    written = make["write_cifar10"](tmp_path, num=50)
    pictures = load_cifar10("horse", tmp_path)
    rows = [pixels[labels == 7] for pixels, labels in written.values()]
    assert pictures.name == "cifar10:horse"
    assert np.array_equal(pictures.train.numpy(), np.concatenate(rows[:5]).reshape(-1, 3, 32, 32))
    assert np.array_equal(pictures.val.numpy(), rows[5].reshape(-1, 3, 32, 32))


@pytest.mark.filterwarnings("ignore:dtype\\(\\).*align")  # torchvision hands the archive's own dtype to numpy
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


def test_the_constants_are_torchvisions():
    from torchvision.datasets import CIFAR10

    assert CIFAR10.base_folder == cifar10.FOLDER
    assert [CIFAR10.url, CIFAR10.tgz_md5] == [cifar10.ARCHIVE.url, cifar10.ARCHIVE.checksum]
    assert [list(pair) for pair in cifar10.TRAIN_MD5.items()] == CIFAR10.train_list
    assert [list(pair) for pair in cifar10.TEST_MD5.items()] == CIFAR10.test_list


def test_pictures_are_contiguous_bytes(data_dir):
    pictures = load_cifar10("cat", data_dir)
    for part in (pictures.train, pictures.val):
        assert part.dtype == torch.uint8
        assert part.is_contiguous()


def test_the_classes_together_are_all(data_dir):
    parts = [load_cifar10(name, data_dir) for name in CLASSES]
    everything = load_cifar10("all", data_dir)
    assert sum(len(part.train) for part in parts) == len(everything.train) == 100
    assert sum(len(part.val) for part in parts) == len(everything.val) == 20
    assert len({part.digest for part in [*parts, everything]}) == 11


def test_the_folder_itself_is_taken_under_any_name(data_dir):
    inside = load_cifar10("ship", data_dir)
    assert load_cifar10("ship", data_dir / cifar10.FOLDER).digest == inside.digest
    shutil.move(data_dir / cifar10.FOLDER, data_dir / "renamed")
    assert load_cifar10("ship", data_dir / "renamed").digest == inside.digest


def test_other_checksums_are_noted(data_dir, monkeypatch):
    assert "other checksums than the official CIFAR-10" in load_cifar10("frog", data_dir).notes[0]
    for name in ("TRAIN_MD5", "TEST_MD5"):
        md5s = {file: checksum(data_dir / cifar10.FOLDER / file, "md5") for file in getattr(cifar10, name)}
        monkeypatch.setattr(cifar10, name, md5s)
    assert load_cifar10("frog", data_dir).notes == ()


def test_pickles_of_python_3_are_read_too(data_dir):
    before = load_cifar10("dog", data_dir)
    for path in (data_dir / cifar10.FOLDER).glob("*_batch*"):
        with path.open("rb") as file:
            record = pickle.load(file, encoding="bytes")
        path.write_bytes(pickle.dumps({key.decode(): value for key, value in record.items()}, protocol=4))
    assert load_cifar10("dog", data_dir).digest == before.digest


def test_an_unknown_class_is_refused_before_any_download(tmp_path):
    with pytest.raises(ConfigError, match=r"one of the classes airplane, .*, truck, or all; got 'horses'"):
        load_cifar10("horses", tmp_path)


def test_missing_files_are_named(data_dir):
    (data_dir / cifar10.FOLDER / "data_batch_2").unlink()
    (data_dir / cifar10.FOLDER / "test_batch").unlink()
    with pytest.raises(
        DataError, match="data_batch_2, test_batch missing; delete the folder to have it downloaded"
    ):
        load_cifar10("horse", data_dir)


@pytest.mark.parametrize("keep_frac", [0, 0.3, 0.999])
def test_a_truncated_file_is_named(data_dir, keep_frac):
    path = data_dir / cifar10.FOLDER / "data_batch_3"
    path.write_bytes(path.read_bytes()[: int(keep_frac * path.stat().st_size)])
    with pytest.raises(DataError, match=r"data_batch_3: needed a whole pickle.*delete the folder"):
        load_cifar10("horse", data_dir)


def test_a_hostile_file_runs_nothing(data_dir):
    made = data_dir / "made"
    content = b"cposix\nmkdir\n(V" + str(made).encode() + b"\ntR."
    (data_dir / cifar10.FOLDER / "test_batch").write_bytes(content)
    with pytest.raises(DataError, match=r"test_batch: .*asks for posix\.mkdir"):
        load_cifar10("horse", data_dir)
    assert not made.exists()
    pickle.loads(content)
    assert made.exists()  # it was a live one


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": [10] * 20}, "test_batch needs labels as a list of integers from 0 to 9"),
        ({"labels": [1.0] * 20}, "needs labels as a list of integers"),
        ({"labels": None}, "needs labels as a list of integers"),
        ({"labels": [7] * 19}, r"needs pixels of shape \(19, 3072\).*got \(20, 3072\)"),
        ({"data": np.zeros((20, 3071), np.uint8)}, r"needs pixels of shape \(20, 3072\).*got \(20, 3071\)"),
        ({"data": np.zeros((20, 3072), np.float32)}, "test_batch: needed an array of bytes"),
        ({"data": [1, 2, 3]}, "test_batch: needed a numpy array, got list"),
        ({"labels": [1] * 20}, "needed training and test pictures of horse in .*, got 10 and 0"),
    ],
)
def test_contents_that_do_not_fit_are_refused(data_dir, fields, message):
    change(data_dir / cifar10.FOLDER / "test_batch", **fields)
    with pytest.raises(DataError, match=message):
        load_cifar10("horse", data_dir)


@pytest.mark.parametrize(
    ("record", "message"), [([1], "a pickled dictionary, got list"), ({}, "a field labels")]
)
def test_other_records_are_refused(data_dir, record, message):
    (data_dir / cifar10.FOLDER / "data_batch_1").write_bytes(pickle.dumps(record))
    with pytest.raises(DataError, match=f"data_batch_1 needs .*{message}"):
        load_cifar10("horse", data_dir)


def test_a_file_far_too_large_is_not_read(data_dir):
    os.truncate(data_dir / cifar10.FOLDER / "data_batch_1", 10**12)
    with pytest.raises(DataError, match="needed a file of about 31 MB, got 1000000000000 bytes"):
        load_cifar10("horse", data_dir)


def test_another_data_set_in_the_same_layout_is_refused(data_dir):
    change(data_dir / cifar10.FOLDER / "batches.meta", label_names=["tulip"] * 10)
    with pytest.raises(DataError, match="class names, got others: another data set"):
        load_cifar10("horse", data_dir)
    (data_dir / cifar10.FOLDER / "batches.meta").unlink()
    assert len(load_cifar10("horse", data_dir).train) == 10


def test_an_archive_put_there_by_hand_is_unpacked(data_dir):
    before = load_cifar10("horse", data_dir)
    path = make["write_archive"](data_dir)
    shutil.rmtree(data_dir / cifar10.FOLDER)
    assert load_cifar10("horse", data_dir, archive_of(path)).digest == before.digest
    assert (data_dir / cifar10.FOLDER / "data_batch_1").is_file()


def test_a_damaged_archive_is_refused_and_kept(data_dir):
    path = make["write_archive"](data_dir)
    remote = archive_of(path)
    shutil.rmtree(data_dir / cifar10.FOLDER)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        DownloadError, match=r"needed .*tar\.gz with md5 .*; delete it and run again to download it"
    ):
        load_cifar10("horse", data_dir, remote)
    assert path.exists()


@pytest.mark.real
def test_the_real_horses(real_data_dir):
    pictures = load_cifar10("horse", real_data_dir)
    assert pictures.train.shape == (5000, 3, 32, 32)
    assert pictures.val.shape == (1000, 3, 32, 32)
    assert 100 < pictures.train.float().mean() < 140
