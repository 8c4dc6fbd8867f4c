"""Every benchmark, one after the other, on one page.

    python benchmarks/page.py [--out out/bench] [--only NAME]

What each prints goes to the terminal as it comes and, when it is done, into index.html, with the seconds
it took, the machine and the commit; progress goes to the terminal alone. What needs photos or a package that
are not here is left out, and the page says so. A benchmark that fails does not stop the others; the exit code
tells. Ctrl-C keeps what is done.
"""

from __future__ import annotations

import argparse
import html
import importlib.util
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from pixelwise.page import commands, frame, warning

from pixelwise.files import write_text
from pixelwise.network.device import processor_name

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Benchmark:
    """A file beside this one, what it answers, and how it is asked."""

    name: str
    question: str
    answer: str
    """Pattern of the line that says it in short, from its first group on; for the top of the page."""
    options: tuple[str, ...] = ()
    needs_data: bool = False
    needs_package: str = ""


BENCHMARKS = [
    Benchmark("start", "How long until it begins, and in how much memory?", r"(colourise a photo.*)"),
    Benchmark(
        "time_to_quality",
        "How much sooner does training reach its quality?",
        r"(fast ends .*)",
        needs_data=True,
    ),
    Benchmark("colourise", "How fast are photos coloured, and alike at any size?", r"(1 megapixel, .*)"),
    Benchmark(
        "colourise_large", "And large ones, beside decoding and encoding alone?", r"libvips .* s: (ratio.*)"
    ),
    Benchmark(
        "segment_large",
        "How much time and memory does a large photo take to cut out of?",
        r"(mask, alone: .*)",
    ),
    Benchmark("feature_cache", "What do features cost to keep and to read?", r"(full cache .*);"),
    Benchmark("export", "Is the exported model as fast as torch, and equal?", r"256: (.*)"),
    Benchmark(
        "batch",
        "How many photos a second, by how many workers, through poison?",
        r"workers: (.*)",
        ("--photos", "500"),
    ),
    Benchmark("serve", "What does the service withstand?", r"(answered .*)", ("--requests", "4000")),
    Benchmark("faults", "Is anything lost by kills at random?", r"(.* nothing was lost)", ("--kills", "10")),
    Benchmark(
        "fuzz",
        "Does a damaged file get past a parser?",
        r"(.*parsers failed)",
        ("--cases", "10000"),
        needs_package="atheris",
    ),
]
"""In the order of the page. What is not here answers questions of its own, over hours, in docs/log.md."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--only", choices=[one.name for one in BENCHMARKS], action="append")
    options = parser.parse_args()
    chosen = [one for one in BENCHMARKS if not options.only or one.name in options.only]
    done: list[Measured] = []
    page, note = options.out / "index.html", ""
    try:
        for one in chosen:
            done.append(run(one))
            write(page, done, f"{len(done)} of {len(chosen)} are done.")
    except KeyboardInterrupt:
        note = f"Stopped by Ctrl-C after {len(done)} of {len(chosen)}."
    write(page, done, note)
    print(f"{page}  all of it on a page")
    failed = ", ".join(one.benchmark.name for one in done if one.exit_code)
    sys.exit(f"failed: {failed}" if failed else 130 if note else 0)


@dataclass(frozen=True)
class Measured:
    """What a benchmark printed, or why it was left out."""

    benchmark: Benchmark
    lines: str
    seconds: float
    exit_code: int = 0
    missing: str = ""

    @property
    def answer(self) -> str:
        """It in short."""
        found = re.search(self.benchmark.answer, self.lines)
        return found[1].strip() if found else "left out" if self.missing else "see below"

    def section(self) -> str:
        """Its part of the page."""
        heading = f'<h2 id="{self.benchmark.name}">{html.escape(self.benchmark.question)}</h2>'
        if self.missing:
            return heading + warning(f"Left out: {self.missing}")
        asked = html.escape(
            " ".join(["python", f"benchmarks/{self.benchmark.name}.py", *self.benchmark.options])
        )
        ended = f", <strong>failed with {self.exit_code}</strong>" if self.exit_code else ""
        return f"{heading}<p><code>{asked}</code>, {self.seconds:.0f} s{ended}</p>{commands(self.lines)}"


def write(page: Path, done: list[Measured], note: str) -> None:
    """The page of what is done so far."""
    lead = "What was claimed, measured in one go; medians of n, with spread, where a line says so."
    rows = "".join(
        f'<tr><th><a href="#{one.benchmark.name}">{html.escape(one.benchmark.question)}</a></th>'
        f"<td>{html.escape(one.answer)}</td></tr>"
        for one in done
    )
    said = [warning(note)] if note else []
    parts = (
        machine(),
        *said,
        "<h2>In short</h2>",
        f"<table>{rows}</table>",
        *(one.section() for one in done),
    )
    write_text(page, frame("Benchmarks", lead, *parts))


def run(one: Benchmark) -> Measured:
    """Run a benchmark, if it has what it needs."""
    print(f"== {one.name}: {one.question}", flush=True)
    if missing := lacks(one):
        print(f"left out: {missing}", flush=True)
        return Measured(one, "", 0.0, missing=missing)
    command = [sys.executable, str(HERE / f"{one.name}.py"), *one.options]
    start_s, lines = time.perf_counter(), []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return Measured(one, "".join(lines), time.perf_counter() - start_s, process.returncode)


def lacks(one: Benchmark) -> str:
    """What a benchmark needs that is not here."""
    if one.needs_data and not os.environ.get("PIXELWISE_DATA"):
        return "it needs the photos in the folder that PIXELWISE_DATA names"
    if one.needs_package and importlib.util.find_spec(one.needs_package) is None:
        return f"it needs {one.needs_package}, which is no dependency: pip install {one.needs_package}"
    return ""


def machine() -> str:
    """What it ran on, and which commit."""
    facts = {
        "processor": f"{processor_name()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "system": platform.platform(),
        "software": f"Python {platform.python_version()}, torch {torch.__version__}",
        "commit": git("describe", "--always", "--dirty"),
        "day": time.strftime("%Y-%m-%d"),
    }
    rows = "".join(f"<tr><th>{name}</th><td>{html.escape(fact)}</td></tr>" for name, fact in facts.items())
    return f"<table>{rows}</table>"


def git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(HERE), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
