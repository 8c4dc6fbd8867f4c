"""The command line: verbs, exit codes, one JSON object on request. No other floor prints or exits."""

from __future__ import annotations

from pixelwise.cli.app import main

__all__ = ["main"]
