"""The command line: one file for each group of verbs; nothing else prints or exits."""

from __future__ import annotations

import gc
import sys

from pixelwise.cli.verbs import list_verbs


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
