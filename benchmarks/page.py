"""Run the benchmarks one after the other and write what they print onto one Markdown page.

    python benchmarks/page.py [--out out/bench] [--only NAME]

The page has the machine, the commit, a short answer to each question and the whole output. Benchmarks that
lack photos or a package are left out, and the page says so. A failure does not stop the others; the exit code
reports it. Ctrl-C keeps what is done.
"""

from __future__ import annotations

import argparse
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

from pixelwise.files import write_text
from pixelwise.training.device import processor_name

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Benchmark:
    """A file beside this one, the question it answers, and its options."""

    name: str
    question: str
    answer: str
    """Pattern of the line with the short answer, which is its first group."""
    options: tuple[str, ...] = ()
    needs_data: bool = False
    needs_package: str = ""

    @property
    def lacks(self) -> str:
        """What it needs that is not here."""
        if self.needs_data and not os.environ.get("PIXELWISE_DATA"):
            return "it needs the photos in the folder that PIXELWISE_DATA names"
        if self.needs_package and importlib.util.find_spec(self.needs_package) is None:
            return f"it needs {self.needs_package}: pip install {self.needs_package}"
        return ""


BENCHMARKS = [
    Benchmark("start", "How long until it begins, and in how much memory?", r"(colourise +now.*)"),
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--only", choices=[one.name for one in BENCHMARKS], action="append")
    options = parser.parse_args()
    chosen = [one for one in BENCHMARKS if not options.only or one.name in options.only]
    page, answers, sections, failed = options.out / "index.md", [], [], []
    code = 0
    try:
        for number, one in enumerate(chosen, 1):
            lines, seconds, exit_code = run(one)
            found = re.search(one.answer, lines)
            answers.append(f"| {one.question} | {found[1].strip() if found else one.lacks or 'see below'} |")
            command = " ".join(["python", f"benchmarks/{one.name}.py", *one.options])
            ended = f", **failed with {exit_code}**" if exit_code else ""
            sections.append(f"## {one.question}\n\n`{command}`, {seconds:.0f} s{ended}\n\n```\n{lines}```\n")
            failed += [one.name] if exit_code else []
            text = [f"# Benchmarks: {number} of {len(chosen)}", machine(), "| question | answer |\n|---|---|"]
            write_text(page, "\n\n".join(text) + "\n" + "\n".join(answers) + "\n\n" + "\n".join(sections))
    except KeyboardInterrupt:
        code = 130
    print(f"{page}  all results on one page")
    sys.exit(f"failed: {', '.join(failed)}" if failed else code)


def run(one: Benchmark) -> tuple[str, float, int]:
    """Run a benchmark, if it has what it needs; return its output, the seconds it took and its exit code."""
    print(f"== {one.name}: {one.question}", flush=True)
    if one.lacks:
        print(f"left out: {one.lacks}", flush=True)
        return f"left out: {one.lacks}\n", 0.0, 0
    command = [sys.executable, str(HERE / f"{one.name}.py"), *one.options]
    start_s, lines = time.perf_counter(), []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return "".join(lines), time.perf_counter() - start_s, process.returncode


def machine() -> str:
    """Return the machine and the commit, as a list."""
    described = subprocess.run(
        ["git", "-C", str(HERE), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    facts = {
        "processor": f"{processor_name()}, {os.cpu_count()} cores",
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "system": platform.platform(),
        "software": f"Python {platform.python_version()}, torch {torch.__version__}",
        "commit": described.stdout.strip() or "unknown",
        "day": time.strftime("%Y-%m-%d"),
    }
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items())


if __name__ == "__main__":
    main()
