"""Answers to requests that fail: one shape of JSON, and a status that says whose fault it is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from pixelwise.errors import ConfigError, FormatError, LabelError, PhotoError, PhotoSizeError, PixelwiseError

_logger = logging.getLogger(__name__)
_STATUSES: tuple[tuple[type[PixelwiseError], int], ...] = (
    (FormatError, 415),
    (PhotoSizeError, 413),
    (PhotoError, 422),
    (ConfigError, 422),
    (LabelError, 422),
)
"""The status of each kind of error, the first that fits; what is left is our own."""
RETRY_AFTER_S = 2


class Problem(BaseModel):
    """The reason why a request was not answered."""

    model_config = ConfigDict(extra="forbid")

    error: str  # says what was needed, what came, what to do
    status: int  # the response's, again


class Refusal(HTTPException):
    """A request that is refused, and why."""

    def __init__(self, status: int, error: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, error, headers)


def busy(error: str) -> Refusal:
    """Return a refusal for now."""
    return Refusal(503, error, {"Retry-After": str(RETRY_AFTER_S)})


def problem(status: int, error: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the response to a failed request."""
    return JSONResponse(Problem(error=error, status=status).model_dump(), status, headers)


def refused(_request: Request, error: Exception) -> JSONResponse:
    """Answer with a refusal, ours or the framework's."""
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), dict(error.headers or {}))


def misread(_request: Request, error: Exception) -> JSONResponse:
    """Answer that parameters are invalid."""
    assert isinstance(error, RequestValidationError)
    return problem(422, "; ".join(_describe(one) for one in error.errors()))


def failed(_request: Request, error: Exception) -> JSONResponse:
    """Answer that a photo could not be done."""
    assert isinstance(error, PixelwiseError)
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    if status == 500:
        _logger.error("could not answer: %s", error)
    return problem(status, str(error))


def broken(_request: Request, _error: Exception) -> JSONResponse:
    """Answer that we failed; the server's log has the rest."""
    return problem(500, "the server failed at this; its log says how")


def gone(_request: Request, _error: Exception) -> JSONResponse:
    """Answer a client that went away while it sent; nobody reads it."""
    return problem(400, "the connection was closed before all had come")


def handle_problems(app: FastAPI) -> None:
    """Make an application answer all problems in this shape."""
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, misread)
    app.add_exception_handler(PixelwiseError, failed)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, broken)


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


def documented(statuses: Sequence[int]) -> dict[int | str, dict[str, Any]]:
    """Return statuses as FastAPI documents them."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        found[status] = {"model": Problem, "description": _DESCRIPTIONS[status]}
    if 503 in found:
        found[503]["headers"] = {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
        }
    return found


def _describe(one: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in one["loc"] if part not in ("query", "body"))
    if one.get("type") == "extra_forbidden":
        return f"{place}: needed a parameter of this path, which /openapi.json lists, got another"
    came = one.get("input")
    got = f", got {came!r:.80}" if isinstance(came, str | int | float) else ""
    return f"{place}: {one['msg']}{got}"
