"""Error messages, downloads and bounds of sliders, for all tabs."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from pixelwise.errors import PixelwiseError

F = TypeVar("F", bound=Callable[..., Any])


def shown_errors(touched: F) -> F:
    """Show errors of this package as one line and leave the page as it is."""
    if inspect.isgeneratorfunction(touched):

        @functools.wraps(touched)
        def run_all(*given: Any, **named: Any) -> Any:
            try:
                yield from touched(*given, **named)
            except PixelwiseError as error:
                gr.Warning(str(error), title="")
                yield gr.skip()

        return run_all  # type: ignore[return-value]  # the same arguments and values

    @functools.wraps(touched)
    def run(*given: Any, **named: Any) -> Any:
        try:
            return touched(*given, **named)
        except PixelwiseError as error:
            gr.Warning(str(error), title="")
            return gr.skip()

    return run  # type: ignore[return-value]  # the same


@contextlib.contextmanager
def named_after(path: Path) -> Iterator[None]:
    """Name an uploaded file in errors by its name, not by its path on this machine."""
    try:
        yield
    except PixelwiseError as error:
        raise type(error)(str(error).replace(str(path), path.name)) from error


def download_on(button: gr.Button, prepare: Callable[..., Path], inputs: Sequence[Any]) -> None:
    """Make a file when a button is pressed, and have the browser download it.

    gr.DownloadButton alone hands over what was made before it is pressed.
    """
    name = f"{button.elem_id}-file"
    hidden = gr.DownloadButton(visible="hidden", elem_id=name)
    press = f"() => document.querySelector('#{name}').click()"

    def made(*given: Any) -> str:
        try:
            return str(prepare(*given))
        except PixelwiseError as error:  # nothing is to be downloaded then
            raise gr.Error(str(error), title="", print_exception=False) from error

    button.click(made, list(inputs), hidden, show_progress="hidden").success(None, js=press)


def within_bounds(*sliders: gr.Slider) -> None:
    """Clip numbers typed beyond a slider's ends, where Gradio would raise."""

    def bounded(slider: gr.Slider, number: float) -> float:
        return min(max(float(number), float(slider.minimum)), float(slider.maximum))

    for slider in sliders:
        slider.preprocess = functools.partial(bounded, slider)  # type: ignore[method-assign]  # of this one
