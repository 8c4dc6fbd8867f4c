"""The application: its paths, and their entries in the OpenAPI document."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request, Security
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pixelwise import __version__
from pixelwise.web.guard import LOOPBACK, Guard
from pixelwise.web.limits import Limits
from pixelwise.web.metrics import Measured, Metrics
from pixelwise.web.negotiation import JSON, PHOTO_TYPES
from pixelwise.web.parameters import ColouriseParameters, P, SegmentParameters, with_fields
from pixelwise.web.problems import FAILURES, Refusal, answer_failure, documented
from pixelwise.web.request_queue import RequestQueue, Slot
from pixelwise.web.service import Known, Made, Service
from pixelwise.web.uploads import documented as documented_body
from pixelwise.web.uploads import receive

COLOURISE, SEGMENT, MODELS = "/v1/colourise", "/v1/segment", "/v1/models"
HEALTH, METRICS = "/healthz", "/metrics"
REMARKS = "Pixelwise-Remarks"
"""Header with a JSON array of what is to be known of a photo and its result."""
_METHODS = {COLOURISE: "POST", SEGMENT: "POST", MODELS: "GET", HEALTH: "GET", METRICS: "GET"}
_ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
_OF_PHOTOS = (400, 406, 408, 413, 415, 422, 500, 503, 504)
_PIECE_BYTES = 2**18
_MOST_REMARKS, _LONGEST_REMARK = 10, 300  # what clients take in a header is some kilobytes


class Health(BaseModel):
    """The answer of a server that is up."""

    status: Literal["ok"] = "ok"


class Models(BaseModel):
    """The models that colour and the heads that segment."""

    models: list[Known]


def create_app(
    service: Service,
    limits: Limits,
    folder: Path,
    hosts: frozenset[str] | None = LOOPBACK,
    token: str | None = None,
) -> FastAPI:
    """Make the application, but for its page; each request has a folder of its own in `folder`.

    `hosts` are names that it goes by, without port (None: any); `token` is what requests have to know.
    """
    queue = RequestQueue(limits, folder)
    metrics = Metrics(frozenset(_METHODS), queue)
    service.batcher.on_batch = metrics.batch_sizes.observe

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        queue.close()

    of_token, of_hosts = [401] if token else [], [403, 421] if hosts is not None else []
    app = FastAPI(
        title="pixelwise",
        summary="Colour photographs, and cut things out of them.",
        version=__version__,
        docs_url=None,  # its scripts would come from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        # in the document only: the guard, which is outside all this, asks for the token
        dependencies=[Security(HTTPBearer(auto_error=False))] if token else [],
        responses=documented([*of_token, *of_hosts, 413]),
        exception_handlers=dict.fromkeys(FAILURES, answer_failure),
    )
    _add_photo_routes(app, service, queue, metrics)
    _add_other_routes(app, service, metrics)
    _refuse_others(app)
    app.add_middleware(Guard, max_bytes=limits.max_bytes, hosts=hosts, token=token)
    app.add_middleware(Measured, metrics=metrics)
    return app


class FileAnswer(Response):
    """A file, sent piece by piece, whose request leaves its slot when it has been sent, or cannot be."""

    def __init__(
        self, file: Path, media_type: str, remarks: Sequence[str], slot: Slot, seconds: float
    ) -> None:
        """A client that takes no piece within `seconds` is given up on."""
        told = json.dumps([remark[:_LONGEST_REMARK] for remark in remarks[:_MOST_REMARKS]])
        headers = {"Content-Length": str(file.stat().st_size), REMARKS: told}
        super().__init__(None, 200, headers, media_type)
        self._file, self._slot, self._seconds = file, slot, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's
        """Send it."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            with self._file.open("rb") as file:
                while piece := file.read(_PIECE_BYTES):
                    async with asyncio.timeout(self._seconds):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._slot.leave()


def _add_photo_routes(app: FastAPI, service: Service, queue: RequestQueue, metrics: Metrics) -> None:
    async def answer(request: Request, query: P, work: Callable[[Path, P, float, str], Made]) -> Response:
        slot = queue.enter()
        try:
            upload, fields = await receive(request, slot.folder, queue.limits.seconds)
            asked, accept = with_fields(query, fields), request.headers.get("accept", "*/*")
            made = await slot.run(partial(work, upload, asked, queue.limits.max_megapixels, accept), upload)
            metrics.megapixels.labels(request.scope["path"]).inc(made.megapixels)
            if made.file is not None:
                remarks = [remark.replace(str(upload), "photo") for remark in made.remarks]
                return FileAnswer(made.file, made.media_type, remarks, slot, queue.limits.seconds)
        except BaseException:
            slot.leave()
            raise
        slot.leave()
        return JSONResponse(made.summary and made.summary.model_dump())

    coloured = _documented(ColouriseParameters, "The coloured photo.")
    of_json = {JSON: {"schema": {"$ref": "#/components/schemas/Summary"}}}
    mask = "A PNG of class numbers, which shows them in the classes' colours."

    @app.post(COLOURISE, response_class=Response, **coloured)
    async def colourise(request: Request, query: Annotated[ColouriseParameters, Query()]) -> Response:
        """Colour a photo: same size, same lightness, its metadata kept.

        Accept decides the format; where it leaves the choice, it is the photo's own. Parameters may be given
        in the query or as fields of the form.
        """
        return await answer(request, query, service.colourise)

    @app.post(SEGMENT, response_class=Response, **_documented(SegmentParameters, mask, of_json))
    async def segment(request: Request, query: Annotated[SegmentParameters, Query()]) -> Response:
        """Give each pixel of a photo a class.

        The answer is a mask of the photo's size as PNG; with Accept: application/json the classes' shares of
        the photo; or the photo with the classes laid over it, or cut out.
        """
        return await answer(request, query, service.segment)


def _add_other_routes(app: FastAPI, service: Service, metrics: Metrics) -> None:
    @app.get(MODELS)
    async def models() -> Models:
        """List the models that colour and the heads that segment, with sources, licences and checksums."""
        return Models(models=service.known)

    @app.get(HEALTH)
    async def healthz() -> Health:
        """Answer, if the server is up."""
        return Health()

    text = {"description": "Prometheus' text.", "content": {"text/plain": {"schema": {"type": "string"}}}}

    @app.get(METRICS, response_class=Response, responses={200: text})
    async def show_metrics() -> Response:
        """Give counts for Prometheus: requests, seconds, megapixels, the queue."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _refuse_others(app: FastAPI) -> None:
    """Refuse other methods and paths of ours: the page, which has all others, would answer its own way."""

    async def refuse(request: Request) -> Response:
        path = request.url.path
        if (method := _METHODS.get(path)) is None:
            raise Refusal(404, f"needed one of the paths {', '.join(_METHODS)}, got {path!r:.80}")
        raise Refusal(405, f"needed {method} {path}, got {request.method}", {"Allow": method})

    for path in ("/v1/{rest:path}", HEALTH, METRICS):
        app.add_route(path, refuse, methods=_ALL_METHODS, include_in_schema=False)


def _documented(
    parameters: type[BaseModel], result: str, further: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the OpenAPI document's part on a route that takes a photo."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    about_remarks = "A JSON array of what is to be known of the photo and the result."
    good = {
        "description": result,
        "content": dict.fromkeys(PHOTO_TYPES, binary) | (further or {}),
        "headers": {REMARKS: {"description": about_remarks, "schema": {"type": "string"}}},
    }
    return {
        "responses": {200: good} | documented(_OF_PHOTOS),
        "openapi_extra": documented_body(parameters.model_json_schema()),
    }
