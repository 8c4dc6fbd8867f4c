"""Oxford's flowers in their own format, from a seeded fake; where the real ones lie, from those too."""

import json
import shutil

import numpy as np
import pytest
import scipy.io
from PIL import Image

from fixtures.flowers17 import make
from pixelwise.colour.palette import IGNORE
from pixelwise.errors import DataError, DownloadError
from pixelwise.files import checksum
from pixelwise.labels.flowers17 import Archives, load_flowers17
from pixelwise.labels.sources import load_labelled
from pixelwise.photos.download import Remote

pytestmark = pytest.mark.core


@pytest.fixture
def folder(tmp_path):
    make.write_flowers17(tmp_path / "flowers17")
    return tmp_path / "flowers17"


def archives_in(folder):
    """The archives in a folder, which lie nowhere on the network; no checksum is known of the trimaps."""

    def remote(name, md5=True):
        known = f"md5:{checksum(folder / name, 'md5')}" if md5 else None
        return Remote(url=f"http://127.0.0.1:9/{name}", num_megabytes=0.1, checksum=known)

    return Archives(
        photos=remote("17flowers.tgz"),
        trimaps=remote("trimaps.tgz", md5=False),
        splits=remote("datasplits.mat"),
        num_trimaps=12,
    )


def numbers(photos):
    return [int(one.stem.removeprefix("image_")) for one in photos]


def drawn_in(folder):
    return sorted(numbers((folder / "trimaps").glob("*.png")))


def official(folder):
    values = scipy.io.loadmat(folder / "datasplits.mat")
    return {key: value.ravel() for key, value in values.items() if key[0] != "_"}


def write_splits_json(folder, **parts):
    (folder / "splits.json").write_text(json.dumps({"train": [], "val": [], "test": []} | parts))


def test_classes_are_the_flower_and_the_rest_or_all_four(tmp_path):
    written = make.write_flowers17(tmp_path / "flowers17")
    flowers, classes = (load_flowers17(name, tmp_path) for name in ("flowers17", "flowers17:classes"))
    assert flowers.classes.names == ("background", "flower")
    assert set(classes.classes.names) == {"flower", "leaf", "background", "sky"}
    ranks = [classes.classes.names.index(name) for name in ("flower", "leaf", "background", "sky")]
    for two, four in zip(flowers.labelled, classes.labelled, strict=True):
        trimap = written[numbers([two])[0]]
        assert (two.read_labels() == np.array([IGNORE, 1, 0, 0, 0])[trimap]).all()
        assert (four.read_labels() == np.array([IGNORE, *ranks])[trimap]).all()
        assert two.photo.name == f"{two.stem}.jpg"


def test_the_first_official_split_is_taken_and_photos_without_trimap_are_unlabelled(folder):
    flowers = load_flowers17("flowers17", folder.parent)
    splits, drawn = official(folder), drawn_in(folder)
    for part, key in (("train", "trn1"), ("val", "val1"), ("test", "tst1")):
        assert numbers(getattr(flowers, part)) == [n for n in splits[key] if n in drawn]
    assert numbers(flowers.unlabelled) == sorted(set(range(1, 17)) - set(drawn))
    assert any("another checksum" in note for note in flowers.notes)
    assert load_flowers17("flowers17", folder).digest == flowers.digest  # the folder itself


def test_archives_in_the_folder_are_unpacked(folder, tmp_path):
    before = load_flowers17("flowers17", folder.parent)
    make.write_archives(folder)
    archives = archives_in(folder)
    bare = tmp_path / "bare" / "flowers17"
    bare.mkdir(parents=True)
    for name in ("17flowers.tgz", "trimaps.tgz", "datasplits.mat"):
        shutil.copy(folder / name, bare)
    flowers = load_flowers17("flowers17", bare.parent, archives)
    assert flowers.digest == before.digest
    assert "could not be verified" in flowers.notes[0]
    assert load_flowers17("flowers17", bare.parent, archives).notes == ()


def test_archives_of_something_else_are_refused(folder):
    shutil.rmtree(folder / "jpg")
    make.write_flowers17(folder / "other")
    for path in make.write_archives(folder / "other").values():
        shutil.copy(path, folder)
    archives = archives_in(folder)
    (folder / "17flowers.tgz").write_bytes(b"something else")
    with pytest.raises(DownloadError, match=r"17flowers\.tgz"):
        load_flowers17("flowers17", folder.parent, archives)
    shutil.copy(folder / "other" / "17flowers.tgz", folder)
    shutil.rmtree(folder / "trimaps")
    trimaps = folder / "other" / "trimaps"
    first, *_ = trimaps.glob("*.png")
    shutil.copy(first, trimaps / "image_1361.png")
    for got in ("13 among 13", "12 among 13", "11 among 12"):
        make.write_archives(folder / "other")
        shutil.copy(folder / "other" / "trimaps.tgz", folder)
        with pytest.raises(DataError, match=f"needed 12 trimaps .*got {got}"):
            load_flowers17("flowers17", folder.parent, archives)
        assert not (folder / "trimaps").exists()
        if got == "12 among 13":
            first.unlink()
        Image.new("L", (56, 40), 1).save(trimaps / "image_1361.png")


def test_a_split_that_names_what_is_not_there_is_refused(folder):
    write_splits_json(folder, train=[1, 99, 100])
    with pytest.raises(DataError, match=r"splits\.json: .*image_\d+"):
        load_flowers17("flowers17", folder.parent)
    write_splits_json(folder)
    with pytest.raises(DataError, match="got none"):
        load_flowers17("flowers17", folder.parent)
    (folder / "splits.json").unlink()
    (folder / "jpg" / "image_0003.jpg").unlink()
    with pytest.raises(DataError, match="image_0003 is missing"):
        load_flowers17("flowers17", folder.parent)
    for path in (folder / "trimaps").glob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match="no pair"):
        load_flowers17("flowers17", folder.parent)


def test_a_damaged_matlab_file_is_refused(folder):
    path = folder / "datasplits.mat"
    whole = path.read_bytes()
    for content in (b"", b"not a matlab file", whole[:300]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"datasplits\.mat: needed a MATLAB file"):
            load_flowers17("flowers17", folder.parent)
    scipy.io.savemat(path, {"trn1": [1.0]})
    with pytest.raises(DataError, match="'val1'"):
        load_flowers17("flowers17", folder.parent)


@pytest.mark.real
def test_the_real_flowers(real_data_dir):
    flowers = load_labelled("flowers17", real_data_dir)
    assert [len(part) for part in (flowers.train, flowers.val, flowers.test)] == [416, 105, 172]
    assert len(flowers.unlabelled) == 667
    assert flowers.notes == ()
    seen = np.zeros(256, np.int64)
    for one in flowers.test:
        seen += np.bincount(one.read_labels().ravel(), minlength=256)
    assert set(np.flatnonzero(seen)) == {0, 1, IGNORE}
    assert seen[IGNORE] / seen.sum() == pytest.approx(0.134, abs=0.01)
