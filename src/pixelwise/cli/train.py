"""The verbs that train networks, one or all that the assignment asks for: train, lab."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pixelwise.cli.common import OUT, Common, DataDir, Outcome, as_file_name, say
from pixelwise.errors import ConfigError
from pixelwise.network.config import LEARNED, NET_NAMES, Precision, RunConfig
from pixelwise.training.recipes import change, recipe_names, repeat
from pixelwise.training.recipes import recipe as build_recipe


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Values that a run has otherwise than its recipe, and where it is kept."""

    recipe: str | None = None
    """Of cnn and unet: handout (the assignment's own), fast (soonest to its quality), best (most accurate in
    its time) or embedded (64 classes of chroma); of unet beyond (with a table of grey levels inside), too.
    Of colournet: photo (of the shipped model of that name). The first of them if not given."""
    epochs: int | None = None
    """Passes over the training images; the recipe's if not given."""
    batch_size: int | None = None
    """Images per step; need not divide the number of images."""
    learning_rate: float | None = None
    """The recipe's if not given."""
    fixed_order: bool = False
    """Never reshuffle the batches, as the assignment's original code did not."""
    palette: str | None = None
    """Colours to choose from: handout24, a palette file, or learned: from the pictures, for colournet."""
    num_colours: int | None = None
    """Classes of a palette that is learned."""
    size: int | None = None
    """Side in pixels of the squares that the photos of a folder are cut to."""
    rebalance: float | None = None
    """Weight rare classes up: 0 not at all, 1 until all weigh the same; more vivid, less accurate."""
    softness: float | None = None
    """How far, in Lab units, a colour still counts for the classes around it; of colournet."""
    film: float | None = None
    """Share of the photos that are read as if on old film, red blind, faded, grainy or blurred; of
    colournet."""
    kernel: int | None = None
    """Side of the convolutions' windows; odd."""
    num_filters: int | None = None
    """Filters of the first block (NF)."""
    convolution: Literal["torch", "unfold"] | None = None
    """Torch's kernel, or the written-out matrix product: the same numbers."""
    precision: Precision | None = None
    """fp32, bf16, or auto: bf16 where this processor computes it faster, measured."""
    out: Annotated[Path | None, OUT] = None
    """The run's folder; out/NET-SOURCE-RECIPE if not given."""
    resume: bool = False
    """Go on with the run in --out as it was started; of its options only --data-dir is needed again."""
    data_dir: DataDir = None


def train(
    net: str | None = None,
    source: str | None = None,
    /,
    *,
    options: TrainOptions = TrainOptions(),
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Train a network on pictures: cnn, unet or colournet, on cifar10:horse, synthetic:shapes or folder:PATH.

    The folder --out gets the model, its scores, curves and pictures, and the state to go on from.
    Ctrl-C saves; `pixelwise train --resume --out RUN` goes on bit for bit. In several processes:
    `torchrun --nproc-per-node 2 -m pixelwise train ...`.

    Parameters
    ----------
    net
        The network: cnn or unet, the assignment's; or colournet, for photographs.
    source
        The pictures: cifar10:CLASS, cifar10:all, synthetic:shapes or folder:PATH.
    """
    if not (net and source) and not (options.resume and options.out):
        folder_too = ", or --out with the run's folder" if options.resume else ""
        raise ConfigError(f"train needs NET and SOURCE{folder_too}. See pixelwise train --help.")
    name = options.recipe or recipe_names(net)[0] if net else ""
    folder = options.out or Path("out") / as_file_name(f"{net}-{source}-{name}")
    config = _config(net, source, options, folder, common.seed)
    from pixelwise.training.distributed import on_rank0, process_group
    from pixelwise.training.loop import train_source
    from pixelwise.training.report import write_report

    with process_group(common.device):
        result = train_source(
            config, folder, data_dir=options.data_dir, device=common.device, resume=options.resume
        )
        page = on_rank0(lambda: write_report(folder, repeat(config)))
    message = (
        f"{result.val_accuracy:.2f} % of the validation pixels right, loss {result.val_loss:.4f}, "
        f"after {result.train_seconds:.1f} s of training; look at {page}"
    )
    return Outcome(values=asdict(result), message=message)


def _config(net: str | None, source: str | None, options: TrainOptions, folder: Path, seed: int) -> RunConfig:
    """Return the configuration of a run; when resuming, as it was started, with whatever was given again."""
    no_values = ("recipe", "fixed_order", "out", "resume", "data_dir")
    given = {
        name: value for name, value in asdict(options).items() if value is not None and name not in no_values
    }
    if options.fixed_order:
        given["reshuffle"] = False
    if seed:  # 0 is that of all recipes; a run to go on with may have another
        given["seed"] = seed
    if options.resume:  # training refuses a difference
        from pixelwise.training.runs import read_checkpoint

        saved = read_checkpoint(folder).config
        given.setdefault("seed", saved.train.seed)
        saved_net = NET_NAMES[type(saved.net)]
        if options.recipe is None and net in (None, saved_net):
            return change(saved, source=source, **given)
        net, source = net or saved_net, source or saved.source
    assert net
    assert source
    config = build_recipe(options.recipe or recipe_names(net)[0], net, source, **given)
    if options.num_colours is not None and config.palette != LEARNED:
        raise ConfigError(
            f"--num-colours is of a palette that is learned, not of {config.palette}; leave it out"
        )
    return config


def lab(
    *,
    out: Annotated[Path, OUT] = Path("out/lab"),
    quick: Annotated[bool, Parameter(negative="")] = False,
    precision: Precision = "auto",
    question: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    weights: Path | None = None,
    num_filters: int | None = None,
    kernel: int | None = None,
    num_colours: int | None = None,
    starter: Path | None = None,
    data_dir: DataDir = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Answer every question of the assignment by measurement: a writeup, a notebook, answers.json.

    Each answer is kept as soon as it is there: after Ctrl-C the same command goes on. If a data set is
    missing, the questions that need it are named, and the rest is answered.

    Parameters
    ----------
    out
        The folder for a2-writeup.pdf, lab-report.pdf, a2-cnn.ipynb, answers.json, figures and runs.
    quick
        Fewer epochs, seeds and pictures.
    precision
        fp32, bf16, or auto: bf16 if this processor computes it faster, measured once; all networks are
        trained in the same.
    question
        Only these, such as A4; there is no notebook then, and both PDFs have all answers so far.
    weights
        The weights of deeplabv3_resnet101, where they are neither in TORCH_HOME nor can be downloaded;
        without them C1 to C3 learn the last layer of the network inside the package.
    num_filters
        Filters of the first block (NF) of the networks that A3 counts; only with --question A3.
    kernel
        Side of their windows; odd; only with --question A3.
    num_colours
        Their classes (NC); only with --question A3.
    starter
        Write the notebook for students into this file, with gaps in place of answers; nothing else is done.
    """
    options = {"num_filters": num_filters, "kernel": kernel, "num_colours": num_colours}
    if starter:
        if question or quick or weights or any(options.values()):
            raise ConfigError(
                "--starter writes the notebook for students and nothing else; leave the others out"
            )
        from pixelwise.lab.documents import write_starter

        write_starter(starter)
        return Outcome(values={"starter": str(starter)}, message=f"{starter}  the notebook for students")
    from pixelwise.lab.answer import Setting
    from pixelwise.lab.run import QUESTIONS, run_lab

    setting = Setting(
        out=out,
        quick=quick,
        data_dir=data_dir,
        seed=common.seed,
        device=common.device,
        precision=precision,
        weights=weights,
        counted={name: value for name, value in options.items() if value is not None},
    )
    result = run_lab(setting, [name.upper() for name in question])
    for name, why in result.not_answered.items():
        say(f"{name} is not {'answered' if name in QUESTIONS else 'made'}: {why}")
    lines = [
        f"made in {result.seconds:.0f} s:",
        f"{result.writeup}  the writeup, questions answered: {len(result.answers)}",
        f"{result.report}  the same with all evidence",
    ]
    if result.notebook:
        lines.append(f"{result.notebook}  the notebook, run from top to bottom")
    return Outcome(values=vars(result), message="\n".join(lines), num_failed=len(result.not_answered))
