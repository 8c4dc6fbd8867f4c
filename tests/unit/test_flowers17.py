"""Oxford's flowers in their own format, from a seeded fake; where the real ones lie, from those too."""

import contextlib
import io
import json
import runpy
import shutil
import tarfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import scipy.io
from PIL import Image

from pixelwise.data import load_labelled
from pixelwise.data.download import Remote
from pixelwise.data.flowers17 import ARCHIVES, Archives, load_flowers17
from pixelwise.errors import DataError, DownloadError, LabelError
from pixelwise.files import checksum
from pixelwise.labelspace import IGNORE

make = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "flowers17" / "make.py"))
NOWHERE = "http://127.0.0.1:9"  # the port that discards; nothing listens there


@pytest.fixture
def folder(tmp_path):
    make["write_flowers17"](tmp_path / "flowers17")
    return tmp_path / "flowers17"


@pytest.fixture
def serve(monkeypatch):
    """Serves a folder to this machine, and gives the address."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    answer = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with contextlib.ExitStack() as stack:

        def start(folder):
            server = stack.enter_context(
                ThreadingHTTPServer(("127.0.0.1", 0), partial(answer, directory=folder))
            )
            Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield start


def archives_in(folder, url=NOWHERE):
    """What the archives in a folder are known by; no checksum is known of the trimaps."""

    def remote(name, md5=True):
        path = folder / name
        known = checksum(path, "md5") if md5 else None
        return Remote(url=f"{url}/{name}", about_bytes=1000, checksum=known, algorithm="md5")

    return Archives(
        photos=remote("17flowers.tgz"),
        trimaps=remote("trimaps.tgz", md5=False),
        splits=remote("datasplits.mat"),
        num_trimaps=12,
    )


def numbers(photos):
    return [int(one.stem.removeprefix("image_")) for one in photos]


def official(folder):
    return {
        key: value.ravel()
        for key, value in scipy.io.loadmat(folder / "datasplits.mat").items()
        if key[0] != "_"
    }


def write_splits_json(folder, **parts):
    (folder / "splits.json").write_text(json.dumps({"train": [], "val": [], "test": []} | parts))


def test_the_flower_is_class_1_the_rest_0_and_what_nobody_labelled_neither(tmp_path):
    written = make["write_flowers17"](tmp_path / "flowers17")
    flowers = load_flowers17("flowers17", tmp_path)
    assert flowers.name == "flowers17"
    assert flowers.classes.names == ("background", "flower")
    for one in (*flowers.train, *flowers.val, *flowers.test):
        trimap = written[int(one.stem.removeprefix("image_"))]
        labels = one.read_labels().numpy()
        assert (labels == np.array([IGNORE, 1, 0, 0, 0])[trimap]).all()
        assert one.photo.name == f"{one.stem}.jpg"


def test_all_four_classes_are_there_when_asked_for(tmp_path):
    written = make["write_flowers17"](tmp_path / "flowers17")
    flowers = load_flowers17("flowers17:classes", tmp_path)
    names = flowers.classes.names
    assert set(names) == {"flower", "leaf", "background", "sky"}
    one = flowers.train[0]
    trimap, labels = written[int(one.stem.removeprefix("image_"))], one.read_labels().numpy()
    for number, name in enumerate(("flower", "leaf", "background", "sky"), 1):
        assert (labels[trimap == number] == names.index(name)).all()
    assert (labels[trimap == 0] == IGNORE).all()


def test_the_first_official_split_is_taken_and_photos_without_trimap_are_unlabelled(folder):
    flowers = load_flowers17("flowers17", folder.parent)
    splits = official(folder)
    drawn = {int(path.stem.removeprefix("image_")) for path in (folder / "trimaps").glob("*.png")}
    for part, key in (("train", "trn1"), ("val", "val1"), ("test", "tst1")):
        assert numbers(getattr(flowers, part)) == [n for n in splits[key] if n in drawn]
    assert [int(photo.stem.removeprefix("image_")) for photo in flowers.unlabelled] == sorted(
        set(range(1, 17)) - drawn
    )
    assert any("another checksum than the official file: another split" in note for note in flowers.notes)


def test_three_official_splits_joined_would_overlap(folder):
    """What the originals learned from held three quarters of what they were scored on."""
    splits = official(folder)
    joined = {part: {n for i in (1, 2, 3) for n in splits[f"{part}{i}"]} for part in ("trn", "tst")}
    shared = sorted(int(n) for n in joined["trn"] & joined["tst"])
    assert shared
    drawn = {int(path.stem.removeprefix("image_")) for path in (folder / "trimaps").glob("*.png")}
    parts = {part: sorted(int(n) for n in joined[part] & drawn) for part in joined}
    write_splits_json(folder, train=parts["trn"], test=parts["tst"])
    with pytest.raises(
        DataError, match=r"flowers17: needed parts that share no photo, .*image_\d+\.jpg of train and"
    ):
        load_flowers17("flowers17", folder.parent)


def test_splits_json_comes_first(folder):
    drawn = sorted(int(path.stem.removeprefix("image_")) for path in (folder / "trimaps").glob("*.png"))
    write_splits_json(folder, train=drawn[3:6][::-1], val=drawn[:2], test=drawn[6:7])
    flowers = load_flowers17("flowers17", folder.parent)
    assert (numbers(flowers.train), numbers(flowers.val)) == (drawn[3:6][::-1], drawn[:2])
    assert numbers(flowers.test) == drawn[6:7]
    assert len(flowers.notes) == 1
    assert flowers.notes[0].startswith("left out 6 labelled photos, ")


def test_the_folder_itself_may_be_the_data_directory(folder):
    assert load_flowers17("flowers17", folder).digest == load_flowers17("flowers17", folder.parent).digest


def test_the_digest_follows_photos_labels_parts_and_classes(folder):
    load = partial(load_flowers17, data_dir=folder.parent)
    digests = {load("flowers17").digest, load("flowers17:classes").digest}
    one = load("flowers17").train[0]
    trimap = np.zeros_like(one.read_labels().numpy())
    make["write_trimap"](one.labels_file, trimap)
    digests.add(load("flowers17").digest)
    shutil.copy(load("flowers17").unlabelled[0], one.photo)
    digests.add(load("flowers17").digest)
    write_splits_json(folder, train=numbers(load("flowers17").train)[::-1])
    digests.add(load("flowers17").digest)
    assert len(digests) == 5


def test_archives_in_the_folder_are_unpacked(folder, tmp_path):
    before = load_flowers17("flowers17", folder.parent)
    make["write_archives"](folder)
    archives = archives_in(folder)
    bare = tmp_path / "bare" / "flowers17"
    bare.mkdir(parents=True)
    for name in ("17flowers.tgz", "trimaps.tgz", "datasplits.mat"):
        shutil.copy(folder / name, bare)
    flowers = load_flowers17("flowers17", bare.parent, archives)
    assert flowers.digest == before.digest
    assert len(flowers.unlabelled) == 4
    unverified = (
        f"{bare / 'trimaps.tgz'} could not be verified, since no checksum of it is known; "
        "it holds 12 pictures with the names and the colours of Oxford's"
    )
    assert flowers.notes == (unverified,)
    assert load_flowers17("flowers17", bare.parent, archives).notes == ()  # unpacked, and looked at, before


def test_what_is_missing_is_downloaded(folder, tmp_path, serve):
    make["write_archives"](folder)
    flowers = load_flowers17("flowers17", tmp_path / "new", archives_in(folder, serve(folder)))
    assert flowers.digest == load_flowers17("flowers17", folder.parent).digest
    assert (tmp_path / "new" / "flowers17" / "jpg" / "image_0001.jpg").is_file()


def test_a_refused_download_says_what_to_do_without_it(folder, tmp_path, serve):
    make["write_archives"](folder)
    archives = archives_in(folder, serve(tmp_path / "nothing"))
    for name in ("trimaps", "trimaps.tgz"):
        (shutil.rmtree if name == "trimaps" else Path.unlink)(folder / name)
    needed = r"answered 404 .*; put trimaps\.tgz \(about 0\.0 MB\) into .*flowers17 by hand"
    with pytest.raises(DownloadError, match=needed):
        load_flowers17("flowers17", folder.parent, archives)


def test_damaged_archives_are_refused(folder):
    make["write_archives"](folder)
    archives = archives_in(folder)
    shutil.rmtree(folder / "trimaps")
    whole = (folder / "trimaps.tgz").read_bytes()
    (folder / "trimaps.tgz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cannot unpack .*trimaps\.tgz: .*; delete it and run again to"):
        load_flowers17("flowers17", folder.parent, archives)
    assert not (folder / "trimaps").exists()
    shutil.rmtree(folder / "jpg")
    (folder / "17flowers.tgz").write_bytes(b"something else")
    with pytest.raises(
        DownloadError, match=r"needed .*17flowers\.tgz with md5 .*, got .* \(14 bytes\); delete it"
    ):
        load_flowers17("flowers17", folder.parent, archives)


def add_number(trimaps):
    make["write_trimap"](trimaps / "image_1361.png", np.ones((40, 56), np.uint8))


def rename_one(trimaps):
    first = min(trimaps.glob("*.png"))
    first.rename(first.with_name("flower.png"))


def colour_one(trimaps):
    Image.new("RGB", (56, 40), (9, 9, 9)).save(min(trimaps.glob("*.png")))


def recolour_one(trimaps):
    path = min(trimaps.glob("*.png"))
    with Image.open(path) as image:
        image.putpalette([0, 0, 0, 0, 128, 0, 128, 0, 0, 128, 128, 0, 0, 0, 128])
        image.save(path)


def number_one_5(trimaps):
    make["write_trimap"](min(trimaps.glob("*.png")), np.full((40, 56), 5, np.uint8))


def damage_one(trimaps):
    path = min(trimaps.glob("*.png"))
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda trimaps: min(trimaps.glob("*.png")).unlink(),
            "needed 12 trimaps .*, got 11 pictures; delete",
        ),
        (add_number, r"needed 12 trimaps .*, got 13 pictures, image_1361\.png among them; delete it"),
        (rename_one, r"needed 12 trimaps .*, got 12 pictures, flower\.png among them; delete it"),
        (colour_one, r"needed trimaps in Oxford's colours in .*, image_\d+\.png has other colours \(1 such"),
        (
            recolour_one,
            r"needed trimaps in Oxford's colours in .*, image_\d+\.png has other colours \(1 such",
        ),
        (
            number_one_5,
            r"needed trimaps in Oxford's colours in .*, image_\d+\.png has other colours \(1 such",
        ),
        (damage_one, r"cannot read what is in .*trimaps\.tgz: .*image_\d+\.png: needed a whole picture"),
    ],
)
def test_of_an_archive_without_checksum_only_oxfords_trimaps_are_taken(folder, spoil, message):
    spoil(folder / "trimaps")
    make["write_archives"](folder)
    archives = archives_in(folder)
    shutil.rmtree(folder / "trimaps")
    with pytest.raises(DataError, match=message):
        load_flowers17("flowers17", folder.parent, archives)
    assert not (folder / "trimaps").exists()


def test_the_archives_are_known_by_their_checksums():
    assert ARCHIVES.photos.checksum == "b59a65d8d1a99cd66944d474e1289eab"
    assert ARCHIVES.splits.checksum == "4828cddfd0d803c5abbdebcb1e148a1e"
    assert (ARCHIVES.trimaps.checksum, ARCHIVES.num_trimaps) == (None, 848)


def test_a_hostile_archive_writes_nothing_outside(folder, tmp_path):
    shutil.rmtree(folder / "jpg")
    with tarfile.open(folder / "17flowers.tgz", "w:gz") as tar:
        member = tarfile.TarInfo("jpg/../../../stolen.jpg")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    with tarfile.open(folder / "trimaps.tgz", "w:gz") as tar:
        tar.add(folder / "trimaps", "trimaps")
    with pytest.raises(DataError, match=r"stolen\.jpg would be outside the destination"):
        load_flowers17("flowers17", folder.parent, archives_in(folder))
    assert not list(tmp_path.rglob("stolen.jpg"))


def test_labels_of_another_size_than_the_photo_are_refused(folder):
    one = load_flowers17("flowers17", folder.parent).train[0]
    make["write_trimap"](one.labels_file, np.ones((40, 55), np.uint8))
    needed = r"image_\d+\.png: needed labels of the size that .*\.jpg is displayed in, 56 x 40, got 55 x 40; "
    with pytest.raises(DataError, match=needed):
        one.read_labels()


def test_a_trimap_with_other_values_is_refused(folder):
    one = load_flowers17("flowers17", folder.parent).train[0]
    make["write_trimap"](one.labels_file, np.full((40, 56), 7, np.uint8))
    with pytest.raises(LabelError, match=r"image_\d+\.png: needed the values 0, 1, 2, 3, 4, got 7"):
        one.read_labels()


@pytest.mark.parametrize("wrong", ["[]", '{"train": [1]}', '{"train": ["a"], "val": [], "test": []}', "{"])
def test_a_split_of_another_kind_is_refused(folder, wrong):
    (folder / "splits.json").write_text(wrong)
    with pytest.raises(DataError, match=r"splits\.json: needed (JSON|the numbers of photos, )"):
        load_flowers17("flowers17", folder.parent)


def test_a_split_that_names_what_is_not_there_is_refused(folder):
    write_splits_json(folder, train=[1, 99, 100])
    needed = (
        r"splits\.json: needed a photo and its labels for each stem, train has image_\d+ \(. such in all\)"
    )
    with pytest.raises(DataError, match=needed):
        load_flowers17("flowers17", folder.parent)
    write_splits_json(folder)
    with pytest.raises(DataError, match="flowers17: needed labelled photos, got none"):
        load_flowers17("flowers17", folder.parent)
    (folder / "splits.json").unlink()
    (folder / "jpg" / "image_0003.jpg").unlink()
    with pytest.raises(
        DataError, match=r"needed each of its photos in .*jpg, image_0003 is missing \(1 such in all\)"
    ):
        load_flowers17("flowers17", folder.parent)


def test_a_damaged_matlab_file_is_refused(folder):
    path = folder / "datasplits.mat"
    whole = path.read_bytes()
    for content in (b"", b"not a matlab file", whole[:300]):
        path.write_bytes(content)
        with pytest.raises(
            DataError, match=r"datasplits\.mat: needed a MATLAB file of trn1, val1, tst1 with the"
        ):
            load_flowers17("flowers17", folder.parent)
    scipy.io.savemat(path, {"trn1": [1.0]})
    with pytest.raises(DataError, match=r"KeyError: 'val1'\); delete it and run again"):
        load_flowers17("flowers17", folder.parent)


def test_folders_without_a_pair_are_refused(folder):
    for path in (folder / "trimaps").glob("*.png"):
        path.unlink()
    with pytest.raises(
        DataError, match=r"needed photos in .*jpg and trimaps of the same names in .*, found no pair"
    ):
        load_flowers17("flowers17", folder.parent)


@pytest.mark.real
def test_the_real_flowers(real_data_dir):
    flowers = load_labelled("flowers17", real_data_dir)
    assert [len(part) for part in (flowers.train, flowers.val, flowers.test)] == [416, 105, 172]
    assert len(flowers.unlabelled) == 667
    assert flowers.notes == ()
    seen = np.zeros(256, np.int64)
    for one in flowers.test:
        seen += np.bincount(one.read_labels().numpy().ravel(), minlength=256)
    assert set(np.flatnonzero(seen)) == {0, 1, IGNORE}
    assert seen[IGNORE] / seen.sum() == pytest.approx(0.134, abs=0.01)
    assert load_labelled("flowers17:classes", real_data_dir).digest != flowers.digest
