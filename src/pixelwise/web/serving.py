"""A service on a port, from its start to the answer of the last request it took."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

import pyvips
import uvicorn
from fastapi import FastAPI

from pixelwise.errors import ConfigError
from pixelwise.files import reason, temporary_folder
from pixelwise.network.config import Device
from pixelwise.network.session import choose_device, usable_processors
from pixelwise.web.app import create_app
from pixelwise.web.guard import LOOPBACK
from pixelwise.web.limits import Limits
from pixelwise.web.service import open_service

_SHORTEST_TOKEN = 8
_logger = logging.getLogger(__name__)


def serve(
    host: str,
    port: int,
    limits: Limits,
    on_ready: Callable[[str], None],
    token: str | None,
    models: Sequence[Path],
    heads: Sequence[Path],
    device: Device,
) -> signal.Signals:
    """Serve until a signal comes; return it. Requests taken by then are answered, within `limits.seconds`.

    `on_ready` is called with the address once the server answers there. `port` 0 takes any that is free;
    `models` and `heads` are files that are served beside what is shipped. CheckpointError where a file holds
    no model or head; ConfigError where the address cannot be had, or is not this machine's own and there is
    no token.
    """
    hosts = _hosts(host, token)
    with closing(_listen(host, port)) as listener, _own_folder() as folder:
        num_lanes = 1 if choose_device(device) == "cuda" else usable_processors()
        service = open_service(num_lanes, models=models, heads=heads, device=device)
        pyvips.cache_set_max(0)  # no photo comes twice, and what is kept of one is memory
        app = create_app(service, limits, folder, hosts, token)
        try:
            from pixelwise.web.page.mounted import mount  # importing it makes a temporary folder: ours
        except ModuleNotFoundError as error:
            if error.name != "gradio":
                raise
            install = "pip install 'pixelwise[page]', or make train in a clone"
            _logger.warning("without the page, which needs gradio: %s", install)
        else:
            mount(app, limits.max_bytes, heads)
        server = _Server(app, limits, lambda: on_ready(_url(listener)))
        server.run(sockets=[listener])
    return server.stopped_by


class _Server(uvicorn.Server):
    """uvicorn's server, which calls back when it is up and keeps the signal that stopped it."""

    stopped_by = signal.SIGTERM

    def __init__(self, app: FastAPI, limits: Limits, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="on",
                log_config=None,
                log_level=logging.ERROR,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=max(1, round(limits.seconds)),
            )
        )
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's
        """Stop once all is answered; at once, on a second signal."""
        self.force_exit = self.should_exit
        self.should_exit = True
        if self.force_exit:  # what it breaks off has nothing more to say
            logging.getLogger("uvicorn.error").disabled = True
        self.stopped_by = signal.Signals(sig)
        _logger.warning("stopping at once" if self.force_exit else "answering what was asked, then stopping")


def _hosts(host: str, token: str | None) -> frozenset[str] | None:
    """Return the names by which requests may call us, None for any; ConfigError where anybody could ask."""
    if token is not None and (
        len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token
    ):
        raise ConfigError(
            f"needed a token of at least {_SHORTEST_TOKEN} letters, digits and signs without spaces; "
            "`openssl rand -hex 16` makes one"
        )
    if _is_loopback(host):
        return LOOPBACK | {host.lower()}
    if token is None:
        raise ConfigError(
            f"needed a token to serve on {host}, where other machines can ask; give --token or "
            "PIXELWISE_TOKEN, or leave out --host"
        )
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in LOOPBACK


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port < 2**16:
        raise ConfigError(f"needed a port from 0 to {2**16 - 1}, got {port}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        why, *_ = reason(error).split(" (while")  # it attempted what the message says anyway
        raise ConfigError(
            f"cannot serve on {host}, port {port}: {why}; choose another --port, or 0 for any that is free"
        ) from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Give the folder of all temporary files of this process: other people's photos lie in them."""
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    with temporary_folder("pixelwise-serve-") as folder:
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
        try:
            yield folder
        finally:
            tempfile.tempdir = before[0]
            if before[1] is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before[1]
