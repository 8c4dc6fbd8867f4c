"""Self-contained HTML pages from Jinja2 templates; pictures are data: URIs, so nothing is fetched."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from numpy import ndarray
from PIL import Image

from pixelwise.colour.arrays import UInt8
from pixelwise.files import write_text

if TYPE_CHECKING:
    from pixelwise.report.figures import Drawing, Ink

ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
"""Loads the templates: text is escaped in HTML, a name without value is an error."""


def render(template: str, **values: Any) -> str:
    """Return a filled template; text is escaped in HTML, bytes of file names that are no UTF-8 become `?`."""
    return ENVIRONMENT.get_template(template).render(values).encode(errors="replace").decode()


def write_page(path: Path, template: str, **values: Any) -> Path:
    """Write a filled template and return its path, or raise an OutputError."""
    write_text(path, render(template, **values))
    return path


def png_uri(pixels: UInt8[ndarray, "H W C"]) -> str:
    """Return a picture of 3 or 4 channels as a data: URI, without loss."""
    return _encoded(pixels, "PNG")


def jpeg_uri(pixels: UInt8[ndarray, "H W 3"]) -> str:
    """Return a photo as a data: URI."""
    return _encoded(pixels, "JPEG", quality=85)


def drawing_uris(draw: Callable[[Ink], Drawing]) -> dict[str, str]:
    """Draw a figure twice, and return the data: URIs of both, `light` and `dark`."""
    from pixelwise.report.figures import ON_DARK, ON_LIGHT  # which most pages have no need of

    inks = {"light": ON_LIGHT, "dark": ON_DARK}
    return {name: _uri("image/svg+xml", draw(ink).svg().encode()) for name, ink in inks.items()}


def _encoded(pixels: UInt8[ndarray, "H W C"], kind: str, **options: int) -> str:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind, **options)
    return _uri(f"image/{kind.lower()}", content.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
