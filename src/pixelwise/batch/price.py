"""What a batch will cost: a small one is run on this machine, and timed.

The model: what happens once, what one process does for every input (planning, the manifest), and photos
divided among workers. A worker elsewhere is taken to be as fast as one here while all of this machine's
workers are busy. Disks and networks that many machines share are not in it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from pixelwise.batch.cluster import processors
from pixelwise.batch.job import Do, Job
from pixelwise.batch.journal import Done, Journal, Record
from pixelwise.batch.manifest import write_manifest
from pixelwise.batch.names import NAME_BYTES
from pixelwise.batch.plan import write_plan
from pixelwise.batch.run import chunk_size, run_batch
from pixelwise.batch.sources import items
from pixelwise.batch.work import Report
from pixelwise.cost import Cost, Counting, Part, Plan, timed
from pixelwise.errors import ConfigError
from pixelwise.photos.find import InputPhoto
from pixelwise.photos.outputs import OutputPaths

_WORK_S = 8.0  # of the small batch, on each worker
_PAPERS = 2048  # inputs with which planning and the manifest are timed
_SIDES = (3, 4)  # of the photos that are made up, as of most cameras


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """What a small batch told."""

    flops: int
    """Of a photo, in networks."""
    start_s: float
    """Until workers were at work: Ray, the processes, the network loaded in each."""
    photo_s: float
    """Of a worker, for a photo, while all are busy; reading, writing and recording it among that."""
    finish_s: float
    """From the last photo on."""
    own_bytes: int
    """Of the process that hands out the work, and of Ray beside it, on each machine."""
    worker_bytes: int
    """Of a worker."""
    plan_s: float
    """For each input, one after another."""
    manifest_s: float
    """The same."""
    num_here: int
    """Workers on this machine."""

    def cost(self, photos: int, workers: int, started_s: float) -> Cost:
        """Of a batch of so many photos, by so many workers."""
        machines = -(-workers // self.num_here)
        chunk = min(chunk_size(photos, workers), photos)
        here = f"timed on {self.num_here} workers here"
        return Cost(
            num_learned=0,
            flops=photos * self.flops,
            seconds_by=(
                Part("start", started_s + self.start_s, "until workers were at work: timed"),
                Part("planning", photos * self.plan_s, f"in one process, {_PAPERS} inputs timed"),
                Part("photos", photos * self.photo_s / workers, f"{self.photo_s:.3f} s each, {here}"),
                Part("the last", chunk * self.photo_s / 2, f"workers wait for others, {chunk} at a time"),
                Part("the manifest", photos * self.manifest_s, f"in one process, {_PAPERS} inputs timed"),
                Part("finish", self.finish_s, "timed"),
            ),
            bytes_by=(
                Part("workers", workers * self.worker_bytes, f"the most that one held, {here}"),
                Part(
                    "around them", machines * self.own_bytes, f"Ray and this program, on {machines} machines"
                ),
                Part("names", photos * NAME_BYTES, "one for each output, while planning"),
            ),
        )


def plan_batch(
    job: Job, photos: int, workers: int, *, megapixels: float = 12.0, started_s: float = 0.0
) -> Plan:
    """What a batch of so many photos will cost, on so many workers.

    The photos it is tried on are made up: grey JPEGs of so many megapixels, with as much detail as film has
    grain. `started_s` are the seconds that the command has taken until now.

    Raises:
        ConfigError: a number is out of range, or an option of the job is.
        CheckpointError: the model cannot be read.
    """
    if photos < 1 or workers < 1 or not 0 < megapixels <= job.max_megapixels:
        raise ConfigError(
            "needed photos and workers to be 1 or more, and megapixels above 0 and at most "
            f"{job.max_megapixels:g}, got {photos}, {workers} and {megapixels:g}"
        )
    start_s = time.perf_counter()
    rehearsed = rehearse(job, workers, megapixels)
    return Plan(
        policies={f"{workers} workers": rehearsed.cost(photos, workers, started_s)},
        doubled={},
        planning_s=time.perf_counter() - start_s,
    )


def rehearse(job: Job, workers: int, megapixels: float) -> Rehearsed:
    """Run a small batch on so many workers, or as many of them as this machine has room for, and time it.

    Raises:
        CheckpointError: the model cannot be read.
        OutputError: there is no room for it in the system's temporary folder.
    """
    job, do = job.opened()
    num_workers = min(workers, processors(job))
    with tempfile.TemporaryDirectory(prefix="pixelwise-plan-") as name:
        folder = Path(name)
        photo = folder / "photo.jpg"
        make_photo(photo, megapixels, seed=0)
        flops, once_s = _try_one(do, photo, folder / "once")
        num = max(round(_WORK_S / once_s), 8) * num_workers
        (folder / "list.txt").write_text(f"{photo}\n" * num)
        watch = _Watch()
        run_s, _ = timed(
            lambda: run_batch(
                job, [str(folder / "list.txt")], folder / "out", workers=num_workers, tell=watch.note
            )
        )
        plan_s, manifest_s = _papers_s(job, folder)
    photo_s = num_workers * watch.photo_s
    return Rehearsed(
        flops=flops,
        start_s=max(watch.arrived_s[0] - watch.nums[0] * photo_s / num_workers, 0.0),
        photo_s=photo_s,
        finish_s=run_s - watch.arrived_s[-1],
        own_bytes=watch.own_bytes,
        worker_bytes=watch.worker_bytes,
        plan_s=plan_s,
        manifest_s=manifest_s,
        num_here=num_workers,
    )


def make_photo(path: Path, megapixels: float, seed: int) -> None:
    """Write a grey JPEG that has edges, slopes and grain, as a photo on film has."""
    rng = np.random.default_rng(seed)
    unit = (megapixels * 1e6 / (_SIDES[0] * _SIDES[1])) ** 0.5
    height, width = (max(1, round(side * unit)) for side in _SIDES)
    coarse = rng.integers(30, 225, (_SIDES[0] * 3, _SIDES[1] * 3)).astype(np.uint8)
    slopes = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    grain = rng.normal(0, 6, (height, width)).astype(np.float32)
    grey = np.clip(np.asarray(slopes, np.float32) + grain, 0, 255).astype(np.uint8)
    Image.fromarray(grey).save(path, quality=90)


class _Watch:
    """Notes when reports come, and how much memory is held then."""

    def __init__(self) -> None:
        self._start_s = time.perf_counter()
        self.arrived_s: list[float] = []
        self.nums: list[int] = []
        self.own_bytes = self.worker_bytes = 0

    def note(self, report: Report) -> None:
        """Note a report."""
        self.arrived_s.append(time.perf_counter() - self._start_s)
        self.nums.append(report.written + len(report.failures))
        own, workers = family_bytes(os.getpid())
        self.own_bytes = max(self.own_bytes, own)
        self.worker_bytes = max(self.worker_bytes, max(workers, default=0))

    @property
    def photo_s(self) -> float:
        """Seconds from one photo's report to the next one's: all after the first report."""
        return (self.arrived_s[-1] - self.arrived_s[0]) / max(1, sum(self.nums[1:]))


def _try_one(do: Do, photo: Path, out: Path) -> tuple[int, float]:
    """FLOPs of a photo, and seconds, without a worker around it."""
    found = InputPhoto(photo)
    with Counting() as counted:
        do(found, OutputPaths(out, [], single_file=False))
    once_s, _ = timed(lambda: do(found, OutputPaths(out, [], single_file=False)))
    return counted.flops, once_s


def _papers_s(job: Job, folder: Path) -> tuple[float, float]:
    """Seconds that planning and the manifest take for each input."""
    files = folder / "many.txt"
    files.write_text("".join(f"{folder}/archive/photo-{index:09}.jpg\n" for index in range(_PAPERS)))
    out = folder / "papers"
    plan_s, plan = timed(lambda: write_plan(out, job, [str(files)], "", items([str(files)], out)))
    with contextlib.closing(Journal(out, "papers", "0")) as journal:
        for index in range(_PAPERS):
            journal.begin(index)
            journal.add(Record(index=index, error="not a photo"))
    manifest_s, _ = timed(lambda: write_manifest(plan, Done(plan)))
    return plan_s / _PAPERS, manifest_s / _PAPERS


def family_bytes(first: int) -> tuple[int, list[int]]:
    """Memory of a process and of those it started, without their workers; and of each of these.

    What several of them share counts in parts.
    """
    own, workers = 0, []
    for process in family(first):
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            num_bytes = process.memory_full_info().pss
            if is_worker(process):
                workers.append(num_bytes)
            else:
                own += num_bytes
    return own, workers


def family(first: int) -> list[psutil.Process]:
    """A process, those it started, those that these started, and so on; none if it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(first)
        return [process, *process.children(recursive=True)]
    return []


def is_worker(process: psutil.Process) -> bool:
    """Whether it is one of Ray's in which our work is done.

    Raises:
        psutil.Error: it has ended.
    """
    return any("_RayWorker" in part for part in process.cmdline())
