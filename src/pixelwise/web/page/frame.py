"""Theme and style of the page, which loads nothing from other servers."""

from __future__ import annotations

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
os.environ["HF_HUB_OFFLINE"] = "1"

import gradio as gr

TITLE = "pixelwise"
ACCENT = gr.themes.Color(
    c50="#eef6fb", c100="#d7eaf6", c200="#b0d5ed", c300="#80bbe0", c400="#56b4e9", c500="#0072b2",
    c600="#0066a0", c700="#005689", c800="#00466f", c900="#003858", c950="#002740", name="accent",
)  # fmt: skip
GREY = gr.themes.Color(
    c50="#f7f7f8", c100="#f3f3f5", c200="#dcdce0", c300="#c6c7cc", c400="#a0a1a8", c500="#7b7c83",
    c600="#5f6066", c700="#3a3a40", c800="#212226", c900="#1a1b1e", c950="#16171a", name="grey",
)  # fmt: skip
THEME = gr.themes.Base(
    primary_hue=ACCENT,
    secondary_hue=ACCENT,
    neutral_hue=GREY,
    font=("system-ui", "sans-serif"),
    font_mono=("ui-monospace", "monospace"),
    radius_size="sm",
).set(
    body_background_fill="#ffffff",
    body_background_fill_dark="*neutral_950",
    button_primary_background_fill="*primary_500",
    button_primary_background_fill_hover="*primary_700",
    button_primary_text_color="#ffffff",
    button_primary_background_fill_dark="*primary_400",
    button_primary_background_fill_hover_dark="*primary_300",
    button_primary_text_color_dark="#16171a",
    block_label_text_color="*neutral_600",
    block_label_text_color_dark="*neutral_400",
)
STYLE = """
.gradio-container { max-width: 66rem !important; margin: 0 auto; }
footer { display: none !important; }
.lead { color: var(--body-text-color-subdued); }
.lead p { margin: 0; }
#colour-canvas img, #colour-sure img, .whole img { width: 100%; max-height: 44rem; object-fit: contain; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1rem; align-items: center; }
.legend i { display: inline-block; width: .9rem; height: .9rem; border-radius: .2rem; vertical-align: -.1rem;
  margin-right: .35rem; box-shadow: 0 0 0 1px var(--border-color-primary); }
.legend .scale { width: 8rem; }
.dark button.selected, .dark .file-preview a { color: #56b4e9 !important; }
@media (max-width: 640px) { .gradio-container { padding: .5rem !important; } }
"""
