"""Who may ask, and how much they may send: looked at before anything else is.

On loopback there is no token: whoever is on the machine may ask. Browsers are on it, too, and show pages of
anybody. So the Host has to be this machine's, or a page whose name was made to lead here would be let in (DNS
rebinding), and a request of another site's page is refused.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pixelwise.web.problems import Refusal, problem

_LINGER_S, _LINGER_BYTES = 2.0, 2**24
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_OPEN_TO_ALL = frozenset({"/healthz"})


class Guard:
    """An application behind rules."""

    def __init__(self, app: ASGIApp, max_bytes: int, hosts: frozenset[str] | None, token: str | None) -> None:
        """Let in bodies of `max_bytes`, for these names of ours (None: any), that know the token, if any."""
        self.app, self.max_bytes, self.hosts, self.token = app, max_bytes, hosts, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what the rules allow."""
        if scope["type"] == "websocket" and self._refusal(scope) is not None:
            await send({"type": "websocket.close", "code": 1008})  # policy violation, RFC 6455
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = _Body(Headers(scope=scope), receive, send, self.max_bytes)
        refusal = self._refusal(scope) or body.refusal()
        app = self.app if refusal is None else refusal
        await app(scope, body.receive, body.send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self.hosts is not None:
            own = headers.get("host", "").lower()  # browsers leave a usual port out of it and of Origin
            if (name := _host_name(own)) not in self.hosts:
                return problem(421, f"needed a Host of {', '.join(sorted(self.hosts))}, got {name!r:.80}")
            origin = headers.get("origin")
            if origin is not None and origin.lower().partition("://")[2] != own:
                return problem(403, f"needed a request of this server's own pages, got one of {origin!r:.80}")
        if self.token is None or scope["path"] in _OPEN_TO_ALL:
            return None
        if hmac.compare_digest(_said(headers).encode(), self.token.encode()):
            return None
        refusal = problem(401, "needed the token that the server was started with")
        # Two headers: Chromium reads only the first challenge of each, and has to ask for the password.
        refusal.headers.append("WWW-Authenticate", 'Basic realm="pixelwise"')
        refusal.headers.append("WWW-Authenticate", "Bearer")
        return refusal


def _host_name(host: str) -> str:
    """Return a Host without its port; nothing where it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _said(headers: Headers) -> str:
    """Return a request's token: given as bearer, or as the password that a browser asks its user for."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


class _Body:
    """A request's body that is counted as it comes, and what is sent back.

    A client that is refused while it sends often looks for the answer only when it has sent all, and loses it
    if the connection is cut under its hands. So some more is read and thrown away, for a short while.
    """

    def __init__(self, headers: Headers, receive: Receive, send: Send, max_bytes: int) -> None:
        self._receive, self._send, self._max_bytes = receive, send, max_bytes
        length = headers.get("content-length", "")
        self._length = int(length) if length.isdecimal() else 0
        self._is_whole = not self._length and "transfer-encoding" not in headers
        self._waits = "expect" in headers  # for a word before it sends anything
        self._num_bytes = 0

    def refusal(self) -> Response | None:
        """Where the body says that it is too large."""
        if self._length <= self._max_bytes:
            return None
        return problem(413, self._too_large(f"{self._length / 1e6:.1f}"))

    async def receive(self) -> Message:
        """Return the next part; Refusal if it is too much."""
        message = await self._next()
        if self._num_bytes > self._max_bytes:
            raise Refusal(413, self._too_large("more"))
        return message

    async def send(self, message: Message) -> None:
        """Send back; before the end, take what is still coming."""
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if last and not self._is_whole and not self._waits:
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    async def _next(self) -> Message:
        message = await self._receive()
        self._num_bytes += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        return message

    async def _linger(self) -> None:
        most = self._num_bytes + _LINGER_BYTES
        try:
            async with asyncio.timeout(_LINGER_S):
                while not self._is_whole and self._num_bytes < most:
                    await self._next()
        except TimeoutError:
            pass

    def _too_large(self, came: str) -> str:
        return f"needed a body of at most {self._max_bytes / 1e6:g} megabytes, got {came}"
