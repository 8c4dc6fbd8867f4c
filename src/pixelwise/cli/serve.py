"""The verb that answers over HTTP: serve."""

from __future__ import annotations

import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, say
from pixelwise.cli.photos import MaxMegapixels
from pixelwise.files import to_json


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """Limits of the service."""

    max_megabytes: float = 100.0
    """Refuse larger requests."""
    max_megapixels: MaxMegapixels = 100.0
    seconds: float = 60.0
    """Seconds that a photo may take to arrive, and as many again for its answer."""
    queue: int = 32
    """Requests that may wait while all workers are busy; further ones are refused for now."""
    workers: int | None = None
    """Photos that are worked on at once; two for each processor if not given."""


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    token: str | None = None,
    model: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    head: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    limits: LimitOptions = LimitOptions(),
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Open a page and a service that colour and segment: on this machine alone, unless asked otherwise.

    At / there is a page that colours, segments and learns, for a browser; /openapi.json describes the paths
    for programs. Ctrl-C or SIGTERM lets it answer what it has taken; a second one ends it at once.

    Parameters
    ----------
    host
        Address to listen on. Any other than this machine's own needs --token.
    port
        Port to listen on; 0 takes any that is free. With --json {"url": ...} goes to standard output.
    token
        What every request has to know, as bearer or as the password of Basic; or give PIXELWISE_TOKEN.
    model
        A model file to serve by its name, beside the shipped ones; may be given several times.
    head
        A head file to serve by its name; may be given several times.
    """
    from pixelwise.network.device import choose_device
    from pixelwise.web.limits import Limits
    from pixelwise.web.serving import serve as serve_photos

    def on_ready(url: str) -> None:
        say(f"serving on {url}; Ctrl-C stops", quiet=common.quiet)
        if common.json:
            print(to_json({"url": url}), flush=True)

    kept = Limits(**{name: value for name, value in asdict(limits).items() if value is not None})
    say("opening models and heads", quiet=common.quiet)
    stopped_by = serve_photos(
        host,
        port,
        kept,
        on_ready,
        token=os.environ.get("PIXELWISE_TOKEN") if token is None else token,
        models=model,
        heads=head,
        device=choose_device(common.device),
    )
    if stopped_by == signal.SIGINT:
        raise KeyboardInterrupt
