"""Downloads from a real server on this machine, and archives that are whole, damaged or hostile."""

import hashlib
import io
import tarfile

import pytest

from pixelwise.errors import DataError, DownloadError
from pixelwise.photos.download import Remote, fetch, unpack

pytestmark = pytest.mark.core

CONTENT = bytes(range(256)) * 4000
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


@pytest.fixture
def url(serve, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "data.tgz").write_bytes(CONTENT)
    return f"{serve(tmp_path / 'site')}/data.tgz"


def remote(url, checksum=MD5):
    return Remote(url=url, num_megabytes=1.0, checksum=checksum)


@pytest.mark.parametrize("checksum", [MD5, None])
def test_a_file_is_downloaded_once(url, tmp_path, checksum):
    path = fetch(remote(url, checksum), tmp_path / "new" / "data")
    assert path.read_bytes() == CONTENT
    (tmp_path / "site" / "data.tgz").unlink()
    assert fetch(remote(url, checksum), path.parent, num_retries=0) == path
    assert [one.name for one in path.parent.iterdir()] == ["data.tgz"]


def test_a_file_put_there_by_hand_has_to_be_the_right_one(tmp_path):
    (tmp_path / "data.tgz").write_bytes(b"another")
    with pytest.raises(DownloadError, match=f"{MD5}.*delete it"):
        fetch(remote("http://127.0.0.1:9/data.tgz"), tmp_path)
    assert (tmp_path / "data.tgz").read_bytes() == b"another"


@pytest.mark.parametrize("reason", ["missing", "nobody", "another content"])
def test_a_download_that_fails_leaves_nothing_and_says_what_to_do_without_it(url, tmp_path, reason):
    address = {"missing": f"{url}.missing", "nobody": "http://127.0.0.1:9/data.tgz"}.get(reason, url)
    wanted = "md5:" + "0" * 32 if reason == "another content" else MD5
    with pytest.raises(DownloadError, match=r"data\.tgz.*by hand"):
        fetch(remote(address, wanted), tmp_path / "data", num_retries=0)
    assert not list((tmp_path / "data").iterdir())


def archive(path, *members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_a_folder_is_unpacked_whole(tmp_path):
    path = archive(tmp_path / "a.tgz", ("data/one", b"1"), ("data/deep/two", b"22"), ("other", b"3"))
    unpack(path, tmp_path / "data")
    assert (tmp_path / "data" / "deep" / "two").read_bytes() == b"22"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.tgz", "data"]


def refuse(_folder):
    raise DataError("refused")


@pytest.mark.parametrize("fault", ["cut", "text", "climbs", "absent", "check"])
def test_what_cannot_be_unpacked_leaves_nothing(tmp_path, fault):
    name = {"climbs": "data/../../stolen", "absent": "elsewhere/one"}.get(fault, "data/one")
    (tmp_path / "in").mkdir()
    path = archive(tmp_path / "in" / "a.tgz", (name, CONTENT))
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif fault == "text":
        path.write_text("no archive")
    with pytest.raises(DataError, match="refused" if fault == "check" else r"a\.tgz.*delete it"):
        unpack(path, path.parent / "data", refuse if fault == "check" else None)
    assert [one.name for one in path.parent.iterdir()] == ["a.tgz"]
    assert not list(tmp_path.rglob("stolen"))
