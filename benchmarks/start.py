"""What one photo costs from nothing: a process that starts, colours it and ends.

    python benchmarks/start.py [--before SRC] [--repeats 5]

Prints processor seconds, seconds on the clock and peak memory of `pixelwise colourise` of a photo of one
megapixel, and of `--help`; medians. `--before` names the `src` folder of another version, run in turn with
this one in the same environment, to meet the same machine; then ratios are printed, too.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MAKE_PHOTO = """
import sys
from PIL import Image
from sklearn.datasets import load_sample_image
Image.fromarray(load_sample_image("china.jpg")).resize((1224, 817)).convert("L").save(sys.argv[1])
"""  # elsewhere, since a process that is started counts the memory of the one that starts it
HERE = Path(__file__).parents[1] / "src"


def measure(source: Path, *args: str) -> tuple[float, float, float]:
    """Return processor seconds, seconds on the clock and peak memory in MB of a command."""
    environment = os.environ | {"PYTHONPATH": str(source)}
    command = [sys.executable, "-c", "from pixelwise.cli import main; main()", *args]
    silent = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
    start = time.perf_counter()
    child = os.posix_spawn(sys.executable, command, environment, file_actions=silent)
    _, status, used = os.wait4(child, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"{' '.join(args)} in {source} failed")
    return used.ru_utime + used.ru_stime, seconds, used.ru_maxrss / 1e3


def main() -> None:
    """Measure both versions in turn and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    versions = {"now": HERE} | ({"before": options.before} if options.before else {})
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder, "photo.jpg")
        subprocess.run([sys.executable, "-c", MAKE_PHOTO, str(photo)], check=True)
        jobs = {"colourise": ("colourise", str(photo), "-o", str(Path(folder, "out"))), "--help": ("--help",)}
        for job, command in jobs.items():
            found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in versions}
            for repeat in range(options.repeats + 1):
                for name, source in versions.items():
                    measured = measure(source, *command)
                    if repeat:  # the first fills caches
                        found[name].append(measured)
            medians = {
                name: [statistics.median(column) for column in zip(*rows, strict=True)]
                for name, rows in found.items()
            }
            for name, (processor, clock, memory) in medians.items():
                print(f"{job:10} {name:6} {processor:6.2f} s of processor, {clock:6.2f} s, {memory:6.0f} MB")
            if options.before:
                ratios = [old / new for old, new in zip(medians["before"], medians["now"], strict=True)]
                print(f"{job:10} ratio  {ratios[0]:6.1f}              {ratios[1]:6.1f}    {ratios[2]:6.1f}")


if __name__ == "__main__":
    main()
