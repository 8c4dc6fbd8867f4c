"""Requests leave nothing behind, whatever became of them."""

import asyncio
from pathlib import Path

import pytest
import pyvips

from fixtures.photos.make import PHOTOS
from pixelwise.errors import PhotoError
from pixelwise.photos.photo import open_photo
from pixelwise.web.limits import Limits
from pixelwise.web.request_queue import RequestQueue

pytestmark = pytest.mark.core

OPENED = Path("/proc/self/fd")


@pytest.mark.skipif(not OPENED.is_dir(), reason="needs Linux's list of open files")
def test_a_damaged_photo_is_closed_when_its_folder_goes(tmp_path):
    """Windows would not remove it otherwise."""
    pyvips.cache_set_max(0)  # as the server does
    queue = RequestQueue(Limits(workers=1), tmp_path)
    slot = queue.enter()
    upload = slot.folder / "photo"
    PHOTOS["camera.jpg"](slot.folder / "whole.jpg")
    upload.write_bytes((slot.folder / "whole.jpg").read_bytes()[:2000])
    with pytest.raises(PhotoError, match="photo: damaged or cut short"):
        asyncio.run(slot.run(lambda: open_photo(upload).thumbnail(8, 8), upload))
    slot.leave()
    queue.close()
    assert list(tmp_path.iterdir()) == []
    opened = [str(link.readlink()) for link in OPENED.iterdir() if link.is_symlink()]
    assert not [name for name in opened if name.startswith(str(upload))]  # with a remark that it is deleted
