"""Pages that are written when the site is built: the command line's own help, the cards of shipped models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import pixelwise.cards
from pixelwise.cli.app import app

WEIGHTS = Path(pixelwise.cards.__file__).parent / "weights"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add them."""
    for name, content in pages():
        files.append(File.generated(config, name, content=content))
    return files


def pages() -> Iterator[tuple[str, str]]:
    """Name and Markdown of each."""
    yield "reference/commands.md", commands()
    for card in sorted([*WEIGHTS.glob("*.md"), *(WEIGHTS / "heads").glob("*.md")]):
        yield f"models/{card.name}", card.read_text()


def commands() -> str:
    """Every verb with its options, as --help tells them."""
    for verb in [app[name] for name in app if not name.startswith("-")]:
        if verb.default_command:
            verb.help = None  # the docstring, which says more than a line
    return app.generate_docs(heading_level=1, usage_name="pixelwise")
