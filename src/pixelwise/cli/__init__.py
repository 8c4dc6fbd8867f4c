"""The command line: one file for each group of verbs; nothing else prints or exits."""

from __future__ import annotations

import gc
import sys
import textwrap
from typing import Final

ABOUT: Final = (
    "A class for every pixel: colour grey photographs, cut things out, and train the models that do it."
)
BATCH: Final = "Do any number of photos: planned, recorded, on all processors or a cluster."
VERBS: Final = (  # group, the module of `cli` that it is in, its names, what it does
    ("", "photos", "colourise colorize", "Colour photos or folders of photos."),
    ("", "train", "train", "Train a network on pictures."),
    ("", "evaluate", "evaluate", "Score a model or a head, beside its baselines."),
    ("", "finetune", "finetune", "Learn to cut out what a few masks show, or to colour like photos."),
    ("", "photos", "segment", "Cut things out of photos: masks and overlays."),
    ("", "labels", "suggest", "Say which photos to label next."),
    ("", "labels", "check-labels", "Find mistakes in masks, with a remedy for each."),
    ("", "models", "export", "Write a model or head as ONNX, checked against the original."),
    ("", "models", "models", "List what is shipped, with source, licence and checksum."),
    ("", "train", "lab", "Answer every question of the assignment by measurement."),
    ("", "serve", "serve", "Colour and segment for browsers and other programs, over HTTP."),
    ("", "models", "demo", "Do the main jobs on what is embedded, and show them on one page."),
    ("batch", "batch", "colourise", "Colour any number of photos."),
    ("batch", "batch", "segment", "Cut things out of any number of photos."),
)


def main() -> None:
    """Run the program on the process's own arguments and exit."""
    if sys.argv[1:] in ([], ["--help"], ["-h"]):
        print(list_verbs())
        return
    # Imports make objects by the hundred thousand that stay: looking for garbage among them again and again
    # takes a tenth of the start.
    gc.set_threshold(100_000, 50, 100)
    from pixelwise.cli import app  # with the parser a tenth of a second

    app.main()


def list_verbs() -> str:
    """Return what the program is and does, for a terminal of 80 columns."""
    rows = [(names.replace(" ", ", "), does) for group, _, names, does in VERBS if not group]
    rows = [*sorted([*rows, ("batch", BATCH)]), ("--version", "Show the version.")]
    lines = ["Usage: pixelwise COMMAND", "", *textwrap.wrap(ABOUT, 80), "", "Commands:"]
    for label, does in rows:
        lines += textwrap.wrap(does, 80, initial_indent=f"  {label:22}", subsequent_indent=24 * " ")
    return "\n".join([*lines, "", "pixelwise COMMAND --help says what a command takes."])
