"""Answers to requests that fail: one shape of JSON, and a status that says whose fault it is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from pixelwise.errors import ConfigError, FormatError, LabelError, PhotoError, PhotoSizeError, PixelwiseError

FAILURES = (HTTPException, RequestValidationError, ClientDisconnect, PixelwiseError, Exception)
"""All that `answer_failure` answers."""
_STATUSES: dict[type[PixelwiseError], int] = {
    FormatError: 415,
    PhotoSizeError: 413,
    PhotoError: 422,
    ConfigError: 422,
    LabelError: 422,
}
"""The status of each kind of error, the first that fits; what is left is our own."""
_RETRY_AFTER_S = 2
_DESCRIPTIONS = {
    400: "The multipart body is malformed.",
    401: "The token is missing or wrong.",
    403: "The request came from a page of another site.",
    406: "The result cannot be had in any format of Accept.",
    408: "The photo did not arrive in time.",
    413: "The body has too many bytes, or the photo too many pixels.",
    415: "No photo of a format that is read here, or not sent as one.",
    421: "The Host is not this server's: a name of another site was made to lead here.",
    422: "A parameter is out of range or unknown, or the photo is damaged.",
    500: "The server failed.",
    503: "Too many requests wait already, or this one waited too long.",
    504: "The answer took too long.",
}
_logger = logging.getLogger(__name__)


class Problem(BaseModel):
    """The reason why a request was not answered."""

    model_config = ConfigDict(extra="forbid")

    error: str  # says what was needed, what came, what to do
    status: int  # the response's, again


class Refusal(HTTPException):
    """A request that is refused, and why."""


def busy(error: str) -> Refusal:
    """Return a refusal for now."""
    return Refusal(503, error, {"Retry-After": str(_RETRY_AFTER_S)})


def problem(status: int, error: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the response to a failed request."""
    return JSONResponse(Problem(error=error, status=status).model_dump(), status, headers)


async def answer_failure(_request: Request, error: Exception) -> JSONResponse:
    """Return the response to whatever was raised for a request."""
    if isinstance(error, HTTPException):  # a refusal, ours or the framework's
        return problem(error.status_code, str(error.detail), dict(error.headers or {}))
    if isinstance(error, RequestValidationError):
        return problem(422, "; ".join(map(_describe, error.errors())))
    if isinstance(error, ClientDisconnect):  # nobody reads it
        return problem(400, "the connection was closed before all had come")
    if not isinstance(error, PixelwiseError):
        return problem(500, "the server failed at this; its log says how")
    status = next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), 500)
    if status == 500:
        _logger.error("could not answer: %s", error)
    return problem(status, str(error))


def _describe(error: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"] if part not in ("query", "body"))
    if error.get("type") == "extra_forbidden":
        return f"{place}: needed a parameter of this path, which /openapi.json lists, got another"
    came = error.get("input")
    got = f", got {came!r:.80}" if isinstance(came, str | int | float) else ""
    return f"{place}: {error['msg']}{got}"


def documented(statuses: Sequence[int]) -> dict[int | str, dict[str, Any]]:
    """Return statuses as FastAPI documents them."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        found[status] = {"model": Problem, "description": _DESCRIPTIONS[status]}
    if 503 in found:
        seconds = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
        found[503]["headers"] = {"Retry-After": seconds}
    return found
