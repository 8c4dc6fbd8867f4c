"""The tab that colours photos: one forward pass each, then coloured anew at every change."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gradio as gr

from pixelwise.api.colour import ColouredImage, colourise
from pixelwise.api.images import photo_from
from pixelwise.colourising.options import Hint
from pixelwise.errors import ConfigError, PixelwiseError
from pixelwise.photos.formats import SUFFIXES
from pixelwise.photos.write import output_suffix
from pixelwise.web.page.events import download_on, shown_errors, within_bounds
from pixelwise.web.page.pictures import Codes, marked, small, sureness

_MOST = 50  # photos of one visitor
_NUM_SUGGESTED = 3
_GREY = {"paper and its writing": "paper", "what is likely grey": "likely"}
_HOW_TO_TELL = "Click where the photograph has that colour; it spreads to what is alike."
_SWATCH = (
    '<span style="display:inline-block;width:1em;height:1em;vertical-align:-0.1em;border:1px solid #888;'
    'background:{}"></span>'
)
_RGB = re.compile(r"rgba?\(\s*([\d.]+)[,\s]+([\d.]+)[,\s]+([\d.]+)")


Views = tuple[Any, ...]
"""New values of the widgets, in their order."""


@dataclass(frozen=True)
class ColourChoice:
    """Options for all photos."""

    temperature: float = 1.0
    saturation: float = 1.0
    keep_grey: tuple[str, ...] = ()


@dataclass
class PagePhoto:
    """One photo, at full size and small; both from one forward pass."""

    path: Path
    whole: ColouredImage
    little: ColouredImage
    before: Codes
    hints: list[Hint] = field(default_factory=list)

    @staticmethod
    def of(path: Path) -> PagePhoto:
        """Run the network on a photo.

        Raises:
            PhotoError: it cannot be read.
        """
        whole = colourise(path)
        photo = photo_from(small(whole.photo))
        guess = replace(whole.guess, answer=whole.photo.upright(whole.guess.answer))
        little = ColouredImage(photo, whole.model, whole.options, guess)
        return PagePhoto(path, whole, little, little.with_(saturation=0.0).codes[..., :3])

    def shown(self, wishes: ColourChoice) -> ColouredImage:
        """Return the small picture in the chosen colours."""
        (height, width), (rows, columns) = self.whole.photo.upright_size, self.before.shape[:2]
        nearer = [
            replace(one, row=one.row * rows // height, column=one.column * columns // width)
            for one in self.hints
        ]
        return self.little.with_(
            temperature=wishes.temperature,
            saturation=wishes.saturation,
            hints=nearer,
            keep_grey=wishes.keep_grey,
        )

    def add_hint(self, row: float, column: float, colour: str) -> None:
        """Set the colour of a point, in fractions of height and width; the last one counts."""
        height, width = self.whole.photo.upright_size
        hint = Hint(min(int(row * height), height - 1), min(int(column * width), width - 1), colour)
        self.hints = [one for one in self.hints if (one.row, one.column) != (hint.row, hint.column)]
        self.hints.append(hint)

    def points(self) -> list[tuple[float, float, str]]:
        """Return the hints as `marked` draws them."""
        height, width = self.whole.photo.upright_size
        return [((one.row + 0.5) / height, (one.column + 0.5) / width, one.colour) for one in self.hints]

    def save(self, folder: Path, wishes: ColourChoice) -> Path:
        """Write the photo at full size, with its metadata and the record of guessed colours."""
        wanted = self.whole.with_(
            temperature=wishes.temperature,
            saturation=wishes.saturation,
            hints=self.hints,
            keep_grey=wishes.keep_grey,
        )
        suffix, _ = output_suffix(self.whole.photo)
        return wanted.save(folder / f"{self.path.stem}-coloured{suffix}")


@dataclass
class ColourSession:
    """The photos of one visitor who colours."""

    photos: list[PagePhoto] = field(default_factory=list)
    chosen: int = 0
    folder: tempfile.TemporaryDirectory[str] = field(default_factory=tempfile.TemporaryDirectory)

    @property
    def one(self) -> PagePhoto | None:
        """The photo that is shown."""
        return self.photos[self.chosen] if self.photos else None


def hex_of(colour: str) -> str:
    """Return #rrggbb of a colour that a browser gives as #rrggbb or rgba(r, g, b, a)."""
    if match := _RGB.match(colour):
        return "#{:02x}{:02x}{:02x}".format(*(min(255, round(float(part))) for part in match.groups()))
    return colour[:7]


def colour_tab() -> None:
    """Lay out the tab and connect its events."""
    album = gr.State(
        lambda: ColourSession(),  # noqa: PLW0108 - a dataclass itself would be taken for a value
        delete_callback=lambda one: one.folder.cleanup(),
    )
    gr.Markdown(
        "Photographs of any size, grey or sepia. Each keeps its own lightness; only its colours are guessed.",
        elem_classes="lead",
    )
    with gr.Row():
        files = gr.File(
            label="Drop photographs here",
            file_count="multiple",
            file_types=sorted(SUFFIXES),
            height=140,
            elem_id="colour-files",
            scale=3,
        )
        folder = gr.UploadButton(
            "Open a folder", file_count="directory", scale=1, size="md", elem_id="colour-folder"
        )
    notes = gr.Markdown(elem_classes="lead")
    gallery = gr.Gallery(
        label="Photographs",
        show_label=False,
        columns=6,
        height=190,
        object_fit="contain",
        fit_columns=False,
        allow_preview=False,
        visible=False,
        elem_id="colour-gallery",
        buttons=[],
    )
    with gr.Column(visible=False) as work:
        with gr.Row():
            temperature = gr.Slider(
                0.1, 2.0, 1.0, step=0.05, label="Temperature", info="lower is bolder, higher calmer"
            )
            saturation = gr.Slider(0.0, 2.5, 1.0, step=0.05, label="Saturation", info="0 is grey")
            within_bounds(temperature, saturation)
            keep_grey = gr.CheckboxGroup(list(_GREY), label="Keep grey")
        with gr.Tabs():
            with gr.Tab("Before and after"):
                slider = gr.ImageSlider(
                    label="Drag to compare",
                    format="jpeg",
                    buttons=["fullscreen"],
                    elem_id="colour-slider",
                    max_height=700,
                )
            with gr.Tab("Tell it colours"):
                with gr.Row():
                    picker = gr.ColorPicker(
                        "#3b4f7a", label="A colour that you know", elem_id="colour-picker"
                    )
                    suggest = gr.Button("Where would it help most?", elem_id="colour-suggest", size="md")
                    undo = gr.Button("Take the last back", size="md")
                told = gr.Markdown(_HOW_TO_TELL, sanitize_html=False, elem_id="colour-told")
                canvas = gr.Image(
                    label="Click to tell a colour",
                    format="jpeg",
                    interactive=False,
                    buttons=[],
                    elem_id="colour-canvas",
                )
            with gr.Tab("How sure it is"):
                sure = gr.Image(
                    label="Yellow is surest, blue is a guess",
                    format="jpeg",
                    interactive=False,
                    buttons=[],
                    elem_id="colour-sure",
                )
                scale = gr.HTML()
        with gr.Row():
            save = gr.Button("Download this one", variant="primary", elem_id="colour-save")
            save_all = gr.Button("Download all", elem_id="colour-save-all")

    wishes = [temperature, saturation, keep_grey]
    views = [slider, canvas, sure, scale]
    arrived = [album, gallery, work, notes, *views]
    for source in (files, folder):
        source.upload(_look, [album, source, *wishes], arrived, show_progress="minimal")
    gallery.select(_choose, [album, *wishes], [*views, told])
    for one in (temperature, saturation):
        one.input(_paint, [album, *wishes], views, trigger_mode="always_last", show_progress="hidden")
    keep_grey.input(_paint, [album, *wishes], views, show_progress="hidden")
    canvas.select(_tell, [album, picker, *wishes], [*views, told], show_progress="hidden")
    undo.click(_take_back, [album, *wishes], [*views, told])
    suggest.click(_suggest, [album, *wishes], [canvas, told])
    download_on(save, _save, [album, *wishes])
    download_on(save_all, _save_all, [album, *wishes])


def _wishes(temperature: float, saturation: float, keep_grey: Sequence[str]) -> ColourChoice:
    return ColourChoice(temperature, saturation, tuple(_GREY[one] for one in keep_grey))


@shown_errors
def _look(album: ColourSession, files: Sequence[str] | None, *wanted: Any) -> Iterator[Views]:
    """Colour photos one by one; each is shown as soon as it is done."""
    wrong: list[str] = []
    paths = [Path(one) for one in files or () if Path(one).suffix.lower() in SUFFIXES]
    wishes = _wishes(*wanted)
    if not paths:
        raise ConfigError("needed photographs; there was none among the files")
    room = _MOST - len(album.photos)
    for number, path in enumerate(paths[:room], 1):
        try:
            album.photos.append(PagePhoto.of(path))
        except PixelwiseError as error:
            wrong.append(str(error).replace(str(path), path.name))
            continue
        finally:
            told = [*wrong, f"{number} of {len(paths)}"] if number < len(paths) else wrong
        if len(album.photos) == 1 or number == len(paths):
            album.chosen = len(album.photos) - 1 if number == len(paths) == 1 else album.chosen
        yield album, _gallery(album, wishes), gr.update(visible=True), _list(told), *_views(album, wishes)
    if len(paths) > room:
        wrong.append(f"took the first {room} of {len(paths)}; pixelwise batch colours any number")
    yield (
        album,
        _gallery(album, wishes),
        gr.update(visible=bool(album.photos)),
        _list(wrong),
        *_views(album, wishes),
    )


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"* {line}" for line in lines)


def _gallery(album: ColourSession, wishes: ColourChoice) -> Any:
    pictures = [(one.shown(wishes).codes[::3, ::3], one.path.name) for one in album.photos]
    return gr.update(value=pictures, visible=len(pictures) > 1, selected_index=album.chosen)


def _views(album: ColourSession, wishes: ColourChoice) -> Views:
    """Return slider, canvas, confidence map and its legend for the shown photo."""
    if album.one is None:
        return gr.skip(), gr.skip(), gr.skip(), gr.skip()
    one = album.one
    coloured = one.shown(wishes)
    codes = coloured.codes[..., :3]
    picture, legend = sureness(coloured.confidence, codes)
    return (one.before, codes), marked(codes, one.points()), picture, legend


@shown_errors
def _paint(album: ColourSession, *wanted: Any) -> Views:
    return _views(album, _wishes(*wanted))


@shown_errors
def _choose(album: ColourSession, chosen: gr.SelectData, *wanted: Any) -> Views:
    album.chosen = chosen.index
    return *_views(album, _wishes(*wanted)), _told(album.one)


@shown_errors
def _tell(album: ColourSession, colour: str, place: gr.SelectData, *wanted: Any) -> Views:
    one = album.one
    if one is None:
        return (gr.skip(),) * 5
    rows, columns = one.before.shape[:2]
    column, row = place.index
    one.add_hint((row + 0.5) / rows, (column + 0.5) / columns, hex_of(colour))
    return *_views(album, _wishes(*wanted)), _told(one)


@shown_errors
def _take_back(album: ColourSession, *wanted: Any) -> Views:
    if album.one and album.one.hints:
        album.one.hints.pop()
    return *_views(album, _wishes(*wanted)), _told(album.one)


def _told(one: PagePhoto | None) -> str:
    """Return the hints of a photo as command-line options."""
    if one is None or not one.hints:
        return _HOW_TO_TELL
    return "Hints: " + " ".join(f"{_SWATCH.format(hint.colour)} `--hint {hint}`" for hint in one.hints)


@shown_errors
def _suggest(album: ColourSession, *wanted: Any) -> tuple[Codes, str]:
    """Mark the points where a hint would help most."""
    one = album.one
    if one is None:
        return gr.skip(), gr.skip()
    coloured = one.shown(_wishes(*wanted))
    found = coloured.next_hints(_NUM_SUGGESTED)
    rows, columns = one.before.shape[:2]
    asked = [
        ((hint.row + 0.5) / rows, (hint.column + 0.5) / columns, str(number))
        for number, hint in enumerate(found, 1)
    ]
    lines = [
        f"{number}: settles {hint.cut:.0%} of all doubt; guessed "
        + " or ".join(
            f"{_SWATCH.format(likely.colour)} {likely.colour} ({likely.chance:.0%})"
            for likely in hint.colours
        )
        for number, hint in enumerate(found, 1)
    ]
    return marked(coloured.codes[..., :3], one.points(), asked), _list(lines)


def _save(album: ColourSession, *wanted: Any) -> Path:
    if album.one is None:
        raise ConfigError("needed a photograph first")
    return album.one.save(Path(album.folder.name), _wishes(*wanted))


def _save_all(album: ColourSession, *wanted: Any) -> Path:
    if not album.photos:
        raise ConfigError("needed a photograph first")
    target = Path(album.folder.name) / "coloured.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for one in album.photos:
            written = one.save(Path(album.folder.name), _wishes(*wanted))
            archive.write(written, written.name)
    return target
