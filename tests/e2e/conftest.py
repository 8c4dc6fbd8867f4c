"""The command line in this process, where libraries are loaded; processes are for signals and streams."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest

from fixtures.networks import colouriser, random_weight
from fixtures.photos.make import BAD, PHOTOS
from pixelwise.cli.app import run
from pixelwise.colour.palette import Palette
from pixelwise.progress import show_progress

Done = subprocess.CompletedProcess[str]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A command sends what is logged to its own standard error, which is closed when its test is over."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def pixelwise(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Done]]:
    """Run a command; gives its exit code and what it printed, as a process would."""

    def run_command(*args: object) -> Done:
        tokens = [str(arg) for arg in args]
        code = run(tokens)
        return subprocess.CompletedProcess(tokens, code, *capsys.readouterr())

    yield run_command
    show_progress(False)


@pytest.fixture
def answer(pixelwise: Callable[..., Done]) -> Callable[..., dict]:
    """Run a command that succeeds; gives its JSON object."""

    def run_command(*args: object) -> dict:
        done = pixelwise(*args, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run_command


@pytest.fixture
def refused(pixelwise: Callable[..., Done]) -> Callable[..., str]:
    """Run a command that is used wrongly; gives the one line that says so."""

    def run_command(*args: object) -> str:
        done = pixelwise(*args)
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        return line

    return run_command


@pytest.fixture(scope="session")
def program() -> list[str]:
    return [sys.executable, "-c", "from pixelwise.cli import main; main()"]


@pytest.fixture(scope="session")
def serving(program: list[str]) -> Callable[..., AbstractContextManager[tuple[subprocess.Popen[str], str]]]:
    """Give a context in which `pixelwise serve` runs: its process and its address."""

    @contextmanager
    def serve(*options: str, stderr: int = subprocess.PIPE, **environment: str):
        command, env = [*program, "serve", "--port", "0", "--json", *options], os.environ | environment
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=env)
        try:
            yield process, json.loads(process.stdout.readline())["url"]
        finally:
            process.kill()
            process.communicate()

    return serve


@pytest.fixture(scope="session")
def served(
    serving: Callable[..., AbstractContextManager], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """The address of a server for all tests that leave it as it is, and the folder that it puts files in."""
    folder = tmp_path_factory.mktemp("served")
    with serving(stderr=subprocess.DEVNULL, TMPDIR=str(folder)) as (_, url):
        yield url, folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a small network that colours in four colours, at random and sure of itself."""
    palette = Palette(np.array([[60.0, 0], [0, 60], [-60, 0], [0, -60]]), "ab")
    path = tmp_path_factory.mktemp("model") / "random.onnx"
    path.write_bytes(colouriser(random_weight(4), palette))
    return path


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a photo of every kind and of files that are none."""
    folder = tmp_path_factory.mktemp("everything")
    for name, (write, _) in BAD.items():
        write(folder / name)
    for name, write in PHOTOS.items():
        write(folder / name)
    return folder
