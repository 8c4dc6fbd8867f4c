"""Configurations of networks, training and fine-tuning; values are checked where they enter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from math import inf
from numbers import Integral
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NotRequired,
    TypedDict,
    get_args,
    get_origin,
    get_type_hints,
)

from pixelwise.errors import ConfigError, shortened

MAX_MEGAPIXELS = 500.0  # larger photos are refused unless asked for: a small file can unpack to any size
LEARNED = "learned"  # the name of a palette that a run learns from its own pictures
Precision = Literal["auto", "fp32", "bf16"]
Device = Literal["auto", "cpu", "cuda"]
Policy = Literal["last-layer", "stage", "full"]
_RETIRED = {"accumulate", "shared_norm", "window_from"}  # of TrainConfig: older runs have them


@dataclass(frozen=True)
class Needs:
    """A rule that the values of a field keep: `Annotated` binds it to the field's type."""

    words: str
    is_kept: Callable[[Any], bool]


def between(low: float, high: float) -> Needs:
    """Return the rule that a value lies from `low` to `high`, both included."""
    return Needs(f"from {low:g} to {high:g}", lambda value: low <= value <= high)


_ABOVE_0 = Needs("above 0", lambda value: 0 < value < inf)
PositiveInt = Annotated[int, Needs("at least 1", lambda value: value >= 1)]
NonNegativeInt = Annotated[int, Needs("at least 0", lambda value: value >= 0)]
Positive = Annotated[float, _ABOVE_0]
PositiveOrNone = Annotated[float | None, _ABOVE_0]
NonNegative = Annotated[float, Needs("at least 0", lambda value: 0 <= value < inf)]
Finite = Annotated[float, Needs("finite", lambda value: -inf < value < inf)]
Fraction = Annotated[float, between(0, 1)]
Kernel = Annotated[int, Needs("odd and positive", lambda value: value % 2 == 1 and value > 0)]
Window = Annotated[int, Needs("a multiple of 32", lambda value: value >= 0 and value % 32 == 0)]
Dropout = Annotated[float, Needs("at least 0 and below 1", lambda value: 0 <= value < 1)]
Saturation = Annotated[float, Needs("above 0 and below 10", lambda value: 0 < value < 10)]
Seed = Annotated[int, Needs("from 0 to 2^32 - 1", lambda value: 0 <= value < 2**32)]
"""Some generators take no larger one."""
Sizes = Annotated[
    tuple[int, ...], Needs("from 16 to 4096", lambda value: all(16 <= size <= 4096 for size in value))
]


def _is_whole(value: object) -> bool:
    return type(value) is not bool and isinstance(value, Integral) and -(2**63) <= int(value) < 2**63


_NUMBER = Needs("a number", lambda value: isinstance(value, float) or _is_whole(value))
_TEXT = Needs("text", lambda value: type(value) is str)
_KINDS: dict[Any, Needs] = {
    bool: Needs("yes or no", lambda value: type(value) is bool),
    int: Needs("a whole number", _is_whole),
    float: _NUMBER,
    float | None: _NUMBER,
    str: _TEXT,
    str | None: _TEXT,
    tuple[int, ...]: Needs(
        "whole numbers", lambda value: isinstance(value, tuple | list) and all(map(_is_whole, value))
    ),
}


def _of_kind(kind: Any) -> Needs:
    """Return the rule that a value is of its field's type: files hold anything, such as text for a number."""
    if get_origin(kind) is Literal:
        return Needs("one of " + ", ".join(get_args(kind)), lambda value: value in get_args(kind))
    return _KINDS.get(kind) or Needs("a configuration", lambda value: isinstance(value, kind))


class Checked:
    """A dataclass whose values keep their fields' types and rules, or else it is a ConfigError."""

    __slots__ = ()

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self), include_extras=True)
        for entry in fields(self):  # type: ignore[arg-type] # each subclass is a dataclass
            name, value, hint = entry.name, getattr(self, entry.name), hints[entry.name]
            if value is None and entry.default is None:
                continue
            kind, *rules = get_args(hint) if get_origin(hint) is Annotated else [hint]
            for rule in (_of_kind(kind), *rules):
                if not rule.is_kept(value):
                    needed = f"{name.replace('_', '-')} needs to be {rule.words}"
                    raise ConfigError(f"{needed}, got {shortened(value, 200)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class CNNConfig(Checked):
    """The handout's CNN: down to a quarter of the size and up again."""

    kernel: Kernel = 3  # side of every convolution's window in pixels; odd
    num_filters: PositiveInt = 32  # feature maps of the first block (NF); the middle has twice as many
    num_colours: PositiveInt = 24  # classes per pixel (NC)
    num_in_channels: PositiveInt = 1  # channels of the input (NIC); 1 is grey
    convolution: Literal["torch", "unfold"] = "torch"  # torch's kernel, or the written-out product
    scale: Finite = 1.0  # pixels x are read as scale x + shift: the a of question A4
    shift: Finite = 0.0  # the b of the same question


@dataclass(frozen=True, kw_only=True, slots=True)
class UNetConfig(CNNConfig):
    """The CNN's blocks with a skip connection around each pair; without all three it is the CNN."""

    skip_full: bool = True  # from the input to the last convolution, at full size
    skip_half: bool = True  # from the first block to the fifth, at half the size
    skip_quarter: bool = True  # from the second block to the fourth, at a quarter of the size
    grey_table: bool = False  # adds logits of each grey level to those of the last convolution, learned too


@dataclass(frozen=True, kw_only=True, slots=True)
class ColourNetConfig(Checked):
    """A frozen backbone and a light decoder, for photographs."""

    num_colours: PositiveInt = 64  # classes per pixel
    num_in_channels: ClassVar[int] = 1  # channels of the input: grey
    backbone: str = "efficientnet_lite0"  # the frozen network; it needs maps at strides 4, 8, 16 and 32
    width: PositiveInt = 96  # channels of the decoder's finest maps
    dropout: Dropout = 0.2  # fraction of the finest maps that training leaves out, drawn for each photo
    saturation: Saturation = 1.15  # factor on the chroma, which as a mean of possible colours is dull


NetConfig = CNNConfig | UNetConfig | ColourNetConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig(Checked):
    """Options of training."""

    epochs: PositiveInt = 25  # passes over the training images
    steps: NonNegativeInt = 0  # updates of the weights, in place of `epochs`; 0: all of the epochs
    batch_size: PositiveInt = 100  # images per step; need not divide the number of images
    learning_rate: Positive = 0.001  # of Adam; the peak, where the schedule has one
    schedule: Literal["constant", "one-cycle"] = "constant"  # one-cycle: as `optimise.rate_frac`
    warmup_frac: Fraction = 0.2  # fraction of the steps in which the one-cycle schedule climbs
    optimiser: Literal["adam", "muon"] = "adam"  # muon: of convolutions, with Adam for the rest
    muon_rate: Positive = 0.15  # learning rate of Muon, on the same schedule; without effect on Adam
    momentum: Fraction = 0.8  # momentum of Muon; without effect on Adam
    weight_decay: NonNegative = 0.0  # per step, times the learning rate, decoupled from the gradient
    crop_frac: Fraction = 0.0  # fraction of the steps, the first ones, on a random quarter of each picture
    rebalance: Fraction = 0.0  # weight of rare classes: 0 as they come, 1 until all weigh the same
    window: Window = 0  # side in pixels of the random windows of photos that colournet trains on
    softness: Positive = 5.0  # how far, in Lab units, a colour counts for classes around it; of colournet
    film: Fraction = 0.0  # fraction of the photos that are read as on old film; of colournet
    flip: bool = False  # mirror each training image left to right with probability one half
    reshuffle: bool = True  # new batch order each epoch; the handout's original never reshuffled
    precision: Precision = "auto"  # of convolutions; auto takes bf16 where that is measured to be faster
    seed: Seed = 0  # decides the initial weights, the order of batches and the flips


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig(Checked):
    """A whole run: network, data, label space, training."""

    net: NetConfig
    source: str  # where the pictures come from: cifar10:horse, cifar10:all, synthetic:shapes, folder:PATH
    palette: str = "handout24"  # name, path, or `learned` from the pictures of the run
    size: Annotated[int, between(8, 1024)] = 64  # side in pixels of the squares that photos are cut to
    train: TrainConfig = field(default_factory=TrainConfig)

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain values, for run.json; `from_dict` reads them."""
        nested = asdict(self)
        nested["net"]["name"] = NET_NAMES[type(self.net)]
        return nested

    @staticmethod
    def from_dict(nested: dict[str, Any]) -> RunConfig:
        """Read what `to_dict` wrote, or raise a ConfigError."""
        try:
            net = net_from_dict(nested["net"])
            train = {name: value for name, value in dict(nested["train"]).items() if name not in _RETIRED}
            others = {name: nested[name] for name in ("source", "palette", "size")}
            return RunConfig(net=net, train=TrainConfig(**train), **others)
        except (KeyError, TypeError, ValueError) as error:
            found = f"{shortened(nested, 200)} ({error!r})"
            raise ConfigError(f"needed a run's configuration, got {found}") from error


MetricName = Literal["train_loss", "val_loss", "val_accuracy", "train_seconds"]


class EpochMetrics(TypedDict):
    """One epoch's line of a run's metrics.jsonl."""

    epoch: int
    step: int  # steps done since the run began
    train_loss: float  # mean over the epoch, in nats a pixel
    val_loss: float
    val_accuracy: float  # right pixels, in per cent
    train_seconds: float  # since the run began, validation left out
    losses: NotRequired[list[float]]  # of pieces of the epoch; runs of earlier versions have none


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneOptions(Checked):
    """Options of learning a head from masks."""

    backbone: str = "efficientnet_lite0"
    """The frozen network: efficientnet_lite0 (inside the package), deeplabv3_resnet101, deeplabv3_resnet50,
    deeplabv3_mobilenet_v3_large, lraspp_mobilenet_v3_large, or timm:NAME."""
    weights: str | None = None
    """File of the backbone's weights, where they are neither installed nor downloaded."""
    sizes: Sizes = ()
    """Short sides in pixels at which photos are read; the backbone's own if not given."""
    shots: NonNegativeInt = 0
    """Photos to learn from, drawn by --seed; 0: all of the training part."""
    then_all: bool = False
    """Once the head is scored on the photos held out, learn it anew from these, too; its scores stay those of
    before."""
    looks: NonNegativeInt = 0
    """Views of each photo, the first whole, others random crops; 0: more the fewer photos there are."""
    ridge: PositiveOrNone = None
    """Weight decay, on features scaled to deviation 1; chosen by photos left out if not given."""
    rebalance: Fraction = 0.0
    """Weight rare classes up: 0 not at all, 1 until all classes weigh the same."""
    policy: Policy = "last-layer"
    """Parts that learn: the last layer; with it the last stage of the network; or all of it. With stage and
    full the best epoch on photos that are not learned from is kept, Ctrl-C or not."""
    solver: Literal["exact", "adam"] = "exact"
    """Solver of the last layer: exact, or adam, the handout's loop, to compare with."""
    epochs: NonNegativeInt = 0
    """Passes over the photos; 0: 10 with --solver adam, at most 20 with --policy stage or full."""
    batch_size: PositiveInt = 8
    """Photos in a step."""
    learning_rate: PositiveOrNone = None
    """If not given 0.01 with --solver adam, 0.0001 of the backbone with --policy."""

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        if self.policy != "last-layer" and self.solver != "exact":
            raise ConfigError(
                f"solver {self.solver} learns the last layer alone, got policy {self.policy}; leave one out"
            )
        if self.solver == "adam":
            self._refuse(("looks", "ridge", "rebalance"), "solver exact")
        if not self.has_epochs:
            self._refuse(("epochs", "batch_size", "learning_rate"), "policy stage or full, or of solver adam")

    @property
    def has_epochs(self) -> bool:
        """Whether it learns in passes over the photos, instead of solving once."""
        return self.policy != "last-layer" or self.solver == "adam"

    def _refuse(self, names: tuple[str, ...], whose: str) -> None:
        """Refuse options that would do nothing."""
        for entry in fields(self):
            if entry.name in names and getattr(self, entry.name) != entry.default:
                raise ConfigError(f"{entry.name.replace('_', '-')} is an option of {whose}; leave it out")


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneConfig(FinetuneOptions):
    """A whole job of learning a head from masks."""

    source: str  # where photos and masks come from: flowers17, flowers17:classes, folder:PATH
    seed: Seed = 0  # decides which photos are drawn; with epochs, also their order and how they are varied


@dataclass(frozen=True, kw_only=True, slots=True)
class ColourFinetuneConfig(Checked):
    """Options of learning a linear network from colour photos."""

    source: str  # where they are: folder:PATH
    backbone: str = "efficientnet_lite0"  # the frozen network whose features it reads
    size: Annotated[int, between(32, 1024)] = 192  # short side in pixels at which photos are read
    shots: NonNegativeInt = 0  # photos drawn to learn from; 0: all but those that are held out
    looks: NonNegativeInt = 0  # views of each photo, as in `FinetuneOptions`
    num_colours: Annotated[int, between(0, 255)] = 0  # 0: 32, or fewer where the photos have fewer
    ridge: PositiveOrNone = None  # as in `FinetuneOptions`
    seed: Seed = 0  # decides which photos are drawn, and where the palette's search begins


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentOptions(Checked):
    """Options of the files written beside the masks of photos."""

    overlay: bool = False
    """Beside each mask write NAME.overlay in the photo's own format: the photo with the classes' colours laid
    over it. A class 0 called background stays clear."""
    opacity: Fraction = 0.5
    """Share of the colours in an overlay: 0 only outlines, 1 no photo to be seen."""
    probabilities: bool = False
    """Beside each mask write NAME.probabilities.tif: how likely each class is, a page of 16-bit grey each."""
    cut_out: bool = False
    """Beside each mask write NAME.cut.png: the photo, clear where the background is."""
    max_megapixels: Positive = MAX_MEGAPIXELS
    """Refuse larger photos."""


HANDOUT_CONFIGS: dict[str, type[CNNConfig]] = {"cnn": CNNConfig, "unet": UNetConfig}
NET_CONFIGS: dict[str, type[NetConfig]] = {**HANDOUT_CONFIGS, "colournet": ColourNetConfig}
NET_NAMES = {config: name for name, config in NET_CONFIGS.items()}


def net_from_dict(values: dict[str, Any]) -> NetConfig:
    """Read a network's configuration from plain values with its `name`, or raise a ConfigError."""
    if not isinstance(values, dict):
        raise ConfigError(f"needed a network's name and settings, got {shortened(values, 200)}")
    values = dict(values)
    name = values.pop("name", None)
    if not isinstance(name, str) or name not in NET_CONFIGS:
        raise ConfigError(f"needed one of the networks {', '.join(NET_CONFIGS)}, got {shortened(name)}")
    try:
        return NET_CONFIGS[name](**values)
    except TypeError as error:
        raise ConfigError(f"settings of the network {name} do not fit: {error}") from error
