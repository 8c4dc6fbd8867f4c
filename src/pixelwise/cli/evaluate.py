"""The verb that scores: evaluate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from pixelwise.cli.common import Common, DataDir, Outcome, Weights, format_interval, format_number, say
from pixelwise.errors import ConfigError

if TYPE_CHECKING:  # verbs import them when they are called
    from pixelwise.evaluate.intervals import Interval


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Options of scoring: some are for heads alone, some for models on a folder of photos."""

    part: Literal["test", "val", "all"] | None = None
    """Of a head's source: test, val, or all of it. If not given: test if there is one; where there is none,
    all if the head has learned from none of it, or else val."""
    baselines: Annotated[bool, Parameter(negative="--no-baselines")] = True
    """Score majority and colour, too, beside a head; without, it is twice as fast."""
    without_duplicates: bool = False
    """Leave out what a head is scored on and may have learned from: photos that the training part has,
    too."""
    size: int | None = None
    """Short side in pixels at which a model's photos are measured, 16 to 2048; 256 if not given. Smaller
    pictures differ less: compare figures of one size only."""
    temperature: float | None = None
    """What photos are coloured with: below 1 bolder, above 1 duller and, often, nearer."""
    saturation: float | None = None
    """Factor on chroma. Cross-entropy and accuracy are of the network's own probabilities in any case."""
    page: Path | None = None
    """Write the scores on photos, with best and worst ones, as one HTML page: this file, or evaluation.html
    in this folder."""
    weights: Weights = None
    data_dir: DataDir = None

    @property
    def colouring(self) -> dict[str, Any]:
        """The options of colouring that were given."""
        given = {"temperature": self.temperature, "saturation": self.saturation}
        return {name: value for name, value in given.items() if value is not None}


def evaluate(
    model: str,
    source: str,
    /,
    *,
    options: EvaluateOptions = EvaluateOptions(),
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Score a model or a head on pictures it never learned from, beside baselines that need no network.

    A colour model is scored on all photos of a folder, as they would be coloured: difference to the eye,
    error of chroma, colourfulness, accuracy and calibration, beside grey and the mean colour; all that moves
    a figure is printed. On cifar10 and synthetic it is scored by accuracy
    on the validation part. A head is scored on labelled photos: overlap of classes, outlines, calibration.

    Parameters
    ----------
    model
        A run's folder, a model file or a shipped model's name; or a head file or a shipped head's name.
    source
        For a model folder:PATH, colour photos of any size, also below it; or cifar10:CLASS, cifar10:all,
        synthetic:shapes. For a head photos and masks: flowers17, flowers17:classes or folder:PATH.
    """
    from pixelwise.segmenting.heads import is_head

    if not model.endswith(".onnx") and is_head(model):
        if options.size is not None or options.colouring:
            raise ConfigError(f"--size, --temperature and --saturation are for models, and {model} is a head")
        return _evaluate_head(model, source, options, common)
    if options.part or not options.baselines or options.without_duplicates or options.weights:
        raise ConfigError(
            f"--part, --no-baselines, --without-duplicates and --weights are for heads, and {model} is none"
        )
    if source.startswith("folder:"):
        return _evaluate_colours(model, source, options, common)
    if options.size is not None or options.colouring or options.page:
        raise ConfigError(f"--size, --temperature, --saturation and --page need folder:PATH, got {source}")
    if not source.startswith(("cifar10:", "synthetic:")):  # before it is said that these need torch
        from pixelwise.labels.sources import unknown_source

        raise unknown_source("pictures", source, ["cifar10:CLASS", "synthetic:shapes"])
    return _evaluate_model(model, source, options, common)


def _writable_page(page: Path | None) -> Path | None:
    """Return the page's file, which may be given as a folder; refuse it before anything is scored."""
    from pixelwise.files import require_writable

    if page is None:
        return None
    import matplotlib  # noqa: F401 - only to be refused where it is missing

    page = page / "evaluation.html" if page.is_dir() or not page.suffix else page
    require_writable(page)
    return page


def _evaluate_colours(model: str, source: str, options: EvaluateOptions, common: Common) -> Outcome:
    from pixelwise.colourising.options import ColouriseOptions
    from pixelwise.evaluate.colour_scores import SCORES
    from pixelwise.evaluate.colours import MODEL, SIZE, evaluate_photos
    from pixelwise.network.model import open_model
    from pixelwise.report.evaluation import write_colours_page

    page, opened = _writable_page(options.page), open_model(model, common.device)
    found = evaluate_photos(
        opened,
        source,
        size=SIZE if options.size is None else options.size,
        options=ColouriseOptions(**options.colouring),
        seed=common.seed,
    )
    for failure in found.failed:
        say(failure.error)
    for warning in found.warnings:
        say(f"warning: {warning}", quiet=common.quiet)
    tables = {
        found.model.name if method == MODEL else method: {SCORES[key]: scores[key] for key in scores}
        for method, scores in found.scores.items()
    }
    lines = [
        *_table(tables),
        f"CIEDE2000 less than grey's by {format_interval(found.gain)}, on {len(found.photos)} photos",
        *([f"calibration error {format_interval(found.calibration_error)}"] if opened.palette else []),
        *(f"{name}: {step}" for name, step in found.protocol.items()),
        *(f"note: {note}" for note in found.notes),
    ]
    values = found.to_dict()
    if page:
        values["page"] = str(write_colours_page(page, found))
        lines.append(f"wrote {page}")
    return Outcome(values=values, message="\n".join(lines), num_failed=len(found.failed))


def _evaluate_model(model: str, source: str, options: EvaluateOptions, common: Common) -> Outcome:
    from pixelwise.network.model import open_model_with_classes
    from pixelwise.training.data.sources import load_pictures
    from pixelwise.training.evaluation import evaluate as evaluate_model

    opened = open_model_with_classes(model, common.device)
    pictures = load_pictures(source, options.data_dir, common.seed)
    scores = evaluate_model(opened, pictures, common.seed)
    rows, values = [f"{'':12}{'right pixels, %':>24}{'loss, nats':>28}"], {}
    for name, kinds in scores.items():
        right, loss = kinds["accuracy"], kinds["loss"]
        rows.append(
            f"{name:12}{right.value:10.2f} ({right.low:.2f} to {right.high:.2f})"
            f"{loss.value:10.4f} ({loss.low:.4f} to {loss.high:.4f})"
        )
        values[name] = {key: asdict(interval) for key, interval in kinds.items()}
    ours: dict[str, Any] = values.pop("model")
    return Outcome(values=ours | {"baselines": values}, message="\n".join(rows))


def _evaluate_head(name: str, source: str, options: EvaluateOptions, common: Common) -> Outcome:
    from pixelwise.evaluate.heads import evaluate_head
    from pixelwise.labels.sources import load_labelled
    from pixelwise.network.backbone import open_backbone
    from pixelwise.report.evaluation import write_head_page
    from pixelwise.segmenting.heads import open_head

    page = _writable_page(options.page)
    head, labelled = open_head(name), load_labelled(source, options.data_dir, common.seed)
    found = evaluate_head(
        head,
        open_backbone(head.backbone, options.weights, common.device),
        labelled,
        part=options.part,
        baselines=options.baselines,
        without_duplicates=options.without_duplicates,
        seed=common.seed,
    )
    methods = {"head": found.scores} | found.baselines
    values, tables = found.to_dict(), {method: scores.by_name() for method, scores in methods.items()}
    lines = [*_table(tables), found.protocol, *found.notes]
    if page:
        values["page"] = str(write_head_page(page, found))
        lines.append(f"wrote {page}")
    return Outcome(values=values, message="\n".join(lines))


def _table(tables: Mapping[str, Mapping[str, Interval]]) -> Iterator[str]:
    """Yield a line for each score: the first method with its interval, the others beside it."""
    (first, ours), *others = tables.items()
    width = max(len(score) for score in ours)
    yield f"{'':{width}}  {first:25}" + "".join(f"  {name:>16}" for name, _ in others)
    for name, score in ours.items():
        beside = (format_number(scores[name].value) if name in scores else "-" for _, scores in others)
        yield f"{name:{width}}  {format_interval(score):25}" + "".join(f"  {other:>16}" for other in beside)
