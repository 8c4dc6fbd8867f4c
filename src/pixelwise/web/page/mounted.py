"""Mounting the page at the root of an application."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gradio as gr
from fastapi import FastAPI
from starlette.requests import ClientDisconnect
from starlette.routing import Mount

from pixelwise.web.page.colour import colour_tab
from pixelwise.web.page.frame import STYLE, THEME, TITLE
from pixelwise.web.page.segment import segment_tab
from pixelwise.web.page.teach import teach_tab
from pixelwise.web.problems import answer_failure

_KEPT_S = 3600  # what visitors bring, after they last touched it


def mount(app: FastAPI, max_bytes: int, heads: Sequence[Path] = ()) -> None:
    """Mount the page at `/`, below all existing paths; `heads` are files offered beside the shipped ones.

    What visitors bring goes to the system's temporary folder, and with it.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(_KEPT_S, _KEPT_S)) as blocks:
        gr.Markdown(f"# {TITLE}")
        with gr.Tab("Colour"):
            colour_tab()
        with gr.Tab("Segment"):
            segment_tab(heads)
        with gr.Tab("Teach"):
            teach_tab()
    gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        theme=THEME,
        css=STYLE,
        footer_links=[],
        max_file_size=max_bytes,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
    )
    # Gradio checks paths only in pages that `launch` started, which mounting never does.
    blocks.has_launched = True
    for route in app.routes:
        if isinstance(route, Mount) and isinstance(route.app, FastAPI):
            route.app.add_exception_handler(ClientDisconnect, answer_failure)
