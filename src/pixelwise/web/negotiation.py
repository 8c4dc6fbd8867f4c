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

    Raises:
        Refusal: none of them will do.
    """
    ranges = [found for part in accept.split(",") if (found := _range(part)) is not None] or [("*/*", 1.0)]
    liked = {kind: _quality(kind, ranges) for kind in offered}
    best = max(liked.values())
    if best <= 0:
        raise Refusal(406, f"needed an Accept with one of {', '.join(offered)}, got {accept:.200}")
    if liked.get(own) == best:
        return own
    return next(kind for kind in offered if liked[kind] == best)


def _range(text: str) -> tuple[str, float] | None:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    kind, slash, detail = name.partition("/")
    if not (kind and slash and detail):
        return None
    given = dict(parameter.partition("=")[::2] for parameter in parameters)
    try:
        quality = float(given.get("q", "1"))
    except ValueError:
        return None
    return (name, quality) if 0 <= quality <= 1 else None


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Return the quality of a media type, by the most exact range that it is in."""
    for wanted in (media_type, media_type.split("/", maxsplit=1)[0] + "/*", "*/*"):
        if said := [quality for name, quality in ranges if name == wanted]:
            return max(said)
    return 0.0
