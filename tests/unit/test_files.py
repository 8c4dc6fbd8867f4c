"""Files appear whole or not at all; progress is silent in a library."""

import hashlib
import io
import re
import stat
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pixelwise.cli.common import say
from pixelwise.errors import OutputError
from pixelwise.files import alone_in, checksum, require_writable, whole_file, write_bytes, write_text
from pixelwise.progress import progress, show_progress

pytestmark = pytest.mark.core


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_written_file_is_whole_and_like_any_other(tmp_path):
    write_text(tmp_path / "new" / "a.txt", "grün\n")
    assert (tmp_path / "new" / "a.txt").read_bytes() == "grün\n".encode()
    assert names(tmp_path / "new") == ["a.txt"]
    (tmp_path / "plain").write_text("")
    write_bytes(tmp_path / "ours", b"")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "plain")}
    assert len(modes) == 1


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), whole_file(path) as temporary:
        assert (temporary.suffix, temporary.parent) == (".txt", tmp_path)
        temporary.write_text("half of the n")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's always full device")
def test_what_cannot_be_written_is_an_output_error(tmp_path):
    with (
        pytest.raises(OutputError, match="no space left on device"),
        whole_file(tmp_path / "a"),
        Path("/dev/full").open("wb") as f,
    ):
        f.write(b"x" * 100_000)
    assert names(tmp_path) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/a.txt"):
        write_text(tmp_path / "file" / "a.txt", "")


def test_checksums_are_those_of_hashlib(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert checksum(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    assert checksum(tmp_path / "a", "md5") == hashlib.md5(b"abc").hexdigest()


def test_trying_to_write_leaves_everything_as_it_was(tmp_path):
    (tmp_path / "there.txt").write_text("old")
    require_writable(tmp_path / "there.txt")
    require_writable(tmp_path / "new" / "file.txt")
    assert (tmp_path / "there.txt").read_text() == "old"
    assert names(tmp_path / "new") == []
    for path in (tmp_path, tmp_path / "there.txt" / "head"):
        with pytest.raises(OutputError, match=path.name):
            require_writable(path)


def test_a_folder_is_one_process_s_own(tmp_path):
    folder = tmp_path / "run"
    with alone_in(folder) as ours, alone_in(folder) as others:
        assert (ours, others) == (True, False)
    assert not folder.exists()  # it was new and stayed empty
    with alone_in(folder) as ours:
        (folder / "a").write_text("")
    assert ours
    assert names(folder) == ["a"]


def test_a_folder_never_has_two_owners(tmp_path):
    owners, num_owned = [], []

    def own_in_turn(name):
        for _ in range(200):
            with alone_in(tmp_path) as ours:
                if ours:
                    owners.append(name)
                    time.sleep(1e-5)
                    assert owners == [name]
                    owners.remove(name)
                    num_owned.append(1)

    with ThreadPoolExecutor() as pool:
        list(pool.map(own_in_turn, range(4)))
    assert num_owned
    assert names(tmp_path) == []


@pytest.fixture(autouse=True)
def _off_again():
    yield
    show_progress(False)


@pytest.mark.parametrize("shown", [False, True])
def test_short_work_off_a_terminal_says_nothing(capfd, shown):
    show_progress(shown)
    with progress("counting", 3) as advance:
        for step in range(3):
            advance(1, f"step {step}")
    assert capfd.readouterr() == ("", "")


def test_time_left_follows_from_the_pace_of_this_run_alone(capfd, monkeypatch):
    show_progress(True)
    now = iter([0.0, 60.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    with progress("training", 1000, done=900) as advance:
        advance(10, "so far so good")
    assert capfd.readouterr() == ("", "training: 910/1000, 540 s left, so far so good\n")


def test_what_is_said_meanwhile_stands_above_the_bar_whole(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    show_progress(True)
    with progress("colouring :horse:", 2) as advance:
        advance(1, "")
        say("[red] album/[b].jpg: cut short")
        advance(1, "[red] album/[b].jpg")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).replace("\r", "\n").splitlines()
    assert "pixelwise: [red] album/[b].jpg: cut short" in lines
    assert any("[red] album/[b].jpg" in line for line in lines if line.startswith("colouring :horse:"))
