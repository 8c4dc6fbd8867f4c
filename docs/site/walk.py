"""Run every command and example of the tutorials, in order, in one folder for each tutorial.

    python docs/site/walk.py out/tutorials

prints each command with its output. `pictures.py` draws from the folders.
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
    """A code block of a tutorial, and the output that it shows."""

    language: str
    """`bash` or `python`."""
    code: str
    printed: str | None


def steps(page: Path) -> list[Step]:
    """Return a tutorial's steps; blocks without a language are not run."""
    return [Step(*found) for found in _BLOCK.findall(page.read_text())]


def main() -> None:
    """Run all tutorials."""
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
