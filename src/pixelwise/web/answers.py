"""Answers that are files, sent piece by piece and then removed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pixelwise.web.request_queue import Slot

REMARKS = "Pixelwise-Remarks"
"""Header with a JSON array of what is to be known of a photo and its result."""
_PIECE_BYTES = 2**18
_MOST_REMARKS, _LONGEST_REMARK = 10, 300  # what clients take in a header is some kilobytes


class FileAnswer(Response):
    """A file whose request leaves its slot when it has been sent, or cannot be."""

    def __init__(
        self, file: Path, media_type: str, remarks: Sequence[str], slot: Slot, seconds: float
    ) -> None:
        """A client that takes no piece within `seconds` is given up on."""
        told = [one[:_LONGEST_REMARK] for one in remarks[:_MOST_REMARKS]]
        headers = {"Content-Length": str(file.stat().st_size), REMARKS: json.dumps(told, ensure_ascii=True)}
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
