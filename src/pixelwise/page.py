"""One self-contained HTML page: its frame, its one style sheet, and the pieces that pages are made of.

Every piece is a string of HTML in which text is already escaped. Pictures are data: URIs, so that a page can
be mailed, and still be read when everything around it is gone.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

STYLE = """
:root { color-scheme: light dark; --text: #1d1d1f; --faint: #5f6066; --paper: #fff; --panel: #f3f3f5;
  --line: #dcdce0; --accent: #0072b2; --alarm: #d55e00; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e6ea; --faint: #a0a1a8; --paper: #16171a;
  --panel: #212226; --line: #3a3a40; --accent: #56b4e9; --alarm: #e69f00; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--text); font: 1rem/1.55 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .6rem; }
h2 { font-size: 1.3rem; margin: 3rem 0 .5rem; }
h3 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
p { max-width: 42rem; margin: .5rem 0; }
.lead { font-size: 1.15rem; color: var(--faint); }
a { color: var(--accent); }
img { display: block; max-width: 100%; height: auto; }
figure { margin: 1rem 0; min-width: 0; }
figcaption { color: var(--faint); font-size: .9rem; margin: .35rem 0; }
pre { background: var(--panel); border-radius: .5rem; padding: .8rem 1rem; white-space: pre-wrap;
  overflow-wrap: anywhere; }
code, pre { font: .9rem/1.5 ui-monospace, monospace; }
table { border-collapse: collapse; font-size: .95rem; }
th { text-align: left; font-weight: 500; color: var(--faint); padding-right: 1.5rem; }
th, td { border-bottom: 1px solid var(--line); padding-top: .35rem; padding-bottom: .35rem;
  vertical-align: top; overflow-wrap: anywhere; }
th { overflow-wrap: normal; }
.warning { border-left: .3rem solid var(--alarm); background: var(--panel); padding: .6rem 1rem; }
.wide { overflow-x: auto; margin: 1.25rem 0; }
.grid { min-width: 34rem; width: 100%; font-variant-numeric: tabular-nums; }
.grid th, .grid td { padding-right: 1rem; overflow-wrap: normal; }
.grid td:nth-child(2) { font-weight: 600; }
.grid small { display: block; color: var(--faint); font-weight: 400; white-space: nowrap; }
details summary { cursor: pointer; color: var(--accent); margin: 1rem 0 .5rem; }
.scores { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; margin: 1.25rem 0; }
.scores b { display: block; font-size: 1.7rem; line-height: 1.2; font-weight: 600; }
.scores span { color: var(--faint); font-size: .9rem; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, var(--least)), 1fr));
  gap: 0 1rem; }
.row figure { margin: .5rem 0; }
.row img { width: 100%; border-radius: .25rem; }
.pixels img { width: 100%; image-rendering: pixelated; }
.compare { position: relative; --cut: 50%; border-radius: .5rem; overflow: hidden; width: fit-content; }
.compare img { max-height: 32rem; }
.compare img + img { position: absolute; inset: 0; width: 100%; height: 100%;
  clip-path: inset(0 0 0 var(--cut)); }
.compare::after { content: ""; position: absolute; top: 0; bottom: 0; left: var(--cut); width: 3px;
  margin-left: -1.5px; background: #fff; box-shadow: 0 0 4px #0008; pointer-events: none; }
.compare input { position: absolute; inset: 0; z-index: 1; width: 100%; height: 100%; margin: 0; opacity: 0;
  cursor: ew-resize; touch-action: pan-y; }
.compare:has(:focus-visible) { outline: 3px solid var(--accent); outline-offset: 2px; }
"""


def frame(title: str, lead: str, *parts: str) -> str:
    """A whole page; bytes of files' names that are no UTF-8 are shown as question marks."""
    body = "\n".join(parts)
    whole = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<link rel="icon" href="data:,">\n<style>{STYLE}</style>\n</head>\n'
        f'<body>\n<main>\n<h1>{escape(title)}</h1>\n<p class="lead">{escape(lead)}</p>\n{body}\n</main>\n'
        "</body>\n</html>\n"
    )
    return whole.encode(errors="replace").decode()


def section(title: str, *parts: str) -> str:
    """A heading and what belongs to it."""
    body = "\n".join(parts)
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>"


def heading(text: str) -> str:
    """A heading within a section."""
    return f"<h3>{escape(text)}</h3>"


def paragraph(text: str) -> str:
    """Plain text."""
    return f"<p>{escape(text)}</p>"


def warning(text: str) -> str:
    """What is wrong, so that it is seen."""
    return f'<p class="warning" role="note">{escape(text)}</p>'


def commands(*lines: str) -> str:
    """What to type, one command a line."""
    return f"<pre>{escape(chr(10).join(lines))}</pre>"


def scores(values: Mapping[str, str]) -> str:
    """Large numbers, each with what it is."""
    parts = (
        f"<div><b>{escape(value)}</b><span>{escape(what)}</span></div>" for what, value in values.items()
    )
    return f'<div class="scores">{"".join(parts)}</div>'


def table(values: Mapping[str, str]) -> str:
    """Names and values."""
    rows = (
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in values.items()
    )
    return f"<table>{''.join(rows)}</table>"


def grid(columns: Sequence[str], rows: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    """Values in several columns, the first of which counts most; each with something small below it.

    `columns` names the column of the rows' names, too. On a narrow page it is moved sideways.
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{escape(value)}<small>{escape(below)}</small></td>" for value, below in cells)
        + "</tr>"
        for name, cells in rows.items()
    )
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="scores">'
        f'<table class="grid"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def details(summary: str, *parts: str) -> str:
    """What few want to see, folded away."""
    return f"<details><summary>{escape(summary)}</summary>{''.join(parts)}</details>"


def figure(picture: str, caption: str) -> str:
    """A picture and what it shows."""
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def row(figures: Sequence[str], least: str = "14rem") -> str:
    """Figures beside each other, as many as fit when each is at least so wide."""
    return f'<div class="row" style="--least: {least}">{"".join(figures)}</div>'


def pixels(picture: str, caption: str) -> str:
    """A small picture enlarged so that its single pixels are seen."""
    return f'<figure class="pixels"><figcaption>{escape(caption)}</figcaption>{picture}</figure>'


def image(uri: str, alt: str) -> str:
    """A picture by its data: URI; `alt` says it in words."""
    return f'<img src="{uri}" alt="{escape(alt)}">'


def light_or_dark(light: str, dark: str, alt: str) -> str:
    """The picture of two that suits the reader's colour scheme."""
    source = f'<source srcset="{dark}" media="(prefers-color-scheme: dark)">'
    return f"<picture>{source}{image(light, alt)}</picture>"


def slider(before: str, after: str, what: str) -> str:
    """Two pictures of equal size, one over the other; the reader moves the border between them."""
    move = "this.parentElement.style.setProperty('--cut', this.value + '%')"
    return (
        f'<div class="compare">{image(before, f"{what}, before")}{image(after, f"{what}, after")}'
        f'<input type="range" min="0" max="100" value="50" step="0.5" '
        f'aria-label="before and after: {escape(what)}" oninput="{move}"></div>'
    )


def png_uri(pixels: UInt8[ndarray, "H W C"]) -> str:
    """A picture of 1, 3 or 4 channels, without loss."""
    return _encoded(pixels, "PNG")


def jpeg_uri(pixels: UInt8[ndarray, "H W 3"]) -> str:
    """A photo, small."""
    return _encoded(pixels, "JPEG", quality=85)


def svg_uri(svg: str) -> str:
    """A drawing."""
    return _uri("image/svg+xml", svg.encode())


def _encoded(pixels: UInt8[ndarray, "H W C"], kind: str, **options: int) -> str:
    content = io.BytesIO()
    Image.fromarray(np.squeeze(pixels, 2) if pixels.shape[2] == 1 else pixels).save(content, kind, **options)
    return _uri(f"image/{kind.lower()}", content.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def beside(pictures: Mapping[str, UInt8[ndarray, "H W 3"]]) -> str:
    """Pictures beside each other by their captions, for somebody else's page: styles come along."""
    shown = "".join(
        '<figure style="margin: 0; max-width: 100%">'
        f'<img src="{jpeg_uri(pixels)}" alt="{escape(caption)}" style="max-width: 100%">'
        f'<figcaption style="font-size: 0.9em; opacity: 0.8">{escape(caption)}</figcaption></figure>'
        for caption, pixels in pictures.items()
    )
    return f'<div style="display: flex; flex-wrap: wrap; gap: 0.8em">{shown}</div>'
