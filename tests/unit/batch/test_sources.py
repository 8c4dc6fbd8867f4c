"""The inputs of batches: folders, patterns, tar and zip files; names that are hostile, alike or not UTF-8."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pixelwise.batch.sources import extract, find_items
from pixelwise.errors import DataError

OUT = Path("nowhere")


def photo_bytes(shade=120):
    content = io.BytesIO()
    Image.fromarray(np.full((8, 8), shade, np.uint8)).save(content, "png")
    return content.getvalue()


def find(*sources, out=OUT):
    return list(find_items([str(one) for one in sources], out))


def write_tar(path, members):
    """Members are names and bytes, or ready-made TarInfo."""
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def write_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)


def test_a_folder_gives_its_photos_in_order_and_no_output_of_the_batch(tmp_path):
    for name in ("b/x.jpg", "a.png", "a.jpg", "notes.txt", ".hidden.png", "out/a.png", "set.tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find(tmp_path, out=tmp_path / "out")
    targets = [(os.path.relpath(one.path, tmp_path), one.target) for one in found]
    assert targets == [("a.jpg", "a"), ("a.png", "a.png"), ("b/x.jpg", "b/x")]
    assert [one.target for one in find(tmp_path / "a.*", tmp_path / "a.jpg")] == ["a", "a.png", "a.jpg"]


@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_an_archive_gives_its_photos_and_follows_no_name_of_it(tmp_path, write):
    path = tmp_path / f"shard.{write.__name__[-3:]}"
    names = ["000.png", "../../climbs.png", "/absolute.png", "C:\\windows.png", ".batch/x.png", "b/1.png"]
    write(path, [("000.json", b"{}"), *((name, photo_bytes(shade)) for shade, name in enumerate(names))])
    found = find(path)
    targets = [one.target for one in found]
    assert targets[:3] == ["shard/000", "shard/climbs", "shard/absolute"]
    assert targets[4:] == ["shard/_batch/x", "shard/b/1"]
    assert [bool(one.refused) for one in found] == [False, True, True, True, False, False]
    for index in (5, 0, 4):
        extract(found[index], tmp_path / "photo")
        assert (tmp_path / "photo").read_bytes() == photo_bytes(index)


def test_links_in_a_tar_are_refused(tmp_path):
    link, hard = tarfile.TarInfo("link.png"), tarfile.TarInfo("hard.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hard.type, hard.linkname = tarfile.LNKTYPE, "000.png"
    write_tar(tmp_path / "shard.tar", [("000.png", photo_bytes()), (link, b""), (hard, b"")])
    assert ["link" in one.refused for one in find(tmp_path / "shard.tar")] == [False, True, True]


def test_a_tar_that_is_cut_short_gives_what_is_whole_and_names_the_rest(tmp_path):
    write_tar(tmp_path / "a.tar", [("0.png", photo_bytes()), ("1.png", bytes(5000))])
    (tmp_path / "a.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:3000])
    first, *others = find(tmp_path / "a.tar")
    assert not first.refused
    assert "damaged" in others[-1].refused


@pytest.mark.parametrize("name", ["none.tar", "empty", "noise.tar", "noise.zip", "shard.tar.gz", "*.jpg"])
def test_a_source_that_cannot_be_read_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    for noise in ("noise.tar", "noise.zip", "shard.tar.gz"):
        (tmp_path / noise).write_bytes(b"noise" * 300)
    with pytest.raises(DataError, match=name.replace("*", r"\*")):
        find(tmp_path / name)


PARTS = st.sampled_from(["a", "A", "b", "..", ".", ".batch", "é", "a.jpg", "a.png", "A.JPG", ""])


@given(st.lists(st.lists(PARTS, max_size=3).map("/".join), min_size=1, max_size=12))
def test_every_output_has_a_name_of_its_own_below_the_folder(tmp_path_factory, names):
    path = tmp_path_factory.mktemp("names") / "x.tar"
    write_tar(path, [(f"{name}/p.png", b"") for name in names])
    targets = [one.target for one in find(path)]
    assert len(targets) == len(names)
    assert len({one.casefold() for one in targets}) == len(targets)
    assert not any(part.startswith(".") for one in targets for part in Path(one).parts)
    assert not any(Path(one).is_absolute() for one in targets)
