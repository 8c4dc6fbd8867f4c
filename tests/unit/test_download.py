"""Downloads from a real server on this machine that can drop, refuse, lie and forget how to continue."""

import contextlib
import hashlib
import http.server
import io
import os
import re
import signal
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pixelwise.data.download import Remote, fetch, unpack
from pixelwise.errors import DataError, DownloadError, OutputError

CONTENT = bytes(range(256)) * 4000  # about a megabyte, so that it takes several pieces


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT at any address; each attribute is a way to be difficult."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.content = CONTENT
        self.can_continue = True
        self.says_length = True
        self.statuses = []  # of the next answers; then 200
        self.drop_after = []  # bytes after which each of the next answers breaks off
        self.after_dropping = None  # called before the connection closes
        self.asked_from = []  # first byte of each request

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        start = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])[1])
        server.asked_from.append(start)
        if server.statuses and (status := server.statuses.pop(0)) != 200:
            self.send_error(status)
            return
        start = start if server.can_continue else 0
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if server.says_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        stop = server.drop_after.pop(0) if server.drop_after else len(body)
        with contextlib.suppress(ConnectionError):  # the other side had enough
            self.wfile.write(body[:stop])
        if stop < len(body) and server.after_dropping:
            server.after_dropping()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def remote(server, content=CONTENT, algorithm="sha256"):
    digest = hashlib.new(algorithm, content).hexdigest()
    return Remote(url=server.url("data.bin"), about_bytes=len(content), checksum=digest, algorithm=algorithm)


def quickly(remote, folder):
    return fetch(remote, folder, timeout_s=5.0, pauses_s=(0.0, 0.0))


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_file_comes_whole(server, tmp_path, algorithm):
    path = quickly(remote(server, algorithm=algorithm), tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "data.bin"
    assert path.read_bytes() == CONTENT
    assert not list(path.parent.glob("*.part"))


def test_a_file_that_is_there_is_not_asked_for_again(server, tmp_path):
    for _ in range(2):
        quickly(remote(server), tmp_path)
    assert server.asked_from == [0]


def test_a_wrong_file_that_is_there_is_kept_and_refused(server, tmp_path):
    (tmp_path / "data.bin").write_bytes(b"mine")
    with pytest.raises(
        DownloadError, match=r"needed .*data\.bin with sha256 .*, got .* \(4 bytes\); delete it and run"
    ):
        quickly(remote(server), tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == b"mine"
    assert server.asked_from == []


def test_a_broken_connection_continues_where_it_broke(server, tmp_path):
    server.drop_after = [300_000, 400_000]
    assert quickly(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.asked_from == [0, 300_000, 700_000]


def test_an_answer_without_a_length_continues_too(server, tmp_path):
    server.says_length = False
    server.drop_after = [300_000]
    assert quickly(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.asked_from == [0, 300_000]


def test_a_server_that_cannot_continue_sends_all_again(server, tmp_path):
    server.can_continue = False
    server.drop_after = [300_000]
    assert quickly(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.asked_from == [0, 300_000]


def test_what_came_is_kept_for_the_next_run(server, tmp_path):
    server.drop_after = [300_000, 100_000, 100_000]
    with pytest.raises(
        DownloadError, match="closed after 500000 of 1024000 bytes; run again when the network is back"
    ):
        quickly(remote(server), tmp_path)
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:500_000]
    assert not (tmp_path / "data.bin").exists()
    assert quickly(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.asked_from[-1] == 500_000


def test_an_interrupt_keeps_what_came(server, tmp_path):
    def interrupt():
        time.sleep(0.2)  # while the other side waits for more
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.2)

    server.drop_after, server.after_dropping = [600_000], interrupt
    with pytest.raises(KeyboardInterrupt):
        quickly(remote(server), tmp_path)
    assert (tmp_path / "data.bin.part").stat().st_size > 0
    assert quickly(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.asked_from[1] > 0


def test_wrong_content_is_deleted_and_said(server, tmp_path):
    server.content = CONTENT[::-1]
    with pytest.raises(
        DownloadError, match=r"needed .*\.part with sha256 .*; it is deleted; run again, or put data\.bin"
    ):
        quickly(remote(server), tmp_path)
    assert not list(tmp_path.glob("data*"))


def test_a_part_that_does_not_belong_is_deleted_and_the_next_run_succeeds(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(b"x" * 1000)
    with pytest.raises(DownloadError, match="it is deleted"):
        quickly(remote(server), tmp_path)
    assert quickly(remote(server), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("says_length", [True, False])
@pytest.mark.parametrize("about_bytes", [1, 1000, 5_000_000])
@pytest.mark.parametrize("knows_checksum", [True, False])
def test_a_length_told_wrong_refuses_nothing(server, tmp_path, says_length, about_bytes, knows_checksum):
    """Lengths come from third parties; the checksum decides where it is known, and else whoever opens it."""
    server.says_length = says_length
    known = replace(remote(server), about_bytes=about_bytes)
    told = known if knows_checksum else replace(known, checksum=None)
    if says_length or knows_checksum:
        server.drop_after = [300_000]
    assert quickly(told, tmp_path / "download").read_bytes() == CONTENT
    (tmp_path / "by hand").mkdir()
    (tmp_path / "by hand" / "data.bin").write_bytes(CONTENT)
    assert quickly(told, tmp_path / "by hand").read_bytes() == CONTENT


@pytest.mark.parametrize("answers_416", [True, False])
def test_a_whole_part_without_checksum_is_taken_as_the_server_has_no_more(server, tmp_path, answers_416):
    server.statuses = [416] * answers_416
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    assert quickly(replace(remote(server), checksum=None), tmp_path).read_bytes() == CONTENT
    assert server.asked_from == [len(CONTENT)]


def test_nothing_is_not_taken_for_a_file_without_checksum(server, tmp_path):
    server.content = b""
    message = r"needed .*\.part with about 1\.0 MB, got \w+ \(0 bytes\); it is deleted"
    with pytest.raises(DownloadError, match=message):
        quickly(replace(remote(server), checksum=None), tmp_path)


def test_wrong_content_of_no_told_length_is_deleted(server, tmp_path):
    server.content, server.says_length = CONTENT[::-1], False
    with pytest.raises(DownloadError, match="it is deleted"):
        quickly(remote(server), tmp_path)
    assert not list(tmp_path.glob("data*"))


def test_a_whole_part_is_taken_without_asking(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    assert quickly(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.asked_from == []


def test_a_login_page_is_not_taken_for_the_file(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    server.content, server.can_continue = b"<html>please pay</html>", False
    with pytest.raises(
        DownloadError,
        match=r"needed data\.bin from .*, the server sends a page to be read; check the network",
    ):
        quickly(remote(server), tmp_path)
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:1000]


def test_a_server_that_never_stops_is_left(server, tmp_path):
    server.content, server.says_length = CONTENT * 20, False
    with pytest.raises(DownloadError, match="it is deleted"):
        quickly(remote(server), tmp_path)


def test_a_missing_file_is_not_tried_again(server, tmp_path):
    server.statuses = [404]
    message = (
        r"cannot download http://.*: the server answered 404 Not Found; put data\.bin \(sha256 \w{64}\) into "
    )
    with pytest.raises(DownloadError, match=message + re.escape(f"{tmp_path} by hand")):
        quickly(remote(server), tmp_path)
    assert len(server.asked_from) == 1


def test_an_overloaded_server_is_tried_again(server, tmp_path):
    server.statuses = [500, 503]
    assert quickly(remote(server), tmp_path).read_bytes() == CONTENT
    server.statuses = [500, 500, 500]
    with pytest.raises(DownloadError, match="the server answered 500 Internal Server Error; run again when"):
        quickly(remote(server), tmp_path / "other")


def test_no_network_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    offline = Remote(url="http://127.0.0.1:9/data.bin", about_bytes=5, checksum="ab12", algorithm="md5")
    by_hand = re.escape(f"put data.bin (md5 ab12) into {tmp_path} by hand")
    message = rf"Connection refused; run again when the network is back \(what came is kept\), or {by_hand}"
    with pytest.raises(DownloadError, match=message):
        quickly(offline, tmp_path)


def test_a_silent_server_runs_into_the_time_limit(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as silent:  # listens, never answers
        url = f"http://127.0.0.1:{silent.server_port}/data.bin"
        with pytest.raises(DownloadError, match="timed out"):
            fetch(
                Remote(url=url, about_bytes=5, checksum="", algorithm="md5"),
                tmp_path,
                timeout_s=0.1,
                pauses_s=(),
            )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_said(server, tmp_path):
    (tmp_path / "data.bin.part").symlink_to("/dev/full")
    message = r"cannot write .*data\.bin: no space left on device; make room, or choose another folder"
    with pytest.raises(OutputError, match=message):
        quickly(remote(server), tmp_path)


def test_a_folder_that_cannot_be_written_is_said(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*file/data\.bin: (file exists|not a directory)"):
        quickly(remote(server), tmp_path / "file")


def test_several_at_once_share_one_download(server, tmp_path):
    """Threads stand for processes: the lock belongs to an open file, and each opens its own."""
    with ThreadPoolExecutor(3) as pool:
        paths = list(pool.map(lambda _: quickly(remote(server), tmp_path), range(3)))
    assert [path.read_bytes() == CONTENT for path in paths] == [True, True, True]
    assert server.asked_from == [0]


def pack(path, *members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_an_archives_folder_appears_whole(tmp_path):
    unpack(pack(tmp_path / "a.tar.gz", ("set/one", b"1"), ("set/two", b"22")), tmp_path / "set")
    assert {file.name: file.read_bytes() for file in (tmp_path / "set").iterdir()} == {
        "one": b"1",
        "two": b"22",
    }
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.tar.gz", "set"]


@pytest.mark.parametrize("name", ["../climbed", "set/../../climbed"])
def test_an_archive_that_climbs_out_is_refused(tmp_path, name):
    home = tmp_path / "home"
    home.mkdir()
    with pytest.raises(DataError, match=r"cannot unpack .*a\.tar\.gz: .*outside the destination"):
        unpack(pack(home / "a.tar.gz", ("set/one", b"1"), (name, b"evil")), home / "set")
    assert [file.name for file in home.iterdir()] == ["a.tar.gz"]
    assert [file.name for file in tmp_path.iterdir()] == ["home"]


def test_an_archive_whose_links_lead_outside_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        link = tarfile.TarInfo("set/link")
        link.type, link.linkname = tarfile.SYMTYPE, "../../../etc"
        tar.addfile(link)
    with pytest.raises(DataError, match=r"cannot unpack .*a\.tar: set/link is neither a file nor a folder"):
        unpack(tmp_path / "a.tar", tmp_path / "set")


@pytest.mark.parametrize("keep", [0, 20, 150])
def test_a_damaged_archive_leaves_nothing(tmp_path, keep):
    path = pack(tmp_path / "a.tar.gz", ("set/one", os.urandom(1000)))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"cannot unpack .*; delete it and run again to download it"):
        unpack(path, tmp_path / "set")
    assert [file.name for file in tmp_path.iterdir()] == ["a.tar.gz"]


def test_an_archive_of_something_else_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"needed a folder set in .*a\.tar\.gz, got none"):
        unpack(pack(tmp_path / "a.tar.gz", ("other/one", b"1")), tmp_path / "set")


def test_what_another_process_unpacked_is_kept(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "theirs").write_text("")
    unpack(pack(tmp_path / "a.tar.gz", ("set/one", b"1")), tmp_path / "set")
    assert [file.name for file in (tmp_path / "set").iterdir()] == ["theirs"]
