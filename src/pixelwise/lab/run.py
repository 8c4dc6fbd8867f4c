"""All questions of the handout, in order, each answer kept as soon as it is there."""

from __future__ import annotations

import json
import platform
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from pixelwise import __version__
from pixelwise.errors import ConfigError, DownloadError, Interrupted, OutputError, PixelwiseError
from pixelwise.files import plain_json, write_text
from pixelwise.lab.answer import Answer, Setting
from pixelwise.lab.notebook import NOTEBOOK, write_notebook
from pixelwise.lab.questions import QUESTIONS, Question
from pixelwise.lab.writeup import ANSWERS, WRITEUP, write_writeup
from pixelwise.processor import processor_name
from pixelwise.progress import announce

_NOTEBOOK_S, _QUICK_NOTEBOOK_S, _WRITEUP_S = 200.0, 80.0, 5.0
_TRUST_S = 30.0  # of work that went as expected, put into the pace: the first seconds tell little


@dataclass(frozen=True, kw_only=True)
class LabResult:
    """What the lab has so far; the keys of `pixelwise lab --json`."""

    answers: dict[str, dict[str, Any]]
    """Question -> its values, of all that are answered."""
    not_answered: dict[str, str]
    """Question -> why, and what to do about it."""
    writeup: str
    """The PDF."""
    notebook: str | None
    """None where single questions were asked."""
    seconds: float
    """Of this call; answers that were there took none of them."""


def run_lab(setting: Setting, questions: Sequence[str] = ()) -> LabResult:
    """Answer questions, all if none are named, and leave answers.json, the writeup and the notebook.

    Answers that are there, of the same setting and version, are kept. Where single questions are asked there
    is no notebook, and the writeup has what is answered until then. A question that cannot be answered, for
    want of a data set or otherwise, is told in the result, and the rest is done.

    Raises:
        ConfigError: there is no such question.
        Interrupted: Ctrl-C came; the answers so far are kept, and the same call goes on.
        OutputError: something cannot be written.
    """
    start_s = time.perf_counter()
    if unknown := [name for name in questions if name not in QUESTIONS]:
        raise ConfigError(f"needed questions among {', '.join(QUESTIONS)}, got {unknown[0]!r}")
    lab = _Lab(setting, [QUESTIONS[name] for name in QUESTIONS if name in questions or not questions])
    try:
        lab.answer_all(afterwards_s=_WRITEUP_S + (0 if questions else lab.notebook_s))
        lab.write_answers()
        if not questions:
            lab.pace.begin("a2-cnn.ipynb: the notebook, run from top to bottom", lab.notebook_s)
            write_notebook(setting)
        lab.pace.begin("a2-writeup.pdf: the writeup", _WRITEUP_S)
        write_writeup(setting.out)
    except (Interrupted, KeyboardInterrupt) as error:
        kept = f"{', '.join(lab.kept) or 'no answer yet'}"
        raise Interrupted(f"{setting.out} keeps {kept}; the same command goes on", setting.out) from error
    return LabResult(
        answers=lab.values(),
        not_answered=lab.not_answered,
        writeup=str(setting.out / WRITEUP),
        notebook=None if questions else str(setting.out / NOTEBOOK),
        seconds=time.perf_counter() - start_s,
    )


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """An answer on disk."""

    values: dict[str, Any]
    figures: list[str]
    seconds: float
    made_by: dict[str, Any]
    """What decides it; other answers are made anew."""


class _Lab:
    """The questions that are asked, the answers that are there, and how long the rest takes."""

    def __init__(self, setting: Setting, asked: Sequence[Question]) -> None:
        self.setting, self.asked = setting, asked
        found = {name: self._find(name) for name in QUESTIONS}
        self.kept = {name: one for name, one in found.items() if one}
        self.not_answered: dict[str, str] = {}
        self.notebook_s = _QUICK_NOTEBOOK_S if setting.quick else _NOTEBOOK_S
        self.pace = _Pace()

    def answer_all(self, afterwards_s: float) -> None:
        """Answer what is asked and not there yet; `afterwards_s` is what else there is to do."""
        todo = [question for question in self.asked if question.name not in self.kept]
        self.pace.left_s = afterwards_s + sum(question.expect_s(self.setting.quick) for question in todo)
        unreachable: dict[str, str] = {}  # a data set is tried once: to find no network may take minutes
        for question in todo:
            self.pace.begin(f"{question.name}: {question.title}", question.expect_s(self.setting.quick))
            if question.needs in unreachable:
                self.not_answered[question.name] = unreachable[question.needs]
                continue
            try:
                self._answer(question)
            except (Interrupted, OutputError):
                raise
            except PixelwiseError as error:
                self.not_answered[question.name] = str(error)
                if isinstance(error, DownloadError) and question.needs:
                    unreachable[question.needs] = str(error)

    def _answer(self, question: Question) -> None:
        """Make an answer and keep it; what another setting left there goes first, as its figures do."""
        self._path(question.name).unlink(missing_ok=True)
        start_s = time.perf_counter()
        answer: Answer = question.ask(self.setting)
        kept = _Kept(
            values=answer.values,
            figures=list(answer.figures),
            seconds=time.perf_counter() - start_s,
            made_by=self._made_by(),
        )
        write_text(self._path(question.name), plain_json(asdict(kept), indent=1) + "\n")
        found = self._find(question.name)
        if found is None:
            raise OutputError(f"{question.name} names a figure that it did not draw: {answer.figures}")
        self.kept[question.name] = found

    def _find(self, name: str) -> _Kept | None:
        """An answer that was kept, if it is whole, its figures are there, and it is of this setting."""
        try:
            kept = _Kept(**json.loads(self._path(name).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        figures = (self.setting.out / "figures" / f"{figure}.png" for figure in kept.figures)
        whole = all(path.is_file() for path in figures)
        return kept if whole and kept.made_by == self._made_by() else None

    def _path(self, name: str) -> Path:
        return self.setting.out / "answers" / f"{name}.json"

    def _made_by(self) -> dict[str, Any]:
        asked = {name: getattr(self.setting, name) for name in ("quick", "seed", "device")}
        return asked | {"version": __version__}

    def values(self) -> dict[str, dict[str, Any]]:
        """Question -> its values."""
        return {name: self.kept[name].values for name in QUESTIONS if name in self.kept}

    def write_answers(self) -> None:
        """Write answers.json: each question's values and, under `about`, how they were made."""
        about = {
            "quick": self.setting.quick,
            "seed": self.setting.seed,
            "command": _command(self.setting),
            "questions": {name: asdict(question) for name, question in QUESTIONS.items()},
            "not_answered": self.not_answered,
            "seconds": {name: one.seconds for name, one in self.kept.items()},
            "machine": {"processor": processor_name(), "threads": torch.get_num_threads()},
            "versions": {"python": platform.python_version()}
            | {name: version(name) for name in ("pixelwise", "torch", "torchvision", "numpy", "typst")},
        }
        write_text(self.setting.out / ANSWERS, plain_json(self.values() | {"about": about}, indent=1) + "\n")


class _Pace:
    """How long the rest takes: what is expected of it, at the pace of what is done."""

    def __init__(self) -> None:
        self.left_s = self._expected_s = self._under_way_s = 0.0
        self._start_s = time.monotonic()

    def begin(self, what: str, expect_s: float) -> None:
        """Tell that another piece begins, and the time left for all."""
        self._expected_s += self._under_way_s
        spent_s = time.monotonic() - self._start_s
        left_s = self.left_s * (spent_s + _TRUST_S) / (self._expected_s + _TRUST_S)
        left = f"{left_s / 60:.0f} min" if left_s >= 90 else f"{left_s:.0f} s"
        announce(f"{what} (about {left} left for all)")
        self._under_way_s = expect_s
        self.left_s -= expect_s


def _command(setting: Setting) -> str:
    """What was typed, or would do the same."""
    words = ["pixelwise", "lab", "-o", str(setting.out)]
    words += ["--quick"] if setting.quick else []
    words += ["--seed", str(setting.seed)] if setting.seed else []
    words += ["--device", setting.device] if setting.device != "auto" else []
    words += ["--data-dir", str(setting.data_dir)] if setting.data_dir else []
    return shlex.join(words)
