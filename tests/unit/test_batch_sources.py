"""What batches take in: folders, lists, Parquet, tars; names that are hostile, alike or of other times."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pixelwise.batch.archives import Archives
from pixelwise.batch.names import Names, hostile
from pixelwise.batch.sources import items
from pixelwise.errors import ConfigError, DataError, PhotoError


def photo_bytes(shade=120):
    content = io.BytesIO()
    Image.fromarray(np.full((8, 8), shade, np.uint8)).save(content, "png")
    return content.getvalue()


def targets(*sources, out="nowhere", column=""):
    return [one.target for one in items([str(one) for one in sources], Path(out), column)]


def write_tar(path, members):
    """Members are names and bytes, or ready-made TarInfo."""
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def test_a_folder_gives_its_photos_in_order_and_no_output_of_the_batch(tmp_path):
    for name in ("b/x.jpg", "a.png", "a.jpg", "notes.txt", ".hidden.png", "out/a.png", "set.tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = list(items([str(tmp_path)], tmp_path / "out"))
    assert [(os.path.relpath(one.path, tmp_path), one.target) for one in found] == [
        ("a.jpg", "a"),
        ("a.png", "a.png"),
        ("b/x.jpg", "b/x"),
    ]


def test_a_list_begins_where_it_lies_and_names_each_output_once(tmp_path):
    (tmp_path / "list.txt").write_text("scans/1.tif\n\n/elsewhere/2.tif\r\nscans/1.tif\n../up/3.tif\n")
    found = list(items([str(tmp_path / "list.txt")], tmp_path / "out"))
    assert [one.path for one in found] == [
        str(tmp_path / "scans/1.tif"),
        "/elsewhere/2.tif",
        str(tmp_path / "scans/1.tif"),
        str(tmp_path.parent / "up/3.tif"),
    ]
    assert [one.target for one in found][:3] == ["scans/1", "elsewhere/2", "scans/1.tif"]
    assert found[3].target == str(tmp_path.parent / "up/3").lstrip("/")


def test_names_that_are_no_utf8_stay_what_they_are(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"caf\xe9.jpg\n")
    (one,) = items([str(tmp_path / "list.txt")], tmp_path / "out")
    assert os.fsencode(one.path).endswith(b"caf\xe9.jpg")
    assert one.name.endswith("caf\\udce9.jpg")


def test_parquet_of_paths_and_of_bytes(tmp_path):
    paths = pa.table({"path": ["a.jpg", None, "b/c.jpg"], "year": [1, 2, 3]})
    pq.write_table(paths, tmp_path / "paths.parquet")
    found = list(items([str(tmp_path / "paths.parquet")], tmp_path / "out"))
    assert [one.target for one in found] == ["a", "paths/000000001", "b/c"]
    assert found[1].refused.endswith("paths.parquet[1]: holds no path")

    contents = [photo_bytes(shade) for shade in range(40)]
    table = pa.table(
        {"image": [{"bytes": one, "path": "../../x.png"} for one in contents], "label": ["x"] * 40}
    )
    pq.write_table(table, tmp_path / "bytes.parquet", row_group_size=25)
    found = list(items([str(tmp_path / "bytes.parquet")], tmp_path / "out"))
    assert [one.target for one in found] == [f"bytes/{row:09}" for row in range(40)]
    archives = Archives()
    for index in (0, 3, 17, 24, 25, 39, 2):  # in order, into the next group, and back
        archives.copy(found[index], tmp_path / "photo")
        assert (tmp_path / "photo").read_bytes() == contents[index]


def test_parquet_whose_column_is_not_clear(tmp_path):
    pq.write_table(pa.table({"front": ["a.jpg"], "back": ["b.jpg"]}), tmp_path / "two.parquet")
    with pytest.raises(ConfigError, match=r"name it with --column \(columns that could be it: front, back\)"):
        targets(tmp_path / "two.parquet")
    assert targets(tmp_path / "two.parquet", column="back") == ["b"]
    with pytest.raises(ConfigError, match="got side; name it with --column"):
        targets(tmp_path / "two.parquet", column="side")


def test_a_tar_gives_its_photos_and_follows_no_name_of_it(tmp_path):
    link, hard = tarfile.TarInfo("link.png"), tarfile.TarInfo("hard.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hard.type, hard.linkname = tarfile.LNKTYPE, "000.png"
    write_tar(
        tmp_path / "shard.tar",
        [
            ("000.png", photo_bytes()),
            ("000.json", b"{}"),
            ("../../climbs.png", photo_bytes()),
            ("/absolute.png", photo_bytes()),
            (".batch/journal/x.png", photo_bytes()),
            (link, b""),
            (hard, b""),
        ],
    )
    found = list(items([str(tmp_path / "shard.tar")], tmp_path / "out"))
    assert [one.target for one in found] == [
        "shard/000",
        "shard/climbs",
        "shard/absolute",
        "shard/_batch/journal/x",
        "shard/link",
        "shard/hard",
    ]
    reasons = [one.refused.rpartition(": ")[2] for one in found]
    assert reasons == [
        "",
        "its name climbs out of the archive",
        "its name in the archive is absolute",
        "",
        "is a link or a device, and no file",
        "is a link or a device, and no file",
    ]
    Archives().copy(found[0], tmp_path / "photo")
    assert (tmp_path / "photo").read_bytes() == photo_bytes()


def test_a_tar_that_is_cut_short_gives_what_is_whole_and_names_the_rest(tmp_path):
    write_tar(tmp_path / "a.tar", [("0.png", photo_bytes()), ("1.png", bytes(5000))])
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:3000])
    found = list(items([str(tmp_path / "a.tar")], tmp_path / "out"))
    assert [bool(one.refused) for one in found][:2] == [False, True]
    assert "is cut short" in found[1].refused
    with pytest.raises(PhotoError, match="is cut short"):
        Archives().copy(found[1], tmp_path / "photo")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.tar", "there is no such file"),
        ("empty", "needed photos, found none"),
        ("noise.tar", "needed a plain tar"),
        ("noise.parquet", "needed a Parquet file"),
        ("shard.tar.gz", "is compressed"),
    ],
)
def test_a_source_that_cannot_be_read_says_why(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    for noise in ("noise.tar", "noise.parquet", "shard.tar.gz"):
        (tmp_path / noise).write_bytes(b"noise" * 300)
    with pytest.raises(DataError, match=message):
        targets(tmp_path / name)


def test_every_name_is_given_once_and_stays_below():
    names = Names()
    hostile_names = [
        "a.jpg",
        "A.JPG",
        "a.png",
        "a.jpg",
        "../a.jpg",
        "/a",
        "..",
        "",
        "a/../../b.jpg",
        ".batch/x",
    ]
    given = [names.give(name) for name in hostile_names]
    assert len({one.casefold() for one in given}) == len(given)
    assert not any(one.startswith(("/", ".")) or ".." in Path(one).parts for one in given)


@pytest.mark.parametrize("name", ["/a.png", "a/../../b.png", "..\\b.png", "C:\\b.png", "a\0.png"])
def test_hostile_names_are_known(name):
    assert hostile(name)
    assert not hostile("scans/..a/b..png")
