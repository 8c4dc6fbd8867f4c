"""The work of a batch: one photo after another, each output made apart, then handed over to be recorded."""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pixelwise.batch.job import Job, Process
from pixelwise.batch.sources import Item, extract
from pixelwise.batch.state import SCRATCH, Result
from pixelwise.errors import OutputError, PhotoError, PixelwiseError
from pixelwise.files import checksum, reason
from pixelwise.photos.find import Failure, InputPhoto
from pixelwise.photos.outputs import OutputPaths, PhotoResult

ATTEMPTS, STAGING = f"{SCRATCH}/attempts", f"{SCRATCH}/staging"
_MOST_ATTEMPTS = 3  # at an input whose worker died
_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)
_LEAST_FREE_BYTES = 2**27  # with less on the disk, writing failed for want of it, whatever a library says


class Worker:
    """Makes outputs of a batch, each as STAGING/NUMBER, in a process of its own; workers share the folder."""

    def __init__(self, out: Path, job: Job) -> None:
        self.out = out
        self.job = job
        self._process: Process | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Make one output, as Ray Data calls it; return its result as JSON, or why no worker can go on."""
        (index,), (item,) = batch["index"], batch["item"]
        try:
            result = asdict(self.make(int(index), Item(**json.loads(item))))
        except PixelwiseError as error:
            result = {"stop": str(error)}
        return {"result": [json.dumps(result)]}

    def make(self, index: int, item: Item) -> Result:
        """Make the output of one input, or set it aside after three workers died over it.

        CheckpointError where the model is not as it was planned; OutputError where no photo is to blame, and
        the batch cannot go on.
        """
        if self._process is None:
            _, self._process = self.job.open(threads=1)
        attempts = self.out / ATTEMPTS / str(index)
        try:
            with attempts.open("ab") as file:
                file.write(b".")  # all that is left if this process dies
            num = attempts.stat().st_size
            if num > _MOST_ATTEMPTS:
                error = f"{item.name}: {num - 1} workers died over it: too large for memory, or damaged"
                result = Result(index=index, error=error, attempts=num)
            else:
                with tempfile.TemporaryDirectory(dir=self.out / STAGING) as folder:
                    result = self._try(index, item, self._process, Path(folder), num)
            attempts.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write into {self.out}: {reason(error)}") from error
        return result

    def _try(self, index: int, item: Item, process: Process, folder: Path, attempts: int) -> Result:
        start_s = time.perf_counter()
        try:
            done = make_output(item, process, folder)
            result = Result(
                index=index,
                output=item.target + done.path.suffix,
                checksum=checksum(done.path),
                num_bytes=done.path.stat().st_size,
                megapixels=done.megapixels,
                remarks=tuple(
                    remark.replace(str(_extracted(item, folder)), item.name) for remark in done.remarks
                ),
            )
            done.path.replace(self.out / STAGING / str(index))
        except Exception as error:  # whatever one photo does to a library, the others are done
            message = Failure.of(Path(item.name), error).error.replace(f"{folder}/output", str(self.out))
            if is_of_the_machine(error, folder):
                raise OutputError(f"{message}; make room, then go on") from error
            result = Result(index=index, error=message)
        return replace(result, seconds=time.perf_counter() - start_s, attempts=attempts)


def make_output(item: Item, process: Process, folder: Path) -> PhotoResult:
    """Make the output of one input in a folder of its own, or raise a PhotoError or OutputError."""
    if item.refused:
        raise PhotoError(item.refused)
    targets = OutputPaths(folder / "output", [], single_file=False)
    if item.position < 0:
        return process(InputPhoto(Path(item.path), Path()), targets)
    photo = _extracted(item, folder)
    try:
        extract(item, photo)
        return process(InputPhoto(photo, Path()), targets)
    except PixelwiseError as error:
        raise type(error)(str(error).replace(str(photo), item.name)) from error


def _extracted(item: Item, folder: Path) -> Path:
    """Return where a photo of an archive lies while it is read."""
    return folder / f"photo{Path(item.name).suffix}"


def is_of_the_machine(error: BaseException, folder: Path) -> bool:
    """Return whether a failure to write below a folder is the disk's or the system's, so will come again."""
    causes = (error, error.__cause__)
    if any(isinstance(cause, OSError) and cause.errno in _OF_THE_MACHINE for cause in causes):
        return True
    return isinstance(error, OutputError) and shutil.disk_usage(folder).free < _LEAST_FREE_BYTES
