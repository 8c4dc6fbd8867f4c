"""Verbs on photos as processes of their own: Ctrl-C, and file names of other times."""

import os
import signal
import subprocess
import time

import pytest
import pyvips

from fixtures.photos.make import PHOTOS

pytestmark = pytest.mark.core


@pytest.mark.parametrize("verb", ["colourise", "segment"])
@pytest.mark.slow
def test_an_interrupt_leaves_no_part_of_a_photo(verb, program, model, tmp_path):
    noise = pyvips.Image.gaussnoise(4000, 500, mean=128, sigma=60).cast("uchar")
    noise.replicate(1, 6).pngsave(str(tmp_path / "large.png"), compression=1)
    (tmp_path / "out").mkdir()
    options = ["--model", str(model)] if verb == "colourise" else ["--head", "flower", "--overlay"]
    command = [*program, verb, str(tmp_path / "large.png"), "-o", str(tmp_path / "out"), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in (tmp_path / "out").iterdir()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err == "pixelwise: interrupted; what was finished is kept\n"
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_names_that_are_not_utf8(program, model, tmp_path):
    folder = os.fsencode(tmp_path)
    for name, content in (("camera.jpg", None), ("cut.jpg", b"\xff\xd8\xff\xe0")):
        if content is None:
            PHOTOS[name](tmp_path / name)
        else:
            (tmp_path / name).write_bytes(content)
        os.rename(tmp_path / name, folder + b"/Gro\xdf [b] " + name.encode())  # noqa: PTH104 - bytes
    command = [*program, "colourise", folder, "-o", folder + b"/out \xdf", "--model", model]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "Gro\\udcdf [b] cut.jpg: damaged or cut short" in done.stderr
    assert "1 photo coloured" in done.stdout
    assert os.listdir(folder + b"/out \xdf") == [b"Gro\xdf [b] camera.jpg"]  # noqa: PTH208 - bytes
