"""The verb that answers the handout: lab."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, DataDir, Outcome, say
from pixelwise.config import Precision

if TYPE_CHECKING:  # its module imports torch
    from pixelwise.lab.run import LabResult


def lab(
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])] = Path("out/lab"),
    quick: Annotated[bool, Parameter(negative="")] = False,
    precision: Precision = "auto",
    question: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    data_dir: DataDir = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Answer every question of the assignment by measurement: a writeup, a notebook, answers.json.

    It says how long is left. Each answer is kept as soon as it is there: after Ctrl-C the same
    command goes on. Where a data set is missing, it says so, and answers the rest.

    Parameters
    ----------
    out
        The folder for a2-writeup.pdf, a2-cnn.ipynb, answers.json, figures and runs.
    quick
        All of it small: fewer epochs, seeds and pictures.
    precision
        fp32, bf16, or auto: bf16 where this processor computes it faster, measured once; what is
        compared is trained in the same.
    question
        Only these, such as A4; there is no notebook then, and the writeup has what is answered so far.
    data_dir
        Where CIFAR-10 and the flowers lie or are downloaded to; if not given, where PIXELWISE_DATA says, or
        else in the user's cache.
    """
    from pixelwise.lab.answer import Setting
    from pixelwise.lab.questions import QUESTIONS
    from pixelwise.lab.run import run_lab

    setting = Setting(
        out=out,
        quick=quick,
        data_dir=data_dir,
        seed=common.seed,
        device=common.device,
        precision=precision,
    )
    result = run_lab(setting, [name.upper() for name in question])
    for name, why in result.not_answered.items():
        say(f"{name} is not {'answered' if name in QUESTIONS else 'made'}: {why}", always=True)
    return Outcome(values=vars(result), message=_told(result), num_failed=len(result.not_answered))


def _told(result: LabResult) -> str:
    """What there is, for people."""
    num = len(result.answers)
    lines = [f"{result.writeup}  the writeup, with {num} question{'s' if num != 1 else ''} answered"]
    if result.notebook:
        lines.append(f"{result.notebook}  the notebook, run from top to bottom")
    return f"made in {result.seconds:.0f} s:\n" + "\n".join(lines)
