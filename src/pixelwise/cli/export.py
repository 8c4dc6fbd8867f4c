"""The verb that exports models: export."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, Outcome, Weights, say
from pixelwise.errors import CheckpointError, ConfigError

_FEW = 20  # photos; of fewer, ranges of numbers depend on which they are


def export(
    model: str,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    split: Annotated[bool, Parameter(negative="")] = False,
    int8: Annotated[bool, Parameter(negative="")] = False,
    calibrate: Path | None = None,
    weights: Weights = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Write a model or a head as ONNX, to run without torch; first it is run beside torch, on real photos.

    Photos go in as sRGB from 0 to 1, of any number, height and width that the file's metadata allows; out
    come Lab's a and b, or logits of classes. Nothing is written where the two differ.

    Parameters
    ----------
    model
        A shipped model's or head's name, a run's folder, a model file or a head file.
    out
        The file, whose name ends in .onnx.
    split
        Write the backbone beside it, NAME.backbone.onnx, so that several heads can share one look.
    int8
        Convolutions in whole numbers of 8 bit; needs --calibrate.
    calibrate
        Folder of photos, its subfolders included: on half of them ranges of numbers are measured, on the
        others what 8 bit costs.
    """
    if int8 != (calibrate is not None):
        raise ConfigError("--int8 and --calibrate DIR go together: 8 bit needs photos to be calibrated on")
    if calibrate is not None and not calibrate.is_dir():
        raise ConfigError(f"needed a folder of photos to calibrate on, got {calibrate}, which is none")
    from pixelwise.export import export_head, export_model
    from pixelwise.heads import Head, is_head, open_head
    from pixelwise.runs import open_model

    _require_known(model)
    opened = open_head(model) if is_head(model) else open_model(model)
    photos = _photos_in(calibrate, common) if calibrate is not None else []
    if isinstance(opened, Head):
        from pixelwise.backbones import open_backbone

        done = export_head(opened, open_backbone(opened.backbone, weights), out, split, photos)
    else:
        done = export_model(opened, out, split, photos)
    near = done.difference
    values = {
        "files": [str(path) for path in done.files],
        "bytes": done.num_bytes,
        "max_difference": near.max_difference,
        "ciede2000": near.ciede2000,
        "equal": near.equal,
        "int8": asdict(done.int8) if done.int8 else None,
    }
    message = f"{' and '.join(map(str, done.files))}, {done.num_bytes / 1e6:.1f} MB: "
    if done.int8:
        message += f"in 8 bit, on the photos held out, {done.int8}; before, in single precision, "
    message += f"{near}, on real photos"
    return Outcome(values=values, message=message)


def _photos_in(folder: Path, common: Common) -> list[Path]:
    from pixelwise.photos.find import find_photos

    found, failures = find_photos([str(folder)], recursive=True)
    if failures:
        raise ConfigError(failures[0].error)
    if len(found) < _FEW:
        say(f"8 bit is calibrated on half of {len(found)} photos; {_FEW} are safer", quiet=common.quiet)
    return [one.path for one in found]


def _require_known(name: str) -> None:
    """Raise a `CheckpointError` that names heads as well as models, where a name is neither's."""
    from pixelwise.cards import shipped_heads, shipped_models

    if not Path(name).exists() and name not in (*shipped_models(), *shipped_heads()):
        raise CheckpointError(
            f"needed a run's folder, a file of a model or a head, or a name, got {name!r}; there are "
            f"the models {', '.join(shipped_models())} and the heads {', '.join(shipped_heads())}"
        )
