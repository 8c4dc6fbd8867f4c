"""What a job costs from nothing: a process that starts, does it and ends.

    python benchmarks/start.py [--before SRC] [--repeats 5] [--job=--help] [--job=finetune]

Prints medians of processor seconds, seconds on the clock and peak memory of `--help`, of colouring a photo of
one megapixel, of a server until its first answer and, with PIXELWISE_DATA, of a head from 20 flowers, its
scores on 172 with it: cold, with no features kept, and warm. `--before` names the `src` folder of another
version, run in turn with this one in the same environment, to meet the same machine; then ratios are printed,
too.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PROGRAM = [sys.executable, "-c", "from pixelwise.cli import main; main()"]
HERE = Path(__file__).parents[1] / "src"
MAKE_PHOTO = """
import sys
from PIL import Image
Image.open(sys.argv[1]).resize((1224, 817)).convert("L").save(sys.argv[2])
"""  # elsewhere, since a process that is started counts the memory of the one that starts it


def measure(source: Path, cache: Path, *args: str) -> tuple[float, float, float]:
    """Return processor seconds, seconds on the clock and peak memory in MB of a command."""
    environment = os.environ | {"PYTHONPATH": str(source), "PIXELWISE_CACHE": str(cache)}
    start = time.perf_counter()
    if args[0] == "serve":
        child = until_it_answers([*PROGRAM, *args], environment)
    else:
        silent = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
        child = os.posix_spawn(sys.executable, [*PROGRAM, *args], environment, file_actions=silent)
    _, status, used = os.wait4(child, 0)
    seconds = time.perf_counter() - start
    if status and args[0] != "serve":
        raise SystemExit(f"{' '.join(args)} in {source} failed")
    return used.ru_utime + used.ru_stime, seconds, used.ru_maxrss / 1e3


def until_it_answers(command: list[str], environment: dict[str, str]) -> int:
    """Start a server, and end it at once when it has answered; return its process."""
    with subprocess.Popen(
        [*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as server:
        assert server.stdout
        url = json.loads(server.stdout.readline())["url"]
        urllib.request.urlopen(f"{url}/healthz").read()
        os.kill(server.pid, 9)
        server.returncode = -9  # it is waited for where its memory is read
        return server.pid


def jobs(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the command of each job by its name."""
    photo = folder / "photo.jpg"
    scene = HERE / "pixelwise" / "api" / "photographs" / "temple.jpg"
    subprocess.run([sys.executable, "-c", MAKE_PHOTO, str(scene), str(photo)], check=True)
    found = {
        "--help": ("--help",),
        "colourise": ("colourise", str(photo), "-o", str(folder / "out")),
        "serve": ("serve", "--port", "0"),
    }
    if "PIXELWISE_DATA" in os.environ:
        learn = ("finetune", "flowers17", "--shots", "20", "--seed", "7", "-o", str(folder / "head"))
        found |= {"finetune cold": learn, "finetune warm": learn}
    return found


def main() -> None:
    """Measure both versions in turn and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--job", action="append", help="only jobs whose names begin so; may be given again")
    options = parser.parse_args()
    versions = {"now": HERE} | ({"before": options.before} if options.before else {})
    with tempfile.TemporaryDirectory() as folder:
        for job, command in jobs(Path(folder)).items():
            if options.job and not job.startswith(tuple(options.job)):
                continue
            found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in versions}
            for repeat in range(options.repeats + 1):
                for name, source in versions.items():
                    cache = Path(folder, f"cache-{name}")
                    if job.endswith("cold"):
                        shutil.rmtree(cache, ignore_errors=True)
                    measured = measure(source, cache, *command)
                    if repeat:  # the first fills caches
                        found[name].append(measured)
            report(job, found)


def report(job: str, found: dict[str, list[tuple[float, float, float]]]) -> None:
    """Print medians, and by how much they were more before."""
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in found.items()
    }
    for name, (processor, clock, memory) in medians.items():
        print(
            f"{job:14} {name:6} {processor:6.2f} s of processor, {clock:6.2f} s, {memory:6.0f} MB", flush=True
        )
    if "before" in medians:
        ratios = [old / new for old, new in zip(medians["before"], medians["now"], strict=True)]
        print(
            f"{job:14} ratio  {ratios[0]:6.1f}              {ratios[1]:6.1f}    {ratios[2]:6.1f}", flush=True
        )


if __name__ == "__main__":
    main()
