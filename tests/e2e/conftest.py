"""The command line in this process, where torch is loaded; real processes are for signals and streams."""

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from pixelwise.cli.app import run
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
