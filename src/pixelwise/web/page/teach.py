"""The tab that learns from a few strokes or masks and shows the result at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from pixelwise.errors import PixelwiseError
from pixelwise.labels.class_names import UNNAMED
from pixelwise.photos.formats import SUFFIXES
from pixelwise.web.page.events import download_on, shown_errors
from pixelwise.web.page.lesson import MOST, TeachSession
from pixelwise.web.page.segment import tinted

_OPACITY = 0.5
_WORTH_IT = 0.01  # of overlap
_ASK = "Paint a stroke on each class, here or on several photographs, then press Learn."


def teach_tab() -> None:
    """Lay out the tab and connect its events."""
    lesson = gr.State(
        lambda: TeachSession(),  # noqa: PLW0108 - a dataclass itself would be taken for a value
        delete_callback=lambda one: one.folder.cleanup(),
    )
    gr.Markdown(
        "Show it a few strokes, or masks that you have. The last layer of the network is solved, not "
        "trained, so it learns in a second; correct it, and it learns again.",
        elem_classes="lead",
    )
    with gr.Row():
        files = gr.File(
            label="Drop photographs here",
            file_count="multiple",
            file_types=sorted(SUFFIXES),
            height=140,
            elem_id="teach-files",
            scale=3,
        )
        with gr.Column(scale=2):
            names = gr.Textbox(
                ", ".join(UNNAMED),
                label="Classes, the first is what is around",
                submit_btn="Name them",
                elem_id="teach-classes",
            )
            masks = gr.UploadButton(
                "Bring masks of the same names",
                file_count="multiple",
                file_types=["image"],
                size="md",
                elem_id="teach-masks",
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
        elem_id="teach-gallery",
        buttons=[],
    )
    told = gr.Markdown(_ASK, elem_id="teach-told")
    with gr.Column(visible=False) as work:
        paint = gr.Radio(list(UNNAMED), value=UNNAMED[1], label="Paint", elem_id="teach-paint")
        with gr.Row():
            editor = gr.ImageEditor(
                label="Paint here",
                format="png",
                sources=[],
                transforms=[],
                layers=False,
                buttons=[],
                brush=_brush(TeachSession()),
                eraser=gr.Eraser(default_size=20),
                elem_id="teach-editor",
            )
            result = gr.Image(
                label="What it learned",
                format="jpeg",
                interactive=False,
                buttons=[],
                elem_id="teach-result",
                elem_classes="whole",
            )
        with gr.Row():
            learn = gr.Button("Learn", variant="primary", elem_id="teach-learn")
            curve = gr.Button("How many more labels?", elem_id="teach-curve")
            save = gr.Button("Download the head", elem_id="teach-save")
        figure = gr.Image(label="Score by the number of photographs", visible=False, buttons=[], format="png")

    views = [gallery, work, editor, result, told]
    files.upload(_add, [lesson, files], [lesson, *views], show_progress="minimal")
    masks.upload(_take, [lesson, masks], [lesson, names, paint, *views])
    names.submit(_name, [lesson, names], [lesson, paint, editor, told])
    paint.input(_pick, [lesson, paint], editor, show_progress="hidden", queue=False)
    gallery.select(_choose, [lesson, editor], views)
    learn.click(_learn, [lesson, editor], [gallery, result, told])
    curve.click(_curve, [lesson, editor], [figure, told])
    download_on(save, _save, [lesson])


def _brush(lesson: TeachSession, name: str = "") -> gr.Brush:
    """Paint in the classes' colours, first in that of the one of this name, or of the second."""
    colours: list[str | tuple[str, float]] = ["#{:02x}{:02x}{:02x}".format(*one) for one in lesson.paints]
    first = lesson.classes.index(name) if name else 1
    return gr.Brush(default_size=16, colors=colours, default_color=colours[first], color_mode="fixed")


def _views(lesson: TeachSession, told: str) -> tuple[Any, ...]:
    """Return thumbnails, editor, result and message."""
    if not lesson.photos:
        return gr.update(visible=False), gr.update(visible=False), gr.skip(), gr.skip(), told
    shown = [_made_of(lesson, number) for number in range(len(lesson.photos))]
    thumbs = [(picture[::3, ::3], one.path.name) for picture, one in zip(shown, lesson.photos, strict=True)]
    return (
        gr.update(value=thumbs, visible=True, selected_index=lesson.chosen),
        gr.update(visible=True),
        gr.update(value=_canvas(lesson), brush=_brush(lesson)),
        shown[lesson.chosen],
        told,
    )


def _made_of(lesson: TeachSession, number: int) -> np.ndarray:
    """Return a photo with its segmentation, once there is a head."""
    one = lesson.photos[number]
    return tinted(one.picture, lesson.segment_photo(one), _OPACITY) if lesson.learned else one.picture


def _canvas(lesson: TeachSession) -> dict[str, Any]:
    """Return the shown photo with the strokes on it."""
    layers = [lesson.strokes()] if lesson.one.labels is not None else []
    return {"background": lesson.one.picture, "layers": layers, "composite": None}


def _keep(lesson: TeachSession, painted: dict[str, Any] | None) -> None:
    """Keep the strokes; uploaded masks stay until they are painted over."""
    layers = [np.asarray(layer) for layer in (painted or {}).get("layers", [])]
    if any((layer[..., 3] > 0).any() for layer in layers):
        lesson.paint(layers)


@shown_errors
def _add(lesson: TeachSession, files: Sequence[str] | None) -> Iterator[tuple[Any, ...]]:
    """Add photos one by one."""
    wrong: list[str] = []
    for number, name in enumerate(files or (), 1):
        try:
            lesson.add(Path(name))
        except PixelwiseError as error:
            wrong.append(str(error))
        if number < len(files or ()):
            yield lesson, *(gr.skip(),) * 4, f"Read {number} of {len(files or ())} photographs"
    if len(files or ()) > MOST:
        wrong.append(f"the last {MOST} photographs are kept; pixelwise finetune takes any number")
    yield lesson, *_views(lesson, "\n".join([*wrong, _ASK]))


@shown_errors
def _take(lesson: TeachSession, files: Sequence[str]) -> tuple[Any, ...]:
    """Read masks and learn from them."""
    lesson.take_masks([Path(name) for name in files])
    lesson.solve()
    return lesson, ", ".join(lesson.classes.names), _classes(lesson), *_views(lesson, _told(lesson))


@shown_errors
def _name(lesson: TeachSession, names: str) -> tuple[Any, ...]:
    lesson.name(names)
    classes = ", ".join(lesson.classes.names)
    brush = gr.update(brush=_brush(lesson))
    return lesson, _classes(lesson), brush, f"The classes are {classes}. {_ASK}"


def _classes(lesson: TeachSession) -> Any:
    return gr.update(choices=list(lesson.classes.names), value=lesson.classes.names[1])


@shown_errors
def _pick(lesson: TeachSession, name: str) -> Any:
    """Paint another class from now on."""
    return gr.update(brush=_brush(lesson, name))


@shown_errors
def _choose(lesson: TeachSession, chosen: gr.SelectData, painted: dict[str, Any] | None) -> tuple[Any, ...]:
    _keep(lesson, painted)
    lesson.chosen = chosen.index
    return _views(lesson, _told(lesson))


@shown_errors
def _learn(lesson: TeachSession, painted: dict[str, Any] | None) -> tuple[Any, ...]:
    _keep(lesson, painted)
    lesson.solve()
    gallery, _work, _editor, result, told = _views(lesson, _told(lesson))
    return gallery, result, told  # strokes stay where they are


@shown_errors
def _curve(lesson: TeachSession, painted: dict[str, Any] | None) -> tuple[Any, str]:
    from pixelwise.report.figures import draw_learning  # which nothing else here needs

    _keep(lesson, painted)
    shots, scores = lesson.curve()
    drawn = draw_learning(shots, scores)
    folder = Path(lesson.folder.name)
    (folder / "curve.png").write_bytes(drawn.png())
    gained = scores[-1].value - scores[-2].value if len(scores) > 1 else 0.0
    return (
        gr.update(value=Image.open(folder / "curve.png"), visible=True),
        f"The last photograph brought {gained:+.3f} of overlap: "
        + ("more will help." if gained > _WORTH_IT else "more of this kind will hardly help."),
    )


def _save(lesson: TeachSession) -> Path:
    return lesson.save()


def _told(lesson: TeachSession) -> str:
    learned = lesson.learned
    if learned is None:
        return _ASK
    photos = "photograph" if learned.num_photos == 1 else "photographs"
    return (
        f"Learned from {learned.num_photos} {photos}, {learned.num_pixels:,} pixels, in "
        f"{learned.seconds:.1f} seconds. Gradient {learned.gradient_norm:.0e}: no other last "
        "layer does better. Paint where it is wrong, and press Learn again."
    )
