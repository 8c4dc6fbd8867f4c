"""Follow the tutorials: run every command and example of theirs, in order, in a folder for each.

    python docs/site/walk.py out/tutorials

prints each command with what it printed. The folders are what `pictures.py` draws from.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TUTORIALS = Path(__file__).parents[1] / "tutorials"
_BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """What a tutorial tells to run, and what it says is printed."""

    language: str
    """`bash` or `python`."""
    code: str
    printed: str | None


def steps(page: Path) -> list[Step]:
    """A tutorial's steps; blocks in no language are told, not run."""
    return [Step(*found) for found in _BLOCK.findall(page.read_text())]


def main() -> None:
    """Follow all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    beside = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{beside}{os.pathsep}{os.environ['PATH']}"}
    for page in sorted(TUTORIALS.glob("*.md")):
        folder = options.folder / page.stem
        folder.mkdir(parents=True)
        for step in steps(page):
            print(f"--- {page.stem}\n{step.code}")
            program = ["bash", "-ec"] if step.language == "bash" else [sys.executable, "-c"]
            subprocess.run([*program, step.code], cwd=folder, env=environment, check=True)


if __name__ == "__main__":
    main()
