"""The application: its paths, and their entries in the OpenAPI document."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Query, Request, Security
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.responses import Response

from pixelwise import __version__
from pixelwise.web.answers import REMARKS, FileAnswer
from pixelwise.web.guard import Guard, Rules
from pixelwise.web.limits import Limits
from pixelwise.web.metrics import Measured, Metrics
from pixelwise.web.negotiation import JSON, PHOTO_TYPES
from pixelwise.web.parameters import ColouriseParameters, P, SegmentParameters, with_fields
from pixelwise.web.problems import Refusal, documented, handle_problems
from pixelwise.web.request_queue import RequestQueue
from pixelwise.web.service import Known, Made, Service
from pixelwise.web.uploads import documented as documented_body
from pixelwise.web.uploads import receive

COLOURISE, SEGMENT, MODELS = "/v1/colourise", "/v1/segment", "/v1/models"
HEALTH, METRICS = "/healthz", "/metrics"
_OF_PHOTOS = (400, 406, 408, 413, 415, 422, 500, 503, 504)


class Health(BaseModel):
    """The answer of a server that is up."""

    status: Literal["ok"] = "ok"


class Models(BaseModel):
    """The models that colour and the heads that segment."""

    models: list[Known]


def create_app(service: Service, limits: Limits, rules: Rules, folder: Path) -> FastAPI:
    """Make the application, but for its page; each request has a folder of its own in `folder`."""
    metrics = Metrics(frozenset({COLOURISE, SEGMENT, MODELS, HEALTH, METRICS}))
    queue = RequestQueue(limits, folder)
    metrics.watch(lambda: queue.num_waiting, lambda: queue.num_running)
    service.batcher.on_batch = metrics.add_batch

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        queue.close()

    app = FastAPI(
        title="pixelwise",
        summary="Colour photographs, and cut things out of them.",
        version=__version__,
        docs_url=None,  # its scripts would come from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        # in the document only: the guard, which is outside all this, asks for the token
        dependencies=[Security(HTTPBearer(auto_error=False))] if rules.token else [],
        responses=documented(_of_rules(rules)),
    )
    app.include_router(_photo_routes(service, queue, metrics))
    app.include_router(_other_routes(service, metrics))
    app.include_router(_unknown_routes())
    handle_problems(app)
    app.add_middleware(Guard, rules=rules)
    app.add_middleware(Measured, metrics=metrics)
    return app


def _photo_routes(service: Service, queue: RequestQueue, metrics: Metrics) -> APIRouter:
    router = APIRouter()
    seconds, max_megapixels = queue.limits.seconds, queue.limits.max_megapixels

    async def answer(request: Request, query: P, do: Callable[[Path, P, str], Made]) -> Response:
        slot = queue.enter()
        try:
            upload, fields = await receive(request, slot.folder, seconds)
            asked = with_fields(query, fields)
            made = await slot.run(partial(do, upload, asked, request.headers.get("accept", "*/*")), upload)
            metrics.add_megapixels(request.scope["path"], made.megapixels)
            if made.file is not None:
                return FileAnswer(made.file, made.media_type, made.remarks, slot, seconds)
        except BaseException:
            slot.leave()
            raise
        slot.leave()
        return JSONResponse(made.summary and made.summary.model_dump())

    @router.post(
        COLOURISE, response_class=Response, **_documented(ColouriseParameters, "The coloured photo.")
    )
    async def colourise(request: Request, query: Annotated[ColouriseParameters, Query()]) -> Response:
        """Colour a photo: same size, same lightness, its metadata kept.

        Accept decides the format; where it leaves the choice, it is the photo's own. Parameters may be given
        in the query or as fields of the form.
        """
        return await answer(
            request,
            query,
            lambda upload, asked, accept: service.colourise(
                upload, asked.model, asked.options(max_megapixels), accept
            ),
        )

    of_json = {JSON: {"schema": {"$ref": "#/components/schemas/Summary"}}}

    @router.post(
        SEGMENT,
        response_class=Response,
        **_documented(
            SegmentParameters, "A PNG of class numbers, which shows them in the classes' colours.", of_json
        ),
    )
    async def segment(request: Request, query: Annotated[SegmentParameters, Query()]) -> Response:
        """Give each pixel of a photo a class.

        The answer is a mask of the photo's size as PNG; with Accept: application/json the classes' shares of
        the photo; or the photo with the classes laid over it, or cut out.
        """
        return await answer(
            request,
            query,
            lambda upload, asked, accept: service.segment(
                upload, asked.head, asked.options(max_megapixels), accept
            ),
        )

    return router


def _other_routes(service: Service, metrics: Metrics) -> APIRouter:
    router = APIRouter()

    @router.get(MODELS)
    async def models() -> Models:
        """List the models that colour and the heads that segment, with sources, licences and checksums."""
        return Models(models=list(service.known))

    @router.get(HEALTH)
    async def healthz() -> Health:
        """Answer, if the server is up."""
        return Health()

    @router.get(
        METRICS,
        response_class=Response,
        responses={
            200: {
                "description": "Prometheus' text.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }
        },
    )
    async def show_metrics() -> Response:
        """Give counts for Prometheus: requests, seconds, megapixels, the queue."""
        return Response(metrics.text(), media_type=metrics.media_type)

    return router


def _unknown_routes() -> APIRouter:
    """Refuse other methods and paths of ours: the page, which has all others, would answer its own way."""
    router = APIRouter()
    known = {COLOURISE: "POST", SEGMENT: "POST", MODELS: "GET", HEALTH: "GET", METRICS: "GET"}

    async def refuse(request: Request) -> Response:
        path = request.url.path
        if (method := known.get(path)) is None:
            raise Refusal(404, f"needed one of the paths {', '.join(known)}, got {path!r:.80}")
        raise Refusal(405, f"needed {method} {path}, got {request.method}", {"Allow": method})

    for path in ("/v1/{rest:path}", HEALTH, METRICS):
        router.add_route(path, refuse, methods=list(_METHODS), include_in_schema=False)
    return router


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def _of_rules(rules: Rules) -> list[int]:
    """Return the statuses that any request may get."""
    return [*([401] if rules.token else []), *([403, 421] if rules.hosts is not None else []), 413]


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
