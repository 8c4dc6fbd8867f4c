"""The verb that answers the assignment: lab."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, DataDir, Outcome, say
from pixelwise.network.config import Precision


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

    Each answer is kept as soon as it is there: after Ctrl-C the same command goes on. If a data set is
    missing, the questions that need it are named, and the rest is answered.

    Parameters
    ----------
    out
        The folder for a2-writeup.pdf, a2-cnn.ipynb, answers.json, figures and runs.
    quick
        Fewer epochs, seeds and pictures.
    precision
        fp32, bf16, or auto: bf16 if this processor computes it faster, measured once; all networks are
        trained in the same.
    question
        Only these, such as A4; there is no notebook then, and the writeup has all answers so far.
    """
    from pixelwise.lab.answer import Setting
    from pixelwise.lab.run import QUESTIONS, run_lab

    setting = Setting(
        out=out, quick=quick, data_dir=data_dir, seed=common.seed, device=common.device, precision=precision
    )
    result = run_lab(setting, [name.upper() for name in question])
    for name, why in result.not_answered.items():
        say(f"{name} is not {'answered' if name in QUESTIONS else 'made'}: {why}", always=True)
    lines = [
        f"made in {result.seconds:.0f} s:",
        f"{result.writeup}  the writeup, questions answered: {len(result.answers)}",
    ]
    if result.notebook:
        lines.append(f"{result.notebook}  the notebook, run from top to bottom")
    return Outcome(values=vars(result), message="\n".join(lines), num_failed=len(result.not_answered))
