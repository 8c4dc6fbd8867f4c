"""The command line in this process, where torch is loaded; real processes are for signals and streams."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from pixelwise.cli.app import run
from pixelwise.progress import show_progress

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def pixelwise(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Done]]:
    """Run a command; gives its exit code and what it printed, as a process would."""
    polite_kill = signal.getsignal(signal.SIGTERM)

    def run_command(*args: object) -> Done:
        tokens = [str(arg) for arg in args]
        code = run(tokens)
        return subprocess.CompletedProcess(tokens, code, *capsys.readouterr())

    yield run_command
    show_progress(False)
    signal.signal(signal.SIGTERM, polite_kill)


@pytest.fixture(scope="session")
def program() -> list[str]:
    """The command line as a process of its own."""
    return [sys.executable, "-c", "from pixelwise.cli import main; main()"]
