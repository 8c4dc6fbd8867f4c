"""Self-contained HTML pages from Jinja2 templates; pictures are data: URIs, so nothing is fetched."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from numpy import ndarray
from PIL import Image

from pixelwise.colour.arrays import Float, UInt8
from pixelwise.colour.spaces import lab_to_srgb
from pixelwise.files import write_text
from pixelwise.photos.resize import resize

if TYPE_CHECKING:
    from pixelwise.report.figures import Drawing, Ink

_STOPS = ((16, 22, -46), (42, 4, -26), (68, -6, 14), (94, -10, 76))  # Lab: equal steps of L look equal

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


def heat(values: Float[ndarray, "h w"], size: tuple[int, int]) -> UInt8[ndarray, "H W 3"]:
    """Return a map from its lowest value, dark blue, to its highest, yellow, enlarged to (height, width)."""
    even = (values - values.min()) / max(float(np.ptp(values)), 1e-6)
    return _heat_table()[np.rint(255 * resize(even, size)).astype(np.uint8)]


@cache
def _heat_table() -> UInt8[ndarray, "256 3"]:
    places = np.linspace(0, len(_STOPS) - 1, 256)
    lab = np.array([np.interp(places, range(len(_STOPS)), stops) for stops in zip(*_STOPS, strict=True)])
    return np.rint(255 * lab_to_srgb(lab[:, None])[:, 0].T).astype(np.uint8)
