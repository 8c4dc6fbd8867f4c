"""The command line: one file for each group of verbs; nothing else prints or exits."""

from __future__ import annotations

from pixelwise.cli.app import main

__all__ = ["main"]
