"""A model or head exported: traced, run beside torch on real photos, and only then written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch

from pixelwise.backbones import Backbone
from pixelwise.errors import ConfigError
from pixelwise.export.check import (
    Difference,
    Run,
    compare_head,
    compare_model,
    head_inputs,
    model_inputs,
    sample_photos,
)
from pixelwise.export.facts import facts_of_backbone, facts_of_head, facts_of_model
from pixelwise.export.graphs import colouring, decoding, judging, looking
from pixelwise.export.onnx_file import describe, enlarge, session, to_onnx
from pixelwise.export.quantise import quantised
from pixelwise.files import require_writable, whole_file, write_bytes
from pixelwise.heads import Head
from pixelwise.models import ColourNet, LinearNet
from pixelwise.photos.photo import open_photo
from pixelwise.progress import Advance, announce, progress
from pixelwise.runs import Model


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written, and how near it is to the original."""

    files: tuple[Path, ...]
    num_bytes: int
    difference: Difference
    """Of the file in full precision, from torch."""
    int8: Difference | None = None
    """Of the file in 8 bit, from torch, on the photos that it was not calibrated on."""


def export_model(model: Model, out: Path, split: bool = False, calibrate: Sequence[Path] = ()) -> Exported:
    """Write a colouriser as ONNX; with `calibrate`, photos, in 8 bit.

    Raises:
        ConfigError: it cannot be exported, or the export is not what the model is.
        OutputError: a file cannot be written.
        PhotoError: one of the photos cannot be read.
    """
    _require_target(out, split, calibrate)
    facts = facts_of_model(model)
    announce(f"tracing {model.name}; what follows runs on the CPU and takes up to a minute")
    if split:
        head = to_onnx(decoding(model), model.name)
        assert isinstance(model.net, ColourNet | LinearNet)  # or it could not be split
        backbone = model.net.backbone
        facts["inputs"] = facts_of_backbone(backbone)["outputs"] | {"temperature": "1 where none is given"}
        pair = _Pair(head, to_onnx(looking(backbone), model.name), backbone)
        difference = compare_model(lambda fed: pair.colour(fed, model), model, sample_photos())
        return pair.write(out, facts, difference, model.name)
    whole = to_onnx(colouring(model), model.name)

    def inputs(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
        return ({"photo": model_inputs(open_photo(one), model).numpy()} for one in paths)

    return _write_whole(
        whole, out, facts, inputs, lambda run, photos: compare_model(run, model, photos), calibrate
    )


def export_head(
    head: Head, backbone: Backbone, out: Path, split: bool = False, calibrate: Sequence[Path] = ()
) -> Exported:
    """Write a head with its backbone as ONNX, in one file or in two; with `calibrate`, photos, in 8 bit.

    Raises:
        CheckpointError: the head was learned on another backbone.
        ConfigError, OutputError, PhotoError: as `export_model`.
    """
    _require_target(out, split, calibrate)
    facts, dressed = facts_of_head(head, backbone), head.dress(backbone)
    announce(f"tracing {head.name}; what follows runs on the CPU and takes up to a minute")
    whole = to_onnx(judging(head, dressed, from_maps=split), head.name)
    enlarge(whole, head.classes.num_classes)

    def compare(run: Run, photos: Sequence[Path]) -> Difference:
        return compare_head(run, head, dressed, photos)

    if split:
        seen = facts_of_backbone(dressed)["outputs"]
        facts["inputs"] = {f"{name}_{size}": told for size in head.sizes for name, told in seen.items()}
        facts["inputs"]["size"] = "height and width of the logits"
        pair = _Pair(whole, to_onnx(looking(dressed), head.name), dressed)
        difference = compare(lambda fed: pair.judge(fed, head), sample_photos())
        return pair.write(out, facts, difference, head.name)

    def inputs(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
        return (head_inputs(open_photo(one), head, dressed) for one in paths)

    return _write_whole(whole, out, facts, inputs, compare, calibrate)


def _write_whole(
    whole: onnx.ModelProto,
    out: Path,
    facts: dict[str, Any],
    inputs: Callable[[Sequence[Path]], Iterator[dict[str, Any]]],
    compare: Callable[[Run, Sequence[Path]], Difference],
    calibrate: Sequence[Path],
) -> Exported:
    """One file: in full precision, or in 8 bit once that one is known to be right."""
    announce("running it beside torch, on real photos")
    difference, of_int8 = compare(_run_of(whole), sample_photos()), None
    difference.require_small(facts["name"])
    if calibrate:
        learned, held_out = calibrate[::2], calibrate[1::2]
        with progress("calibrating 8 bit", len(learned)) as advance:
            whole = quantised(whole, _told(inputs(learned), advance))
        announce(f"running it beside torch, on the {len(held_out)} photos held out")
        of_int8 = compare(_run_of(whole), held_out)
        facts["int8"] = (
            f"convolutions, calibrated on {len(learned)} photos; {of_int8} on {len(held_out)} others"
        )
    describe(whole, facts)
    content = whole.SerializeToString()
    write_bytes(out, content)
    return Exported(files=(out,), num_bytes=len(content), difference=difference, int8=of_int8)


class _Pair:
    """A head's file and its backbone's."""

    def __init__(self, head: onnx.ModelProto, eye: onnx.ModelProto, backbone: Backbone) -> None:
        self._head, self._eye, self._backbone = head, eye, backbone
        self._judge, self._look = _run_of(head), _run_of(eye)

    def colour(self, fed: dict[str, Any], model: Model) -> Sequence[Any]:
        """Chroma and logits of a photo."""
        codes = torch.from_numpy(fed["photo"]).mul(255).round().byte()
        grey = model.palette.read_grey(codes).expand(-1, 3, -1, -1)
        return self._judge(self._maps(grey.numpy(), ""))

    def judge(self, fed: dict[str, Any], head: Head) -> Sequence[Any]:
        """Logits of a photo."""
        maps = {"size": fed["size"]}
        for size in head.sizes:
            maps |= self._maps(fed[f"photo_{size}"], f"_{size}")
        return self._judge(maps)

    def _maps(self, photo: Any, ending: str) -> dict[str, Any]:
        names = [level.name + ending for level in self._backbone.levels]
        return dict(zip(names, self._look({"photo": photo}), strict=True))

    def write(self, out: Path, facts: dict[str, Any], difference: Difference, name: str) -> Exported:
        """Write both, the backbone beside the head."""
        difference.require_small(name)
        beside = out.with_suffix(".backbone.onnx")
        describe(self._eye, facts_of_backbone(self._backbone))
        describe(self._head, facts | {"backbone_file": beside.name})
        eye, judge = self._eye.SerializeToString(), self._head.SerializeToString()
        with whole_file(out) as written, whole_file(beside) as written_beside:  # both, or neither
            written.write_bytes(judge)
            written_beside.write_bytes(eye)
        return Exported(files=(out, beside), num_bytes=len(eye) + len(judge), difference=difference)


def _told(inputs: Iterator[dict[str, Any]], advance: Advance) -> Iterator[dict[str, Any]]:
    """The same, each told as done once the next is asked for."""
    for one in inputs:
        yield one
        advance(1, "")


def _run_of(model: onnx.ModelProto) -> Run:
    opened = session(model.SerializeToString())
    return lambda fed: opened.run(None, fed)


def _require_target(out: Path, split: bool, calibrate: Sequence[Path]) -> None:
    if out.suffix != ".onnx":
        raise ConfigError(f"-o names the exported file, such as {out.with_suffix('.onnx')}, got {out}")
    if split and calibrate:
        raise ConfigError("needed one file for 8 bit, got --int8 with --split; leave out one of them")
    if len(calibrate) == 1:
        raise ConfigError("needed 2 photos or more, to calibrate on some and measure on others, got 1")
    require_writable(out)
