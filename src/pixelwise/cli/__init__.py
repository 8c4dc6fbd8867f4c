"""The command line: one file for each group of verbs; nothing else prints or exits."""

from __future__ import annotations

import sys

from pixelwise.cli.verbs import list_verbs

__all__ = ["main"]


def main() -> None:
    """Run the program on the process's own arguments and exit."""
    if sys.argv[1:] in ([], ["--help"], ["-h"]):
        print(list_verbs())
        return
    from pixelwise.cli import app  # with the parser a tenth of a second

    app.main()
