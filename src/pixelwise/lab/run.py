"""All questions of the handout, in order; each answer is kept as soon as it is there."""

from __future__ import annotations

import json
import platform
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.linalg import LinAlgError  # type: ignore[attr-defined] # documented, not exported

from pixelwise.errors import ConfigError, DataError, Interrupted, OutputError, PixelwiseError
from pixelwise.files import to_json, write_text
from pixelwise.lab.answer import PHOTOS, PICTURES, Answer, Setting
from pixelwise.lab.notebook import NOTEBOOK, write_notebook
from pixelwise.lab.writeup import ANSWERS, WRITEUP, write_writeup
from pixelwise.network.device import choose_device, choose_precision, processor_name
from pixelwise.progress import announce


@dataclass(frozen=True)
class Question:
    """A question, and where its answer is made."""

    title: str
    module: str
    """File of this package with a function answer_NAME; imported only when the question is asked."""
    source: str = ""
    """The data set that it needs."""


QUESTIONS = {
    "A1": Question("The CNN, from a convolution of our own", "networks"),
    "A2": Question("Training it, and what its pictures look like", "colouring", PICTURES),
    "A3": Question("Weights, outputs and connections", "counting"),
    "A4": Question("Every pixel becomes a x + b", "affine", PICTURES),
    "B1": Question("The U-Net", "networks"),
    "B2": Question("Training the U-Net", "colouring", PICTURES),
    "B3": Question("Does it beat the CNN, and why", "colouring", PICTURES),
    "B4": Question("Batch sizes", "colouring", PICTURES),
    "C1": Question("Learn only the last layer", "finetuning"),
    "C2": Question("Freeze, replace the head, train", "finetuning", PHOTOS),
    "C3": Question("What it cuts out", "finetuning", PHOTOS),
    "C4": Question("Memory and computation over n layers", "costs"),
    "C5": Question("Twice the height and the width", "costs"),
}
"""By name, in the handout's order."""


@dataclass(frozen=True, kw_only=True)
class LabResult:
    """The answers so far; its fields are the keys of `pixelwise lab --json`."""

    answers: dict[str, dict[str, Any]]
    """Question -> its values."""
    not_answered: dict[str, str]
    """Question, or the notebook -> the reason, and what to do about it."""
    writeup: str
    """The PDF."""
    notebook: str | None
    """None where single questions were asked, or it failed."""
    seconds: float
    """Duration of this call."""


@dataclass(frozen=True)
class _Kept:
    """An answer on disk."""

    values: dict[str, Any]
    figures: list[str]
    seconds: float
    made_by: dict[str, Any]


def run_lab(setting: Setting, questions: Sequence[str] = ()) -> LabResult:
    """Answer questions, all if none are named, and write answers.json, the writeup and the notebook.

    Answers of the same setting, data and version are reused; for single questions there is no notebook. A
    question that fails, or whose data set is missing, is named in the result; the rest is done.

    Raises:
        ConfigError: there is no such question, or no such device.
        Interrupted: Ctrl-C came; the answers so far are kept, and the same call resumes.
        OutputError: something cannot be written.
    """
    start_s = time.perf_counter()
    if unknown := [name for name in questions if name not in QUESTIONS]:
        raise ConfigError(f"needed questions among {', '.join(QUESTIONS)}, got {unknown[0]!r}")
    asked = [name for name in QUESTIONS if name in questions or not questions]
    setting = _with_one_precision(setting)
    missing = _load_data(setting, asked)
    kept = {name: found for name in QUESTIONS if (found := _find(setting, name))}
    reasons: dict[str, str] = {}
    try:
        reasons |= _answer_all(setting, asked, kept, missing)
        _write_answers(setting, kept, reasons)
        announce(f"{WRITEUP}: the writeup")
        write_writeup(setting.out)
        if not questions:
            announce(f"{NOTEBOOK}: the notebook, run from top to bottom")
            try:
                write_notebook(setting)
            except OutputError as error:
                reasons[NOTEBOOK] = str(error)
    except (Interrupted, KeyboardInterrupt) as error:
        have = ", ".join(name for name in QUESTIONS if name in kept) or "no answer yet"
        raise Interrupted(f"{setting.out} keeps {have}; the same command goes on", setting.out) from error
    return LabResult(
        answers=_values(kept),
        not_answered=reasons,
        writeup=str(setting.out / WRITEUP),
        notebook=str(setting.out / NOTEBOOK) if not questions and NOTEBOOK not in reasons else None,
        seconds=time.perf_counter() - start_s,
    )


def _answer_all(
    setting: Setting, asked: Sequence[str], kept: dict[str, _Kept], missing: dict[str, str]
) -> dict[str, str]:
    """Add the answers that are not there yet to `kept`; return why questions could not be answered."""
    reasons: dict[str, str] = {}
    for name in asked:
        question = QUESTIONS[name]
        if name in kept:
            continue
        if question.source in missing:
            reasons[name] = missing[question.source]
            continue
        announce(f"{name}: {question.title} ({asked.index(name) + 1} of {len(asked)})")
        try:
            kept[name] = _answer(setting, name)
        except (Interrupted, OutputError):
            raise
        except (PixelwiseError, LinAlgError, torch.OutOfMemoryError) as error:
            reasons[name] = " ".join(str(error).split())
    return reasons


def _answer_path(setting: Setting, name: str) -> Path:
    return setting.out / "answers" / f"{name}.json"


def _read(path: Path) -> _Kept | None:
    """Return an answer on disk; None if it is missing or damaged."""
    try:
        return _Kept(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _with_one_precision(setting: Setting) -> Setting:
    """Replace precision "auto" by that of the answers in the folder, or else by the faster one, measured."""
    if setting.precision != "auto":
        return setting
    for name in QUESTIONS:
        if kept := _read(_answer_path(setting, name)):
            return replace(setting, precision=kept.made_by["precision"])
    precision, reason = choose_precision("auto", choose_device(setting.device))
    announce(f"networks are trained in {reason}")
    return replace(setting, precision=precision)


def _load_data(setting: Setting, asked: Sequence[str]) -> dict[str, str]:
    """Try each data set once, since a failed download may take minutes; return why some are missing."""
    missing = {}
    for source in dict.fromkeys(QUESTIONS[name].source for name in asked if QUESTIONS[name].source):
        try:
            setting.made_by(source)
        except DataError as error:
            missing[source] = str(error)
    return missing


def _find(setting: Setting, name: str) -> _Kept | None:
    """Return a kept answer, if it and its figures are whole and it was made in the same setting.

    Data that are missing, or that no question of this call needs, are taken to be the same.
    """
    kept = _read(_answer_path(setting, name))
    if kept is None or not all((setting.out / "figures" / f"{one}.png").is_file() for one in kept.figures):
        return None
    source = QUESTIONS[name].source
    made_by = setting.made_by(source if source in setting.digests else "")
    if source and source not in setting.digests:
        made_by["data"] = kept.made_by.get("data")
    return kept if kept.made_by == made_by else None


def _answer(setting: Setting, name: str) -> _Kept:
    """Answer a question and write its answer."""
    start_s = time.perf_counter()
    module = import_module(f"pixelwise.lab.{QUESTIONS[name].module}")
    answer: Answer = getattr(module, f"answer_{name.lower()}")(setting)
    made_by = setting.made_by(QUESTIONS[name].source)
    kept = _Kept(answer.values, list(answer.figures), time.perf_counter() - start_s, made_by)
    path = _answer_path(setting, name)
    write_text(path, to_json(asdict(kept), indent=1) + "\n")
    return _read(path) or kept  # NaN is null from here on


def _values(kept: dict[str, _Kept]) -> dict[str, dict[str, Any]]:
    return {name: kept[name].values for name in QUESTIONS if name in kept}


def _write_answers(setting: Setting, kept: dict[str, _Kept], reasons: dict[str, str]) -> None:
    """Write answers.json: the values of each question and, under `about`, how they were made."""
    names = ("pixelwise", "torch", "torchvision", "numpy", "typst")
    about = {
        "quick": setting.quick,
        "seed": setting.seed,
        "precision": setting.precision,
        "command": _command(setting),
        "questions": {name: {"title": question.title} for name, question in QUESTIONS.items()},
        "not_answered": reasons,
        "seconds": {name: one.seconds for name, one in kept.items()},
        "machine": {"processor": processor_name(), "threads": torch.get_num_threads()},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in names},
    }
    write_text(setting.out / ANSWERS, to_json(_values(kept) | {"about": about}, indent=1) + "\n")


def _command(setting: Setting) -> str:
    words = ["pixelwise", "lab", "--out", str(setting.out), *(["--quick"] if setting.quick else [])]
    words += ["--seed", str(setting.seed), "--precision", setting.precision, "--device", setting.device]
    return shlex.join(words + (["--data-dir", str(setting.data_dir)] if setting.data_dir else []))
