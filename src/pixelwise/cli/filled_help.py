"""Help whose paragraphs, broken into lines in the source, fill the lines of the terminal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cyclopts.help import HelpPanel
from cyclopts.help.formatters import DefaultFormatter

if TYPE_CHECKING:  # cyclopts brings it along
    from rich.console import Console, ConsoleOptions


class FilledHelp(DefaultFormatter):
    """The parser's own help; what fills lines there, rich's Markdown, takes a sixth of the time of --help."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print a panel of arguments or commands."""
        for entry in panel.entries:
            _fill(entry.description)
        super().__call__(console, options, panel)

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        """Print what a command is about."""
        _fill(description)
        super().render_description(console, options, description)


def _fill(description: Any) -> None:
    if text := getattr(description, "primary_renderable", None):
        text.plain = re.sub(r"(?<=\S)\n[ ]*(?=\S)", " ", text.plain)
