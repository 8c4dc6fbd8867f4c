"""Every benchmark, one after the other, on one page.

    python benchmarks/page.py [--out out/bench] [--only NAME]

What each prints goes to the terminal as it comes, and in the end into index.html, with the seconds each
took, the machine and the commit. What needs photos or a package that are not here is left out, and the page
says so. A benchmark that fails does not stop the others; the exit code tells. Ctrl-C keeps what is done.
"""

from __future__ import annotations

import argparse
import html
import importlib.util
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from pixelwise.files import write_text
from pixelwise.page import frame
from pixelwise.processor import processor_name

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Benchmark:
    """A file beside this one, what it answers, and how it is asked."""

    name: str
    question: str
    options: tuple[str, ...] = ()
    needs_data: bool = False
    needs_package: str = ""


BENCHMARKS = [
    Benchmark("start", "How long until it begins, and in how much memory?"),
    Benchmark("ceiling", "What share of the processor's bf16 speed does training reach, by layer?"),
    Benchmark("encode", "How fast are photos encoded, beside a plain lookup in memory?"),
    Benchmark("time_to_quality", "How much sooner does training reach its quality?", needs_data=True),
    Benchmark("finetune_ratio", "How much sooner does a head learn from kept features?", needs_data=True),
    Benchmark("processes", "Are the losses of two processes those of one?"),
    Benchmark("colourise", "How fast are photos coloured, and alike at any size?"),
    Benchmark("colourise_large", "And large ones, beside decoding and encoding alone?"),
    Benchmark("segment_large", "How much time and memory does a large photo take to cut out of?"),
    Benchmark("feature_cache", "What do features cost to keep and to read?"),
    Benchmark("export", "Is the exported model as fast as torch, and equal?"),
    Benchmark("batch", "How many photos a second, by how many workers, through poison?", ("--photos", "500")),
    Benchmark("serve", "What does the service withstand?", ("--requests", "1000")),
    Benchmark("faults", "Is anything lost by kills at random?", ("--kills", "10")),
    Benchmark(
        "fuzz", "Does a damaged file get past a parser?", ("--cases", "10000"), needs_package="atheris"
    ),
]
"""In the order of the page. What is not here answers questions of its own, over hours, in docs/log.md."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--only", choices=[one.name for one in BENCHMARKS], action="append")
    options = parser.parse_args()
    chosen = [one for one in BENCHMARKS if not options.only or one.name in options.only]
    sections, failed = [], []
    try:
        for one in chosen:
            section, is_right = run(one)
            sections.append(section)
            failed += [] if is_right else [one.name]
    except KeyboardInterrupt:
        sections.append("<p class=warning>Stopped by Ctrl-C; what follows was not run.</p>")
    links = [f'<li><a href="#{one.name}">{html.escape(one.question)}</a></li>' for one in chosen]
    lead = "What was claimed, measured in one go; medians of n, with spread, where a line says so."
    content = frame("Benchmarks", lead, machine(), f"<ul>{''.join(links)}</ul>", *sections)
    write_text(options.out / "index.html", content)
    print(f"{options.out / 'index.html'}  all of it on a page")
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def run(one: Benchmark) -> tuple[str, bool]:
    """A benchmark's part of the page, and whether it ran to its end or was left out for a reason."""
    print(f"== {one.name}: {one.question}", flush=True)
    heading = f'<h2 id="{one.name}">{html.escape(one.question)}</h2>'
    if missing := lacks(one):
        print(f"left out: {missing}", flush=True)
        return f"{heading}<p class=warning>Left out: {html.escape(missing)}</p>", True
    command = [sys.executable, str(HERE / f"{one.name}.py"), *one.options]
    start_s, lines = time.perf_counter(), []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    seconds = time.perf_counter() - start_s
    asked = html.escape(" ".join(["python", f"benchmarks/{one.name}.py", *one.options]))
    ended = "" if process.returncode == 0 else f", <strong>failed with {process.returncode}</strong>"
    told = html.escape("".join(lines))
    section = f"{heading}<p><code>{asked}</code>, {seconds:.0f} s{ended}</p><pre>{told}</pre>"
    return section, process.returncode == 0


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
