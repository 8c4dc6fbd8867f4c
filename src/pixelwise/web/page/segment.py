"""The tab that cuts things out of photos."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from pixelwise.api.segmentation import DEFAULT_HEAD, Segmentation, segment
from pixelwise.errors import ConfigError
from pixelwise.labels.class_names import BACKGROUND
from pixelwise.network.cards import shipped_heads
from pixelwise.photos.formats import SUFFIXES
from pixelwise.photos.overlay import Tint, overlay
from pixelwise.photos.photo import open_photo
from pixelwise.segmenting.heads import open_head
from pixelwise.segmenting.run import write_cut_out, write_labels
from pixelwise.web.page.events import download_on, named_after, shown_errors, within_bounds
from pixelwise.web.page.pictures import Codes, legend, nearest, small

_MOST = 50  # photos of one visitor
_MOST_HEADS = 8


@dataclass
class SegmentEntry:
    """A photo and its segmentations by head."""

    path: Path
    picture: Codes
    words: dict[str, Segmentation] = field(default_factory=dict)


@dataclass
class SegmentSession:
    """The photos and heads of one visitor."""

    photos: list[SegmentEntry] = field(default_factory=list)
    chosen: int = 0
    heads: dict[str, Path] = field(default_factory=dict)
    """Files of heads beside the shipped ones, by name: served or uploaded."""
    folder: tempfile.TemporaryDirectory[str] = field(default_factory=tempfile.TemporaryDirectory)

    def segmentation(self, one: SegmentEntry, head: str) -> Segmentation:
        """Return the segmentation of a photo by a head; each is computed once.

        Raises:
            CheckpointError: the head cannot be read.
            PhotoError: the photo cannot be read.
        """
        if head not in one.words:
            one.words[head] = segment(one.path, self.heads.get(head, head))
        return one.words[head]


def tinted(picture: Codes, found: Segmentation, opacity: float) -> Codes:
    """Return a small picture with the classes laid over it."""
    labels = nearest(found.labels, picture.shape[:2])
    tint = Tint(found.classes.colours, opacity, first_is_clear=found.classes.names[0] == BACKGROUND)
    rows = overlay(
        iter([picture]), lambda first, num: labels[first : first + num], picture.shape[:2], False, tint
    )
    return np.concatenate(list(rows))


def shares(found: Segmentation) -> str:
    """Return the legend of a photo's classes with their shares of it."""
    counts = np.bincount(found.labels.ravel(), minlength=found.classes.num_classes) / found.labels.size
    return legend(zip(found.classes.names, found.classes.colours, counts.tolist(), strict=True))


def segment_tab(heads: Sequence[Path]) -> None:
    """Lay out the tab and connect its events; `heads` are offered to all visitors."""
    served = {path.stem.removesuffix(".head"): path for path in heads}
    bench = gr.State(
        lambda: SegmentSession(heads=dict(served)), delete_callback=lambda one: one.folder.cleanup()
    )
    gr.Markdown("A class for every pixel, at the photograph's own size.", elem_classes="lead")
    with gr.Row():
        files = gr.File(
            label="Drop photographs here",
            file_count="multiple",
            file_types=sorted(SUFFIXES),
            height=140,
            elem_id="segment-files",
            scale=3,
        )
        with gr.Column(scale=2):
            head = gr.Dropdown(
                [*shipped_heads(), *served], value=DEFAULT_HEAD, label="Head", elem_id="segment-head"
            )
            own = gr.UploadButton(
                "Bring a head of your own", file_types=[".safetensors"], size="md", elem_id="segment-own"
            )
    gallery = gr.Gallery(
        label="Photographs",
        show_label=False,
        columns=6,
        height=190,
        object_fit="contain",
        fit_columns=False,
        allow_preview=False,
        visible=False,
        elem_id="segment-gallery",
        buttons=[],
    )
    with gr.Column(visible=False) as work:
        opacity = gr.Slider(0.0, 1.0, 0.5, step=0.05, label="Opacity", info="0 leaves outlines alone")
        within_bounds(opacity)
        picture = gr.Image(
            label="Classes over the photograph",
            format="jpeg",
            interactive=False,
            buttons=["fullscreen"],
            elem_id="segment-picture",
            elem_classes="whole",
        )
        told = gr.HTML(elem_id="segment-legend")
        with gr.Row():
            save_cut = gr.Button("Download it cut out", variant="primary", elem_id="segment-cut")
            save_mask = gr.Button("Download the mask", elem_id="segment-mask")

    how = [head, opacity]
    views = [picture, told]
    files.upload(_look, [bench, files, *how], [bench, gallery, work, *views], show_progress="minimal")
    own.upload(_bring, [bench, own], [bench, head])
    gallery.select(_choose, [bench, *how], views)
    head.change(_paint, [bench, *how], views)
    opacity.input(_paint, [bench, *how], views, trigger_mode="always_last", show_progress="hidden")
    download_on(save_cut, _save_cut, [bench, head])
    download_on(save_mask, _save_mask, [bench, head])


@shown_errors
def _look(bench: SegmentSession, files: Sequence[str] | None, head: str, opacity: float) -> tuple[Any, ...]:
    for name in files or ():
        path = Path(name)
        with named_after(path):
            bench.photos.append(SegmentEntry(path, small(open_photo(path))))
    bench.photos = bench.photos[-_MOST:]
    bench.chosen = len(bench.photos) - 1
    thumbs = [(one.picture[::3, ::3], one.path.name) for one in bench.photos]
    shown = gr.update(value=thumbs, visible=len(thumbs) > 1, selected_index=bench.chosen)
    return bench, shown, gr.update(visible=bool(bench.photos)), *_views(bench, head, opacity)


@shown_errors
def _bring(bench: SegmentSession, file: str) -> tuple[SegmentSession, Any]:
    """Add an uploaded head under its file's name."""
    path = Path(file)
    with named_after(path):
        open_head(path)
    name = path.stem.removesuffix(".head")
    if len(bench.heads) == _MOST_HEADS:
        raise ConfigError(f"needed at most {_MOST_HEADS} heads of your own, got one more; load the page anew")
    bench.heads[name] = path
    for one in bench.photos:
        one.words.pop(name, None)
    return bench, gr.update(choices=[*shipped_heads(), *bench.heads], value=name)


@shown_errors
def _choose(bench: SegmentSession, chosen: gr.SelectData, head: str, opacity: float) -> tuple[Any, ...]:
    bench.chosen = chosen.index
    return _views(bench, head, opacity)


@shown_errors
def _paint(bench: SegmentSession, head: str, opacity: float) -> tuple[Any, ...]:
    return _views(bench, head, opacity) if bench.photos else (gr.skip(), gr.skip())


def _views(bench: SegmentSession, head: str, opacity: float) -> tuple[Any, ...]:
    """Return the picture with classes over it, and their legend."""
    one = bench.photos[bench.chosen]
    with named_after(one.path):
        found = bench.segmentation(one, head)
    return tinted(one.picture, found, opacity), shares(found)


def _save_mask(bench: SegmentSession, head: str) -> Path:
    one = bench.photos[bench.chosen]
    found, target = bench.segmentation(one, head), Path(bench.folder.name) / f"{one.path.stem}-mask.png"
    write_labels(target, found.photo, found.logits, found.classes)
    return target


def _save_cut(bench: SegmentSession, head: str) -> Path:
    one = bench.photos[bench.chosen]
    found, target = bench.segmentation(one, head), Path(bench.folder.name) / f"{one.path.stem}-cut.png"
    if found.classes.names[0] != BACKGROUND:
        raise ConfigError(f"needed a head whose first class is {BACKGROUND} to cut out what is not")
    write_cut_out(target, found.photo, found.logits)
    return target
