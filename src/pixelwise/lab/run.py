"""All questions of the handout, in order, each answer kept as soon as it is there."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.linalg import LinAlgError  # type: ignore[attr-defined] # documented, not exported

from pixelwise.errors import ConfigError, DataError, Interrupted, OutputError, PixelwiseError
from pixelwise.files import plain_json, write_text
from pixelwise.lab.answer import Answer, Setting
from pixelwise.lab.commands import lab_command
from pixelwise.lab.notebook import NOTEBOOK, write_notebook
from pixelwise.lab.questions import QUESTIONS, Question
from pixelwise.lab.writeup import ANSWERS, WRITEUP, write_writeup
from pixelwise.processor import choose_device, choose_precision, processor_name
from pixelwise.progress import announce

_NOTEBOOK_S, _QUICK_NOTEBOOK_S, _WRITEUP_S = 200.0, 80.0, 5.0
_TRUST_S = 30.0  # of work that went as expected, put into the pace: the first seconds tell little


@dataclass(frozen=True, kw_only=True)
class LabResult:
    """What the lab has so far; the keys of `pixelwise lab --json`."""

    answers: dict[str, dict[str, Any]]
    """Question -> its values, of all that are answered."""
    not_answered: dict[str, str]
    """What was asked in vain -> why, and what to do about it; the notebook is asked like a question."""
    writeup: str
    """The PDF."""
    notebook: str | None
    """None where single questions were asked, or it could not be run to its end."""
    seconds: float
    """Of this call; answers that were there took none of them."""


def run_lab(setting: Setting, questions: Sequence[str] = ()) -> LabResult:
    """Answer questions, all if none are named, and leave answers.json, the writeup and the notebook.

    Answers that are there, of the same setting, data and version, are kept. Where single questions are asked
    there is no notebook, and the writeup has what is answered until then. A question that cannot be answered,
    for want of a data set or otherwise, is told in the result, and the rest is done. Precision "auto" is
    measured once, and is that of all that is trained, as long as there are answers.

    Raises:
        ConfigError: there is no such question, or no such device.
        Interrupted: Ctrl-C came; the answers so far are kept, and the same call goes on.
        OutputError: something cannot be written.
    """
    start_s = time.perf_counter()
    if unknown := [name for name in questions if name not in QUESTIONS]:
        raise ConfigError(f"needed questions among {', '.join(QUESTIONS)}, got {unknown[0]!r}")
    setting = _settled(setting)
    lab = _Lab(setting, [QUESTIONS[name] for name in QUESTIONS if name in questions or not questions])
    try:
        lab.answer_all(afterwards_s=_WRITEUP_S + (0 if questions else lab.notebook_s))
        lab.write_answers()
        lab.pace.begin(f"{WRITEUP}: the writeup", _WRITEUP_S)
        write_writeup(setting.out)
        has_notebook = not questions and lab.run_notebook()
    except (Interrupted, KeyboardInterrupt) as error:
        kept = f"{', '.join(lab.kept) or 'no answer yet'}"
        raise Interrupted(f"{setting.out} keeps {kept}; the same command goes on", setting.out) from error
    return LabResult(
        answers=lab.values(),
        not_answered=lab.not_answered,
        writeup=str(setting.out / WRITEUP),
        notebook=str(setting.out / NOTEBOOK) if has_notebook else None,
        seconds=time.perf_counter() - start_s,
    )


def _settled(setting: Setting) -> Setting:
    """The setting with one precision for all that is trained: that of what is answered, or measured."""
    if setting.precision != "auto":
        return setting
    others = setting.made_by()
    for path in sorted(_answers(setting.out).glob("??.json")):
        kept = _read(path)
        if kept and kept.made_by == others | {name: kept.made_by.get(name) for name in ("precision", "data")}:
            return replace(setting, precision=kept.made_by["precision"])
    precision, reason = choose_precision("auto", choose_device(setting.device))
    announce(f"networks are trained in {reason}")
    return replace(setting, precision=precision)


def _answers(out: Path) -> Path:
    """The folder of the answers so far."""
    return out / "answers"


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """An answer on disk."""

    values: dict[str, Any]
    figures: list[str]
    seconds: float
    made_by: dict[str, Any]
    """What decides it; other answers are made anew."""
    machine: dict[str, Any]
    """Where it was made."""
    versions: dict[str, str]
    """Of the software that made it."""


def _read(path: Path) -> _Kept | None:
    """An answer on disk; none where there is none, or it is damaged."""
    try:
        return _Kept(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


class _Lab:
    """The questions that are asked, the answers that are there, and how long the rest takes."""

    def __init__(self, setting: Setting, asked: Sequence[Question]) -> None:
        self.setting, self.asked = setting, asked
        self.made_by: dict[str, dict[str, Any]] = {"": setting.made_by()}
        self.unreachable: dict[str, str] = {}
        self._look_at_data()
        found = {name: self._find(question) for name, question in QUESTIONS.items()}
        self.kept = {name: one for name, one in found.items() if one}
        self.not_answered: dict[str, str] = {}
        self.notebook_s = _QUICK_NOTEBOOK_S if setting.quick else _NOTEBOOK_S
        self.pace = _Pace()

    def _look_at_data(self) -> None:
        """Sum up the data sets that are asked about, each tried once: to find no network may take minutes."""
        for source in dict.fromkeys(question.needs for question in self.asked if question.needs):
            try:
                self.made_by[source] = self.setting.made_by(source)
            except DataError as error:
                self.unreachable[source] = str(error)

    def answer_all(self, afterwards_s: float) -> None:
        """Answer what is asked and not there yet; `afterwards_s` is what else there is to do."""
        todo = [question for question in self.asked if question.name not in self.kept]
        self.pace.left_s = afterwards_s + sum(question.expect_s(self.setting.quick) for question in todo)
        for question in todo:
            self.pace.begin(f"{question.name}: {question.title}", question.expect_s(self.setting.quick))
            if question.needs in self.unreachable:
                self.not_answered[question.name] = self.unreachable[question.needs]
                continue
            try:
                self._answer(question)
            except (Interrupted, OutputError):
                raise
            except (PixelwiseError, LinAlgError, torch.OutOfMemoryError) as error:
                self.not_answered[question.name] = " ".join(str(error).split())

    def run_notebook(self) -> bool:
        """Leave the notebook, and say whether it ran to its end; if not, `not_answered` says why."""
        self.pace.begin(f"{NOTEBOOK}: the notebook, run from top to bottom", self.notebook_s)
        try:
            write_notebook(self.setting)
        except OutputError as error:
            self.not_answered[NOTEBOOK] = str(error)
        return NOTEBOOK not in self.not_answered

    def _answer(self, question: Question) -> None:
        """Make an answer and keep it; what another setting left there goes first, as its figures do."""
        self._path(question.name).unlink(missing_ok=True)
        start_s = time.perf_counter()
        answer: Answer = question.ask(self.setting)
        kept = _Kept(
            values=answer.values,
            figures=list(answer.figures),
            seconds=time.perf_counter() - start_s,
            made_by=self.made_by[question.needs],
            machine=_machine(),
            versions=_versions(),
        )
        write_text(self._path(question.name), plain_json(asdict(kept), indent=1) + "\n")
        found = self._find(question)
        if found is None:
            raise OutputError(f"{question.name} names a figure that it did not draw: {answer.figures}")
        self.kept[question.name] = found

    def _find(self, question: Question) -> _Kept | None:
        """An answer that was kept, if it is whole, its figures are there, and it is of this setting and data.

        Where the data are not asked about, or are not to be had, they are taken to be the same.
        """
        kept = _read(self._path(question.name))
        if kept is None:
            return None
        figures = (self.setting.out / "figures" / f"{figure}.png" for figure in kept.figures)
        whole = all(path.is_file() for path in figures)
        unknown = {"data": kept.made_by.get("data")}
        made_by = self.made_by.get(question.needs, self.made_by[""] | unknown)
        return kept if whole and kept.made_by == made_by else None

    def _path(self, name: str) -> Path:
        return _answers(self.setting.out) / f"{name}.json"

    def values(self) -> dict[str, dict[str, Any]]:
        """Question -> its values."""
        return {name: self.kept[name].values for name in QUESTIONS if name in self.kept}

    def write_answers(self) -> None:
        """Write answers.json: each question's values and, under `about`, how they were made."""
        values = self.values()
        about = {
            "quick": self.setting.quick,
            "seed": self.setting.seed,
            "precision": self.setting.precision,
            "command": lab_command(self.setting),
            "questions": {
                name: asdict(question)
                | {"by_hand": values.get(name, {}).get("command", question.by_hand).replace("\n", " && ")}
                for name, question in QUESTIONS.items()
            },
            "not_answered": self._told_before() | self.not_answered,
            "seconds": {name: one.seconds for name, one in self.kept.items()},
            "made_on": {
                name: {"machine": one.machine, "versions": one.versions} for name, one in self.kept.items()
            },
            "machine": _machine(),
            "versions": _versions(),
        }
        write_text(self.setting.out / ANSWERS, plain_json(values | {"about": about}, indent=1) + "\n")

    def _told_before(self) -> dict[str, str]:
        """Why questions that are not asked now could not be answered when they were."""
        try:
            told = json.loads((self.setting.out / ANSWERS).read_text(encoding="utf-8"))["about"][
                "not_answered"
            ]
            asked = {question.name for question in self.asked}
            return {name: str(why) for name, why in told.items() if name not in asked | self.kept.keys()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}


def _machine() -> dict[str, Any]:
    return {"processor": processor_name(), "threads": torch.get_num_threads()}


def _versions() -> dict[str, str]:
    names = ("pixelwise", "torch", "torchvision", "numpy", "typst")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


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
