"""What holds for every test: checked shapes, one thread per worker, real data only where it is named."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import jaxtyping
import pytest
from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers and the programs they start share the cores: threads that wait for each other would only fight.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    threadpool_limits(1, "blas")  # of this process, which has numpy already

# A shell that runs this in the background has Ctrl-C ignored, by us and by the programs that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# From here on, each function of the package checks the types and shapes of its arguments and of what it
# returns; an int will do where a float is asked for, as type checkers have it (PEP 484).
jaxtyping.install_import_hook(
    "pixelwise", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
)

# A slow machine is no failure; a run of CI says something about the commit, not about its luck; and examples
# of one test may share its folder, since each writes its own files.
settings.register_profile(
    "pixelwise",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("pixelwise")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Where only the core is installed, leave out what is not marked as its test: imports would fail."""
    if collection_path.suffix != ".py" or not collection_path.name.startswith("test_") or find_spec("torch"):
        return None
    return True if "pytest.mark.core" not in collection_path.read_text(encoding="utf-8") else None


@pytest.fixture
def unchecked() -> Iterator[None]:
    """No type or shape is checked, as outside the tests: what is left is what the package itself refuses."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def real_data_dir() -> Path:
    """The directory with the real data sets; the test is skipped, saying so, where none is named."""
    if not (named := os.environ.get("PIXELWISE_DATA")):
        pytest.skip("PIXELWISE_DATA is not set: no real data here")
    return Path(named)


@pytest.fixture
def short_disk() -> Callable[[int], AbstractContextManager[None]]:
    """Give a context within which the disk takes so many bytes of one file and no more."""
    resource = pytest.importorskip("resource")  # which Windows lacks

    @contextmanager
    def limited(num_bytes: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, ignored)

    return limited


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], str]]:
    """Serve a folder to this machine; gives the address."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    answer = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ExitStack() as stack:

        def start(folder: Path) -> str:
            handler = partial(answer, directory=folder)
            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
            Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield start
