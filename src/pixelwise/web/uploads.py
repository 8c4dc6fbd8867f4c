"""Uploads: a photo as a request's body or as a form's file, written to a file that we name."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from pixelwise.web.negotiation import PHOTO_TYPES
from pixelwise.web.problems import Refusal

_FILE = "file"
_MULTIPART, _OCTETS = "multipart/form-data", "application/octet-stream"
_UNSAID = ("", _OCTETS, "application/x-www-form-urlencoded")  # the last is what curl says of any bytes
_MOST_FIELDS, _MOST_FIELD_BYTES = 500, 4096


async def receive(request: Request, folder: Path, seconds: float) -> tuple[Path, FormData]:
    """Write the uploaded photo to a file in `folder`; return its path and the form's other fields.

    Names that the client gives to files are not looked at: what a photo is, its content decides. Refusal
    where there is none, it is sent as something else, or it does not arrive within `seconds`.
    """
    kind = parse_options_header(request.headers.get("content-type"))[0].decode("latin-1").lower()
    target = folder / "photo"
    try:
        async with asyncio.timeout(seconds):
            if kind == _MULTIPART:
                return target, await _from_form(request, target)
            if kind not in _UNSAID and not kind.startswith("image/"):
                raise Refusal(
                    415,
                    f"needed a photo as {_MULTIPART}, or its bytes as image/* or {_OCTETS}, got {kind:.80}; "
                    "say what it is in Content-Type",
                )
            await _from_body(request, target)
            return target, FormData()
    except TimeoutError:
        raise Refusal(408, f"needed the photo within {seconds:g} s; send a smaller one") from None


async def _from_body(request: Request, target: Path) -> None:
    with target.open("wb") as file:
        async for chunk in request.stream():
            file.write(chunk)
    if not target.stat().st_size:
        raise Refusal(422, "needed a photo, got an empty body; send its bytes, or a form with a file")


async def _from_form(request: Request, target: Path) -> FormData:
    """Write a form's one file; Refusal if it is malformed, or has more files or fields than are taken."""
    most = {"max_files": 1, "max_fields": _MOST_FIELDS, "max_part_size": _MOST_FIELD_BYTES}
    try:
        async with request.form(**most) as form:
            photo = form.get(_FILE)
            if not isinstance(photo, UploadFile):
                raise Refusal(422, f"needed a form whose part {_FILE!r} is a photo with a file name")
            with target.open("wb") as file:
                await asyncio.to_thread(shutil.copyfileobj, photo.file, file)
            if not photo.size:
                raise Refusal(422, f"needed a photo, got an empty file as {_FILE!r}")
            return FormData([pair for pair in form.multi_items() if pair[0] != _FILE])
    except HTTPException as error:
        if isinstance(error, Refusal):
            raise
        raise Refusal(
            400,
            f"needed a form with one file, {_FILE!r}, and at most {_MOST_FIELDS} fields of "
            f"{_MOST_FIELD_BYTES} bytes: {error.detail}",
        ) from error


def documented(parameters: dict[str, Any]) -> dict[str, Any]:
    """Describe the request's body for the OpenAPI document; `parameters` may be a form's fields, too."""
    binary = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "required": [_FILE],
        "additionalProperties": False,
        "properties": {_FILE: binary} | parameters["properties"],
    }
    raw = {kind: {"schema": binary} for kind in (*PHOTO_TYPES, _OCTETS)}
    return {"requestBody": {"required": True, "content": {_MULTIPART: {"schema": form}} | raw}}
