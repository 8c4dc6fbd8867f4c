"""The choice of an answer's format, by the header Accept."""

from __future__ import annotations

from collections.abc import Sequence

from pixelwise.web.problems import Refusal

PNG, JSON = "image/png", "application/json"
PHOTO_TYPES = {
    "image/jpeg": ".jpg",
    PNG: ".png",
    "image/tiff": ".tif",
    "image/webp": ".webp",
    "image/avif": ".avif",
}
"""Media types of the photos that can be written, and their suffixes."""


def choose(accept: str, offered: Sequence[str], own: str = "") -> str:
    """Return the media type that Accept likes best; among equals `own`, then the earliest offered.

    Source: RFC 9110, 12.5.1; ranges that are malformed are passed over.

    Refusal where none of them will do.
    """
    ranges = _ranges(accept) or {"*/*": 1.0}
    liked = {}
    for kind in offered:
        holding = (kind, f"{kind.partition('/')[0]}/*", "*/*")  # the most exact range decides
        liked[kind] = next((ranges[name] for name in holding if name in ranges), 0.0)
    best = max(liked.values())
    if best <= 0:
        raise Refusal(406, f"needed an Accept with one of {', '.join(offered)}, got {accept:.200}")
    if liked.get(own) == best:
        return own
    return next(kind for kind in offered if liked[kind] == best)


def _ranges(accept: str) -> dict[str, float]:
    ranges: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = (text.strip().lower() for text in part.split(";"))
        given = dict(parameter.partition("=")[::2] for parameter in parameters)
        try:
            quality = float(given.get("q", "1"))
        except ValueError:
            continue
        if all(name.partition("/")) and 0 <= quality <= 1:
            ranges[name] = max(quality, ranges.get(name, 0.0))
    return ranges
