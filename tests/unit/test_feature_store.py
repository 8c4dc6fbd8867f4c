"""Entries of the cache when the disk, other processes or accidents are against them."""

import logging
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from safetensors import safe_open

from fixtures.photos.make import scene
from fixtures.tiny_backbone import num_seen, tiny_backbone
from pixelwise.errors import OutputError
from pixelwise.features import FeatureCache
from pixelwise.features.store import Store

KEYS = [f"{number:064x}" for number in range(20)]
_HOUR_S = 3600


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    paths = [folder / f"{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        Image.fromarray(scene(40, 56, seed=number)).save(path)
    return paths


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*.safetensors"))


def held_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def used_at(store: Store, key: str, seconds: float) -> None:
    """As if the entry had last been used then."""
    os.utime(store.path(key), (seconds, seconds))


def listed(store: Store) -> list[int]:
    return [KEYS.index(path.stem) for path in entries(store.folder)]


def filled(folder: Path, num: int, limit_bytes: int | None) -> Store:
    store = Store(folder, limit_bytes)
    for number in range(num):
        store.add(KEYS[number], bytes(100))
        used_at(store, KEYS[number], 1000 + number)
    return store


class TestLimit:
    def test_what_was_used_least_recently_goes_first(self, folder):
        store = filled(folder, 10, limit_bytes=1000)
        used_at(store, KEYS[0], 5000)
        store.add(KEYS[10], bytes(100))
        assert listed(store) == [0, 3, 4, 5, 6, 7, 8, 9, 10]  # a tenth of the limit stays free

    def test_using_an_entry_is_noted(self, folder):
        store = filled(folder, 10, limit_bytes=1000)
        store.touch(KEYS[0])
        store.add(KEYS[10], bytes(100))
        assert 0 in listed(store)

    def test_the_limit_is_never_passed(self, folder):
        store = Store(folder, 1050)
        for key in KEYS:
            store.add(key, bytes(100))
            assert held_bytes(folder) <= 1050
        assert listed(store)[-1] == 19

    def test_others_additions_count(self, folder):
        one, other = Store(folder, 1000), Store(folder, 1000)
        for number in range(0, 20, 2):
            one.add(KEYS[number], bytes(100))
            other.add(KEYS[number + 1], bytes(100))
            assert held_bytes(folder) <= 1000

    def test_what_is_held_stays_and_the_rest_is_refused(self, folder):
        store = filled(folder, 10, limit_bytes=1000)
        hold = store.hold(KEYS[:10])
        with pytest.raises(
            OutputError,
            match=r"cannot keep more features in .*cache: they may take 0 MB, and 0 MB are in use",
        ):
            store.add(KEYS[10], bytes(100))
        assert listed(store) == list(range(10))
        del hold
        store.add(KEYS[10], bytes(100))
        assert listed(store) == [2, 3, 4, 5, 6, 7, 8, 9, 10]

    def test_who_shares_the_folder_may_read_what_is_in_use(self, folder):
        store = filled(folder, 1, limit_bytes=1000)
        hold = store.hold(KEYS[:1])
        (held,) = folder.glob("*.held")
        assert held.stat().st_mode == store.path(KEYS[0]).stat().st_mode
        del hold

    def test_what_another_process_holds_stays_until_it_is_killed(self, folder):
        store = filled(folder, 10, limit_bytes=1000)
        code = f"""
import sys, time
from pathlib import Path
from pixelwise.features.store import Store
hold = Store(Path({str(folder)!r}), 1000).hold({KEYS[:3]!r})
print("held", flush=True)
time.sleep(60)
"""
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout.readline() == "held\n"
            store.add(KEYS[10], bytes(100))
            assert listed(store) == [0, 1, 2, 5, 6, 7, 8, 9, 10]
            other.kill()
        store.add(KEYS[11], bytes(100))
        store.add(KEYS[12], bytes(100))
        assert listed(store) == [2, 5, 6, 7, 8, 9, 10, 11, 12]
        assert not list(folder.glob("*.held"))

    @pytest.mark.parametrize("note", ["", "nonsense", "0", "999999"])
    def test_a_lost_or_wrong_note_of_the_bytes_does_no_harm(self, folder, note):
        filled(folder, 10, limit_bytes=1000)
        (folder / "lock").write_text(note)
        Store(folder, 1000).add(KEYS[11], bytes(100))
        assert held_bytes(folder) == 900

    def test_by_default_it_is_a_tenth_of_a_disk_with_little_to_spare(self, folder, monkeypatch):
        monkeypatch.setattr("shutil.disk_usage", lambda _folder: type("Usage", (), {"free": 9_000}))
        store = filled(folder, 9, limit_bytes=None)
        store.add(KEYS[9], bytes(150))  # 9,900 bytes were free without them
        assert held_bytes(folder) <= 990
        assert listed(store)[-1] == 9


class TestLeftovers:
    def test_those_of_killed_processes_are_swept_and_those_in_the_making_are_not(self, folder):
        store = filled(folder, 1, limit_bytes=None)
        old, new = (folder / f".{KEYS[number]}.abc.safetensors" for number in (1, 2))
        for path in (old, new):
            path.write_bytes(bytes(10))
        long_ago = time.time() - _HOUR_S
        os.utime(old, (long_ago, long_ago))
        store.add(KEYS[3], bytes(100))
        assert old.exists()  # once a run is enough
        Store(folder).add(KEYS[4], bytes(100))
        assert not old.exists()
        assert new.exists()
        assert listed(store) == [0, 3, 4]

    def test_those_in_the_making_count(self, folder):
        filled(folder, 8, limit_bytes=1000)
        (folder / f".{KEYS[15]}.abc.safetensors").write_bytes(bytes(150))
        Store(folder, 1000).add(KEYS[9], bytes(100))
        assert held_bytes(folder) <= 1000


class TestDamage:
    @pytest.mark.parametrize(
        "damage",
        [
            lambda content: b"",
            lambda content: content[:5],
            lambda content: content[: len(content) // 2],
            lambda content: content[:-1],
            lambda content: content + b"x",
            lambda content: bytes(len(content)),
            lambda content: content[:3] + b"\xff" + content[4:],
            lambda content: content[:40] + b"\x00" + content[41:],
            lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
            lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        ],
        ids=["empty", "stub", "half", "short", "long", "zeros", "length", "header", "bit", "checksum"],
    )
    def test_a_damaged_entry_is_noticed_and_computed_anew(self, folder, photos, damage):
        whole = FeatureCache(folder).maps(photos[:1], tiny_backbone(), sizes=[32])
        (path,) = entries(folder)
        before = path.read_bytes()
        path.unlink()
        path.write_bytes(damage(before))
        backbone = tiny_backbone()
        again = FeatureCache(folder).maps(photos[:1], backbone, sizes=[32])
        assert num_seen(backbone) == 1
        assert path.read_bytes() == before
        assert (again[0].read()[0] == whole[0].read()[0]).all()

    def test_an_entry_by_another_ones_name_is_noticed(self, folder, photos):
        FeatureCache(folder).maps(photos[:2], tiny_backbone(), sizes=[32])
        one, other = entries(folder)
        one.write_bytes(other.read_bytes())
        backbone = tiny_backbone()
        FeatureCache(folder).maps(photos[:2], backbone, sizes=[32])
        assert num_seen(backbone) == 1

    def test_a_folder_by_an_entrys_name_is_passed_over(self, folder, photos, caplog):
        FeatureCache(folder).maps(photos[:1], tiny_backbone(), sizes=[32])
        (path,) = entries(folder)
        path.unlink()
        path.mkdir()
        (photo,) = FeatureCache(folder).maps(photos[:1], tiny_backbone(), sizes=[32])
        assert len(photo.read()) == 2
        assert "is a directory; features stay in memory" in caplog.text

    def test_an_entry_is_a_file_that_safetensors_reads(self, folder, photos):
        (photo,) = FeatureCache(folder).maps(photos[:1], tiny_backbone(), sizes=[32])
        (path,) = entries(folder)
        with safe_open(path, framework="pt") as file:
            assert set(file.keys()) == {"fine", "coarse", "checksum"}
            assert file.metadata() == {"key": path.stem}
            assert (file.get_tensor("fine") == photo.read()[0]).all()


class TestNoRoom:
    """One remark, and the run goes on with what memory holds."""

    def remarks(self, caplog) -> list[str]:
        return [record.message for record in caplog.records if record.levelno >= logging.WARNING]

    def test_a_full_disk(self, folder, photos, caplog):
        FeatureCache(folder).maps(photos[:1], tiny_backbone())
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))  # what the disk takes of one file
        try:
            maps = FeatureCache(folder).maps(photos, tiny_backbone())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        (remark,) = self.remarks(caplog)
        assert "cannot write" in remark
        assert "file too large; features stay in memory, and the next run computes them again" in remark
        assert [len(photo.read()) for photo in maps] == [4] * 4
        assert len(entries(folder)) == 2
        assert not list(folder.glob(".*.safetensors"))
        uncached = FeatureCache(folder.with_name("elsewhere")).maps(photos, tiny_backbone())
        pairs = zip(maps, uncached, strict=True)
        assert all((a == b).all() for x, y in pairs for a, b in zip(x.read(), y.read(), strict=True))

    def test_a_folder_that_cannot_be(self, tmp_path, photos, caplog):
        (tmp_path / "file").write_text("")
        maps = FeatureCache(tmp_path / "file" / "cache").maps(photos, tiny_backbone())
        assert [len(photo.read()) for photo in maps] == [4] * 4
        (remark,) = self.remarks(caplog)
        assert "put the cache elsewhere by PIXELWISE_CACHE; features stay in memory" in remark

    def test_more_in_use_than_the_limit(self, folder, photos, caplog):
        maps = FeatureCache(folder, limit_bytes=7000).maps(photos, tiny_backbone())
        assert [len(photo.read()) for photo in maps] == [4] * 4
        assert 0 < held_bytes(folder) <= 7000
        (remark,) = self.remarks(caplog)
        assert "cannot keep more features in" in remark

    def test_memory_is_bounded_too(self, folder, photos, monkeypatch, caplog):
        monkeypatch.setattr("pixelwise.features.filling._MEMORY_BYTES", 4000)
        message = r"are in use; memory takes at most 4e-06 GB instead: make room, put the cache elsewhere"
        with pytest.raises(OutputError, match=message):
            FeatureCache(folder, limit_bytes=0).maps(photos, tiny_backbone())


def test_what_one_call_uses_stays_while_its_results_live(folder, photos):
    """Each photo takes two entries of about 1 and 3 kB."""
    first = FeatureCache(folder, limit_bytes=9000).maps(photos[:2], tiny_backbone())
    FeatureCache(folder, limit_bytes=9000).maps(photos[2:], tiny_backbone())
    assert [len(photo.read()) for photo in first] == [4, 4]
    kept = first.pop()
    del first
    FeatureCache(folder, limit_bytes=9000).maps(photos[2:], tiny_backbone())
    assert len(kept.read()) == 4
    del kept
    backbone = tiny_backbone()
    FeatureCache(folder, limit_bytes=9000).maps(photos[2:], backbone)
    backbone = tiny_backbone()
    FeatureCache(folder, limit_bytes=9000).maps(photos[2:], backbone)
    assert num_seen(backbone) == 0
    assert held_bytes(folder) <= 9000
