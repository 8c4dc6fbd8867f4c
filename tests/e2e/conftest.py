"""The command line in this process, where torch is loaded; real processes are for signals and streams."""

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
import torch

from pixelwise.cli.app import run
from pixelwise.colour.palette import Palette
from pixelwise.network import models
from pixelwise.network.config import UNetConfig
from pixelwise.network.runs import write_model
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


@pytest.fixture(scope="session")
def program() -> list[str]:
    """The command line as a process of its own."""
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
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a small network of random weights that colours in four colours."""
    torch.manual_seed(0)
    config = UNetConfig(num_filters=8, num_colours=4)
    palette = Palette(np.array([[40.0, 0], [0, 40], [-40, 0], [0, -40]]), "ab")
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    write_model(path, models.build(config), config, palette, size=32)
    return path
