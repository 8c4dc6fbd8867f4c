"""Kills at random moments: python benchmarks/faults.py [--kills 100] [--seed 0] [--only train].

Each job is started again and again and killed with signal 9, it and all that it started, at a random moment.
After each kill nothing that was done before may be missing, and nothing under a final name may be less than
whole. At the end each is let run to its end, and has to come to what one that was never killed came to.

train      a network, whose checkpoint is written every fraction of a second here; the same weights
features   heads from an empty cache of features: entries stay, and the head comes out the same
colourise  a folder of photos: the copies are the same bytes
batch      the same by `batch`: the same manifest and bytes
serve      photos sent to a server while it dies: each answer is right or none; nothing of it stays on disk
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
from PIL import Image
from safetensors import safe_open

from pixelwise.segmenting.heads import open_head
from pixelwise.training.runs import read_checkpoint, read_metrics

PROGRAM = [sys.executable, "-m", "pixelwise"]
OFTEN = [
    sys.executable,
    "-c",
    "from pixelwise.training import loop; loop.CHECKPOINT_EVERY_S = 0.3\n"
    "from pixelwise.cli import main; main()",
]
TRAIN = ["train", "unet", "synthetic:shapes", "--num-filters", "2", "--precision", "fp32", "--epochs", "12"]
NUM_PHOTOS = 60
SIDE = 400
_STARTS_S = 3.0  # about: importing torch


class LostError(Exception):
    """What was done is missing or not whole, or a result is another one."""


def require(is_so: bool, message: str) -> None:
    if not is_so:
        raise LostError(message)


@dataclass
class Job:
    """Something that is started, killed, looked at, and started again."""

    name: str
    command: Callable[[Path], list[str]]
    """To start it, or go on, with this folder for what it makes."""
    done: Callable[[Path], set[str]]
    """What is done; looking requires that it is whole."""
    same: Callable[[Path, Path], None]
    """Requires that two folders hold the same."""
    work_s: float
    """About how long it takes beside starting: kills fall within."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["train", "features", "colourise", "batch", "serve"])
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = write_photos(folder / "photos")
        jobs = [train(), features(folder), colourise(photos), batch(photos)]
        names = [options.only] if options.only else [*(job.name for job in jobs), "serve"]
        each = -(-options.kills // len(names))
        for job in jobs:
            if job.name in names:
                print(disturb(job, folder, each, chance), flush=True)
        if "serve" in names:
            print(serve(folder, photos, each, chance), flush=True)
    print(f"{each * len(names)} kills over {len(names)} jobs, and nothing was lost")


def disturb(job: Job, folder: Path, num: int, chance: random.Random) -> str:
    """Kill a job so often, and more often if it gets done in between; what became of it in a line."""
    whole, out = folder / f"{job.name}-whole", folder / f"{job.name}-killed"
    seconds = run(job.command(whole))
    kills, ended = 0, 0
    while kills < num:
        done = job.done(out) if out.exists() else set()
        if run(job.command(out), chance.uniform(0.5, max(seconds, _STARTS_S + job.work_s))) is None:
            kills += 1
            missing = done - (job.done(out) if out.exists() else set())
            require(not missing, f"{job.name}: {sorted(missing)[:3]} were done, and are not any more")
        else:
            job.same(whole, out)
            ended += 1
            out = out.with_name(f"{job.name}-killed-{ended}")
    run(job.command(out))
    job.same(whole, out)
    return f"{job.name}: killed {kills} times, {ended} runs ended before; nothing lost, the same at the end"


def run(command: Sequence[str], kill_after_s: float | None = None) -> float | None:
    """Seconds that a command took; None where it was killed first, with all that it started."""
    start_s = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _, told = process.communicate(timeout=kill_after_s)
    except subprocess.TimeoutExpired:
        kill_all(process)
        return None
    require(process.returncode == 0, f"{command} ended with {process.returncode}: {told[-2000:]}")
    return time.perf_counter() - start_s


def kill_all(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        for one in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    process.communicate()


def write_photos(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(NUM_PHOTOS):
        small = rng.integers(0, 255, (8, 8)).astype(np.uint8)
        Image.fromarray(small).resize((SIDE, SIDE)).save(folder / f"{number:03}.jpg")
    return folder


def train() -> Job:
    def command(out: Path) -> list[str]:
        resume = ["--resume"] if (out / "checkpoint.safetensors").exists() else []
        return [*OFTEN, *TRAIN, "-o", str(out), *resume]

    def done(out: Path) -> set[str]:
        if not (out / "checkpoint.safetensors").exists():
            return set()
        step = read_checkpoint(out).step
        epochs = [f"epoch {row['epoch']}" for row in read_metrics(out) if row["step"] <= step]
        return {*(f"step {one}" for one in range(step)), *epochs}

    def same(whole: Path, out: Path) -> None:
        one, other = ((folder / "model.safetensors").read_bytes() for folder in (whole, out))
        require(one == other, "train: another model came out")

    return Job("train", command, done, same, work_s=8)


def features(folder: Path) -> Job:
    data = folder / "labelled"
    rng = np.random.default_rng(1)
    for number in range(NUM_PHOTOS):
        for where in ("images", "masks"):
            (data / where).mkdir(parents=True, exist_ok=True)
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[: rng.integers(100, 300)] = 1
        noise = rng.integers(0, 60, (SIDE, SIDE, 3))
        Image.fromarray((noise + mask[..., None] * 150).astype(np.uint8)).save(
            data / f"images/{number:03}.jpg"
        )
        Image.fromarray(mask).save(data / f"masks/{number:03}.png")

    def command(out: Path) -> list[str]:
        cache = f"PIXELWISE_CACHE={out / 'cache'}"
        return ["env", cache, *PROGRAM, "finetune", f"folder:{data}", "-o", str(out / "head"), "--seed", "0"]

    def done(out: Path) -> set[str]:
        if (out / "head").exists():
            open_head(out / "head")
        entries = list((out / "cache").glob("[!.]*.safetensors"))
        for path in entries:
            with safe_open(path, "np") as entry:
                for name in entry.keys():  # noqa: SIM118 - it is no dictionary
                    entry.get_tensor(name)
        return {path.name for path in entries}

    def same(whole: Path, out: Path) -> None:
        one, other = (open_head(path / "head").weights for path in (whole, out))
        require(bool((one.weight == other.weight).all()), "features: another head came out")

    return Job("features", command, done, same, work_s=8)


def whole_copies(out: Path) -> set[str]:
    # not what a kill left half done, under hidden names
    copies = [path for path in out.rglob("*.jpg") if "/." not in f"/{path.relative_to(out)}"]
    for path in copies:
        with Image.open(path) as image:
            image.load()
    return {path.name for path in copies}


def same_copies(whole: Path, out: Path) -> None:
    names = whole_copies(whole)
    require(names == whole_copies(out), f"{out.name}: other copies came out")
    for name in names:
        require(content_of(whole, name) == content_of(out, name), f"{out.name}: {name} is another")


def content_of(folder: Path, name: str) -> bytes:
    return next(folder.rglob(name)).read_bytes()


def colourise(photos: Path) -> Job:
    def command(out: Path) -> list[str]:
        return [*PROGRAM, "colourise", str(photos), "-o", str(out)]

    return Job("colourise", command, whole_copies, same_copies, work_s=4)


def batch(photos: Path) -> Job:
    def command(out: Path) -> list[str]:
        return [*PROGRAM, "batch", "colourise", str(photos), "-o", str(out), "--workers", "2"]

    def same(whole: Path, out: Path) -> None:
        same_copies(whole, out)
        one, other = (
            pq.read_table(path / "manifest.parquet").drop_columns(["seconds"]) for path in (whole, out)
        )
        require(one.equals(other), "batch: another manifest came out")

    return Job("batch", command, whole_copies, same, work_s=8)


def serve(folder: Path, photos: Path, num: int, chance: random.Random) -> str:
    """Kill a server so often while four clients ask; every answer that came is the right one."""
    temporary = folder / "temporary"
    temporary.mkdir()
    content = next(iter(sorted(photos.iterdir()))).read_bytes()
    right: bytes | None = None
    answers = 0
    for _ in range(num):
        port = free_port()
        process = subprocess.Popen(
            [*PROGRAM, "serve", "--port", str(port), "--quiet"],
            env=os.environ | {"TMPDIR": str(temporary)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/healthz", process)
        require(len(list(temporary.iterdir())) == 1, f"serve: left {sorted(temporary.iterdir())}")
        got: list[bytes] = []
        stop = time.monotonic() + chance.uniform(0.3, 3)
        clients = [threading.Thread(target=ask, args=(url, content, got, process)) for _ in range(4)]
        for client in clients:
            client.start()
        time.sleep(max(0.0, stop - time.monotonic()))
        kill_all(process)
        for client in clients:
            client.join()
        right = right or (got[0] if got else None)
        require(all(one == right for one in got), "serve: an answer was another one")
        answers += len(got)
    require(right is not None, "serve: no answer came")
    with Image.open(io.BytesIO(right or b"")) as image:
        image.load()
    return f"serve: killed {num} times; {answers} answers came, all right and whole"


def ask(url: str, content: bytes, got: list[bytes], process: subprocess.Popen[str]) -> None:
    asked = urllib.request.Request(
        f"{url}/v1/colourise", content, {"Content-Type": "image/jpeg", "Accept": "image/png"}
    )
    while process.poll() is None:
        with contextlib.suppress(OSError, urllib.error.URLError, ConnectionError):
            with urllib.request.urlopen(asked, timeout=30) as answer:
                length = int(answer.headers["Content-Length"])
                body = answer.read()
            if len(body) == length:  # or the server died in the middle, which a client sees
                got.append(body)


def wait_for(url: str, process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            json.loads(answer.read())
            return
        time.sleep(0.05)
    raise LostError(f"serve: ended with {process.returncode} at its start")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


if __name__ == "__main__":
    main()
