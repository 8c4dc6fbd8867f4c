"""The verb that answers over HTTP: serve."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, say
from pixelwise.files import to_json
from pixelwise.web.limits import Limits


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    token: str | None = None,
    model: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    head: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    limits: Annotated[Limits, Parameter(name="*")] = Limits(),  # noqa: B008 - frozen
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
    from pixelwise.web.serving import serve as serve_photos

    def on_ready(url: str) -> None:
        say(f"serving on {url}; Ctrl-C stops", quiet=common.quiet)
        if common.json:
            print(to_json({"url": url}), flush=True)

    say("opening models and heads", quiet=common.quiet)
    stopped_by = serve_photos(
        host,
        port,
        limits,
        on_ready,
        token=os.environ.get("PIXELWISE_TOKEN") if token is None else token,
        models=model,
        heads=head,
        device=common.device,
    )
    if stopped_by == signal.SIGINT:
        raise KeyboardInterrupt
