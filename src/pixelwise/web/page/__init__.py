"""The page: colour, segment, teach, in a browser that needs nothing but this machine."""

from __future__ import annotations

import gradio as gr
from fastapi import FastAPI

from pixelwise.web.page import frame
from pixelwise.web.page.colour import colour_tab
from pixelwise.web.page.segment import segment_tab
from pixelwise.web.page.teach import teach_tab


def mount(app: FastAPI, max_megabytes: int = 200) -> FastAPI:
    """Put the page at `/` of an application."""
    with gr.Blocks(title=frame.TITLE, analytics_enabled=False, delete_cache=(3600, 3600)) as blocks:
        gr.Markdown("# pixelwise")
        with gr.Tab("Colour"):
            colour_tab()
        with gr.Tab("Segment"):
            segment_tab()
        with gr.Tab("Teach"):
            teach_tab()
    return gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        theme=frame.THEME,
        css=frame.STYLE,
        footer_links=[],
        max_file_size=max_megabytes * 2**20,
        show_error=True,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
    )
