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
from typing import Any, NamedTuple

import torch
from torch.linalg import LinAlgError  # type: ignore[attr-defined] # documented, not exported

from pixelwise.errors import ConfigError, DataError, Interrupted, OutputError, PixelwiseError
from pixelwise.files import to_json, write_text
from pixelwise.lab.answer import PHOTOS, PICTURES, Answer, Setting
from pixelwise.lab.documents import ANSWERS, NOTEBOOK, REPORT, WRITEUP, write_notebook, write_pdfs
from pixelwise.labels.sources import load_labelled
from pixelwise.network.config import CNNConfig
from pixelwise.progress import announce
from pixelwise.training.data.sources import load_pictures
from pixelwise.training.device import choose_device, choose_precision, processor_name


class Question(NamedTuple):
    """A question, and where its answer is made."""

    title: str
    module: str  # of this package, with a function answer_NAME; imported only when the question is asked
    source: str = ""  # the data set that it needs
    network: bool = False  # whether it learns the last layer of `Setting.network`


QUESTIONS = {
    "A1": Question("The CNN, from a convolution of our own", "networks"),
    "A2": Question("Training it, and what its pictures look like", "colouring", PICTURES),
    "A3": Question("Weights, outputs and connections", "counting"),
    "A4": Question("Every pixel becomes a x + b", "affine", PICTURES),
    "B1": Question("The U-Net", "networks"),
    "B2": Question("Training the U-Net", "colouring", PICTURES),
    "B3": Question("Does it beat the CNN, and why", "colouring", PICTURES),
    "B4": Question("Batch sizes", "colouring", PICTURES),
    "B5": Question("Beyond the handout: to beat a table of greys", "beyond", PICTURES),
    "C1": Question("Learn only the last layer", "finetuning", network=True),
    "C2": Question("Freeze, replace the head, train", "finetuning", PHOTOS, network=True),
    "C3": Question("What it cuts out", "finetuning", PHOTOS, network=True),
    "C4": Question("Memory and computation over n layers", "costs"),
    "C5": Question("Twice the height and the width", "costs"),
}


@dataclass(frozen=True, kw_only=True)
class LabResult:
    """The answers so far; its fields are the keys of `pixelwise lab --json`."""

    answers: dict[str, dict[str, Any]]  # question -> its values
    not_answered: dict[str, str]  # question, or the notebook -> the reason, and what to do about it
    writeup: str
    report: str
    notebook: str | None  # None where single questions were asked, or it failed
    seconds: float  # duration of this call


def run_lab(setting: Setting, questions: Sequence[str] = ()) -> LabResult:
    """Answer questions, all if none are named, and write answers.json, writeup, report and notebook.

    Answers of the same setting, data and version are reused; for single questions there is no notebook. A
    question that fails, or whose data set is missing, is named in the result; the rest is done.

    Raises:
        CheckpointError: the file of weights is missing, damaged or of another network.
        ConfigError: there is no such question, or no such device, or another network is for more than A3.
        Interrupted: Ctrl-C came; the answers so far are kept, and the same call resumes.
        OutputError: something cannot be written.
    """
    start_s = time.perf_counter()
    if unknown := [name for name in questions if name not in QUESTIONS]:
        raise ConfigError(f"needed questions among {', '.join(QUESTIONS)}, got {unknown[0]!r}")
    asked = [name for name in QUESTIONS if name in questions or not questions]
    if setting.counted:
        CNNConfig(**setting.counted)  # refuses what is no network
        if asked != ["A3"]:
            options, got = " ".join(_counted_options(setting)), " ".join(questions) or "no --question"
            raise ConfigError(f"{options} needs --question A3, which alone counts any network, got {got}")
    needs_network = any(QUESTIONS[name].network for name in asked)
    if setting.weights and not needs_network:
        raise ConfigError(f"--weights is for C1 to C3, got --question {' '.join(asked)}; leave it out")
    if needs_network:
        setting = import_module("pixelwise.lab.finetuning").choose_network(setting)
    setting = _with_one_precision(setting)
    digests, missing = _load_data(setting, asked)
    setting = replace(setting, digests=setting.digests | digests)
    kept = {name: found for name in QUESTIONS if (found := _find(setting, name))}
    try:
        reasons = _answer_all(setting, asked, kept, missing)
        answers = _write_answers(setting, kept, reasons)
        announce(f"{WRITEUP} and {REPORT}")
        write_pdfs(setting.out)
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
        answers=answers,
        not_answered=reasons,
        writeup=str(setting.out / WRITEUP),
        report=str(setting.out / REPORT),
        notebook=str(setting.out / NOTEBOOK) if not questions and NOTEBOOK not in reasons else None,
        seconds=time.perf_counter() - start_s,
    )


def _answer_all(
    setting: Setting, asked: Sequence[str], kept: dict[str, Answer], missing: dict[str, str]
) -> dict[str, str]:
    """Add the answers that are not there yet to `kept`; return why questions could not be answered."""
    reasons: dict[str, str] = {}
    for number, name in enumerate(asked):
        question = QUESTIONS[name]
        if name in kept:
            continue
        if question.source in missing:
            reasons[name] = missing[question.source]
            continue
        announce(f"{name}: {question.title} ({number + 1} of {len(asked)})")
        try:
            kept[name] = _answer(setting, name)
        except (Interrupted, OutputError):
            raise
        except (PixelwiseError, LinAlgError, torch.OutOfMemoryError) as error:
            reasons[name] = " ".join(str(error).split())
    return reasons


def _answer(setting: Setting, name: str) -> Answer:
    start_s, question = time.perf_counter(), QUESTIONS[name]
    module = import_module(f"pixelwise.lab.{question.module}")
    answer: Answer = getattr(module, f"answer_{name.lower()}")(setting)
    made_by, seconds = setting.made_by(question.source, question.network), time.perf_counter() - start_s
    content = asdict(replace(answer, seconds=seconds, made_by=made_by))
    write_text(_answer_path(setting, name), to_json(content, indent=1) + "\n")
    return _read(setting, name) or answer  # NaN is null from here on


def _answer_path(setting: Setting, name: str) -> Path:
    return setting.out / "answers" / f"{name}.json"


def _read(setting: Setting, name: str) -> Answer | None:
    """Return an answer on disk; None if it is missing or damaged."""
    try:
        kept = json.loads(_answer_path(setting, name).read_text(encoding="utf-8"))
        return Answer(kept["values"], kept["figures"], kept["seconds"], kept["made_by"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _with_one_precision(setting: Setting) -> Setting:
    """Replace precision "auto" by that of the answers in the folder, or else by the faster one, measured."""
    if setting.precision != "auto":
        return setting
    for name in QUESTIONS:
        if kept := _read(setting, name):
            return replace(setting, precision=kept.made_by["precision"])
    precision, reason = choose_precision("auto", choose_device(setting.device))
    announce(f"networks are trained in {reason}")
    return replace(setting, precision=precision)


def _load_data(setting: Setting, asked: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Try each data set once, since a failed download may take minutes; return checksums, and what fails."""
    digests, missing = {}, {}
    for source in dict.fromkeys(QUESTIONS[name].source for name in asked if QUESTIONS[name].source):
        load = load_labelled if source == PHOTOS else load_pictures
        try:
            digests[source] = load(source, setting.data_dir, setting.seed).digest
        except DataError as error:
            missing[source] = str(error)
    return digests, missing


def _find(setting: Setting, name: str) -> Answer | None:
    """Return a kept answer, if it and its figures are whole and it was made in the same setting.

    Data that are missing, and what no question of this call needs, are taken to be the same.
    """
    kept, question = _read(setting, name), QUESTIONS[name]
    if kept is None or not all(setting.figure(drawn).is_file() for drawn in kept.figures):
        return None
    made_by = setting.made_by(question.source, question.network)
    for need, digest in (("data", question.source), ("network", setting.network)):
        if need in made_by and digest not in setting.digests:
            made_by[need] = kept.made_by.get(need)
    if name != "A3":
        made_by["counted"] = kept.made_by.get("counted")  # it is A3's alone
    return kept if kept.made_by == made_by else None


def _write_answers(setting: Setting, kept: dict[str, Answer], reasons: dict[str, str]) -> dict[str, Any]:
    """Write answers.json: the values of each question, which are returned, and how they were made."""
    names = ("pixelwise", "torch", "torchvision", "numpy", "typst")
    values = {name: kept[name].values for name in QUESTIONS if name in kept}
    about = {
        "quick": setting.quick,
        "seed": setting.seed,
        "precision": setting.precision,
        "command": _command(setting),
        "questions": {name: {"title": question.title} for name, question in QUESTIONS.items()},
        "not_answered": reasons,
        "seconds": {name: answer.seconds for name, answer in kept.items()},
        "machine": {"processor": processor_name(), "threads": torch.get_num_threads()},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in names},
    }
    write_text(setting.out / ANSWERS, to_json(values | {"about": about}, indent=1) + "\n")
    return values


def _command(setting: Setting) -> str:
    words = ["pixelwise", "lab", "--out", str(setting.out), *(["--quick"] if setting.quick else [])]
    words += ["--seed", str(setting.seed), "--precision", setting.precision, "--device", setting.device]
    words += ["--question", "A3", *_counted_options(setting)] if setting.counted else []
    for option, path in (("--data-dir", setting.data_dir), ("--weights", setting.weights)):
        words += [option, str(path)] if path else []
    return shlex.join(words)


def _counted_options(setting: Setting) -> list[str]:
    options = ((f"--{name.replace('_', '-')}", str(value)) for name, value in setting.counted.items())
    return [word for option in options for word in option]
