"""Configurations of networks, training and fine-tuning; values are checked where they enter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from math import inf
from numbers import Integral
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from pixelwise.errors import ConfigError, shortened

LEARNED = "learned"  # the name of a palette that a run learns from its own pictures
Precision = Literal["auto", "fp32", "bf16"]
Device = Literal["auto", "cpu", "cuda"]
Policy = Literal["last-layer", "stage", "full"]
_RETIRED = {"accumulate", "shared_norm", "window_from"}  # of TrainConfig: older runs have them
_RANGES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "num_filters num_colours num_in_channels width batch_size epochs": ("at least 1", lambda v: 1 <= v < inf),
    "steps weight_decay shots looks": ("at least 0", lambda v: 0 <= v < inf),
    "learning_rate muon_rate softness ridge max_megapixels": ("above 0", lambda v: 0 < v < inf),
    "warmup_frac crop_frac momentum rebalance film opacity": ("from 0 to 1", lambda v: 0 <= v <= 1),
    "scale shift": ("finite", lambda v: -inf < v < inf),
    "dropout": ("at least 0 and below 1", lambda v: 0 <= v < 1),
    "saturation": ("above 0 and below 10", lambda v: 0 < v < 10),
    "kernel": ("odd and positive", lambda v: v % 2 == 1 and v > 0),
    "window": ("a multiple of 32", lambda v: v >= 0 and v % 32 == 0),
    "size": ("from 8 to 1024", lambda v: 8 <= v <= 1024),
    "sizes": ("from 16 to 4096", lambda v: all(16 <= one <= 4096 for one in v)),
    "seed": ("from 0 to 2^32 - 1", lambda v: 0 <= v < 2**32),  # some generators take no larger one
    # of one class, where others differ
    "FinetuneOptions.epochs FinetuneConfig.epochs": ("at least 0", lambda v: v >= 0),
    "ColourFinetuneConfig.size": ("from 32 to 1024", lambda v: 32 <= v <= 1024),
    "ColourFinetuneConfig.num_colours": ("from 0 to 255", lambda v: 0 <= v <= 255),
}
_NEEDED = {name: rule for names, rule in _RANGES.items() for name in names.split()}


class Checked:
    """A dataclass whose values are checked: to be of their fields' kinds, and in range.

    Raises:
        ConfigError: one is not.
    """

    __slots__ = ()

    def __post_init__(self) -> None:
        kinds = get_type_hints(type(self))
        for one in fields(self):  # type: ignore[arg-type] # each subclass is a dataclass
            name, value = one.name, getattr(self, one.name)
            if value is None and one.default is None:
                continue
            _require_kind(name, value, kinds[name])
            rule = _NEEDED.get(f"{type(self).__name__}.{name}") or _NEEDED.get(name)
            if rule and not rule[1](value):
                raise _unfit(name, rule[0], value)


def _require_kind(name: str, value: Any, kind: Any) -> None:
    """Refuse a value of another kind than its field's, such as text for a number; files hold anything."""
    is_whole = type(value) is not bool and isinstance(value, Integral) and -(2**63) <= int(value) < 2**63
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        is_good, needed = any(value == one for one in choices), "one of " + ", ".join(choices)
    elif kind in (float, float | None):
        is_good, needed = isinstance(value, float) or is_whole, "a number"
    elif kind is int:
        is_good, needed = is_whole, "a whole number"
    elif kind is bool:
        is_good, needed = type(value) is bool, "yes or no"
    else:
        is_good, needed = kind is not str or type(value) is str, "text"
    if not is_good:
        raise _unfit(name, needed, value)


def _unfit(name: str, needed: str, value: object) -> ConfigError:
    return ConfigError(f"{name.replace('_', '-')} needs to be {needed}, got {shortened(value, 200)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class CNNConfig(Checked):
    """The handout's CNN: down to a quarter of the size and up again."""

    kernel: int = 3  # side of every convolution's window in pixels; odd
    num_filters: int = 32  # feature maps of the first block (NF); the middle has twice as many
    num_colours: int = 24  # classes per pixel (NC)
    num_in_channels: int = 1  # channels of the input (NIC); 1 is grey
    convolution: Literal["torch", "unfold"] = "torch"  # torch's kernel, or the written-out product
    scale: float = 1.0  # pixels x are read as scale x + shift: the a of question A4
    shift: float = 0.0  # the b of the same question


@dataclass(frozen=True, kw_only=True, slots=True)
class UNetConfig(CNNConfig):
    """The CNN's blocks with a skip connection around each pair; without all three it is the CNN."""

    skip_full: bool = True  # from the input to the last convolution, at full size
    skip_half: bool = True  # from the first block to the fifth, at half the size
    skip_quarter: bool = True  # from the second block to the fourth, at a quarter of the size


@dataclass(frozen=True, kw_only=True, slots=True)
class ColourNetConfig(Checked):
    """A frozen backbone and a light decoder, for photographs."""

    num_colours: int = 64  # classes per pixel
    num_in_channels: ClassVar[int] = 1  # channels of the input: grey
    backbone: str = "efficientnet_lite0"  # the frozen network; it needs maps at strides 4, 8, 16 and 32
    width: int = 96  # channels of the decoder's finest maps
    dropout: float = 0.2  # fraction of the finest maps that training leaves out, drawn for each photo
    saturation: float = 1.15  # factor on the chroma, which as a mean of possible colours is dull


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearNetConfig(Checked):
    """A frozen backbone and one linear layer, solved exactly: a colouriser from a few photos."""

    num_colours: int  # classes per pixel
    num_in_channels: ClassVar[int] = 1  # channels of the input: grey
    backbone: str = "efficientnet_lite0"  # the frozen network


HandoutConfig = CNNConfig | UNetConfig
NetConfig = HandoutConfig | ColourNetConfig | LinearNetConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig(Checked):
    """Options of training."""

    epochs: int = 25  # passes over the training images
    steps: int = 0  # updates of the weights, in place of `epochs`; 0: all of the epochs
    batch_size: int = 100  # images per step; need not divide the number of images
    learning_rate: float = 0.001  # of Adam; the peak, where the schedule has one
    schedule: Literal["constant", "one-cycle"] = "constant"  # one-cycle: as `optimise.rate_frac`
    warmup_frac: float = 0.2  # fraction of the steps in which the one-cycle schedule climbs
    optimiser: Literal["adam", "muon"] = "adam"  # muon: of convolutions, with Adam for the rest
    muon_rate: float = 0.15  # learning rate of Muon, which follows the same schedule; without effect on Adam
    momentum: float = 0.8  # momentum of Muon; without effect on Adam
    weight_decay: float = 0.0  # per step, times the learning rate, decoupled from the gradient
    crop_frac: float = 0.0  # fraction of the steps, the first ones, on a random quarter of each picture
    rebalance: float = 0.0  # weight of rare classes: 0 as they come, 1 until all weigh the same
    window: int = 0  # side in pixels of the random windows of photos that colournet trains on
    softness: float = 5.0  # how far, in Lab units, a colour counts for classes around it; of colournet
    film: float = 0.0  # fraction of the photos that are read as on old film; of colournet
    flip: bool = False  # mirror each training image left to right with probability one half
    reshuffle: bool = True  # new batch order each epoch; the handout's original never reshuffled
    precision: Precision = "auto"  # of convolutions; auto takes bf16 where that is measured to be faster
    seed: int = 0  # decides the initial weights, the order of batches and the flips


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig(Checked):
    """A whole run: network, data, label space, training."""

    net: NetConfig
    source: str  # where the pictures come from: cifar10:horse, cifar10:all, synthetic:shapes, folder:PATH
    palette: str = "handout24"  # name, path, or `learned` from the pictures of the run
    size: int = 64  # side in pixels of the squares that the photos of a folder are cut to
    train: TrainConfig = field(default_factory=TrainConfig)

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain values, for run.json; `from_dict` reads them."""
        nested = asdict(self)
        nested["net"]["name"] = NET_NAMES[type(self.net)]
        return nested

    @staticmethod
    def from_dict(nested: dict[str, Any]) -> RunConfig:
        """Read what `to_dict` wrote.

        Raises:
            ConfigError: a key is missing or unknown, or a value is out of range.
        """
        try:
            net = net_from_dict(nested["net"])
            train = {name: value for name, value in dict(nested["train"]).items() if name not in _RETIRED}
            others = {name: nested[name] for name in ("source", "palette", "size")}
            return RunConfig(net=net, train=TrainConfig(**train), **others)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"needed a run's configuration, got {shortened(nested, 200)} ({error!r})"
            ) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneOptions(Checked):
    """Options of learning a head from masks."""

    backbone: str = "efficientnet_lite0"
    """The frozen network: efficientnet_lite0 (inside the package), deeplabv3_resnet101, deeplabv3_resnet50,
    deeplabv3_mobilenet_v3_large, lraspp_mobilenet_v3_large, or timm:NAME."""
    weights: str | None = None
    """File of the backbone's weights, where they are neither installed nor downloaded."""
    sizes: tuple[int, ...] = ()
    """Short sides in pixels at which photos are read; the backbone's own if not given."""
    shots: int = 0
    """Photos to learn from, drawn by --seed; 0: all of the training part."""
    then_all: bool = False
    """Once the head is scored on the photos held out, learn it anew from these, too; its scores stay those of
    before."""
    looks: int = 0
    """Views of each photo, the first whole, others random crops; 0: more the fewer photos there are."""
    ridge: float | None = None
    """Weight decay, on features scaled to deviation 1; chosen by photos left out if not given."""
    rebalance: float = 0.0
    """Weight rare classes up: 0 not at all, 1 until all classes weigh the same."""
    policy: Policy = "last-layer"
    """Parts that learn: the last layer; with it the last stage of the network; or all of it. With stage and
    full the best epoch on photos that are not learned from is kept, Ctrl-C or not."""
    solver: Literal["exact", "adam"] = "exact"
    """Solver of the last layer: exact, or adam, the handout's loop, to compare with."""
    epochs: int = 0
    """Passes over the photos; 0: 10 with --solver adam, at most 20 with --policy stage or full."""
    batch_size: int = 8
    """Photos in a step."""
    learning_rate: float | None = None
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
        for one in fields(self):
            if one.name in names and getattr(self, one.name) != one.default:
                raise ConfigError(f"{one.name.replace('_', '-')} is an option of {whose}; leave it out")


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneConfig(FinetuneOptions):
    """A whole job of learning a head from masks."""

    source: str  # where photos and masks come from: flowers17, flowers17:classes, folder:PATH
    seed: int = 0  # decides which photos are drawn; with epochs, also their order and how they are varied


@dataclass(frozen=True, kw_only=True, slots=True)
class ColourFinetuneConfig(Checked):
    """Options of learning a linear network from colour photos."""

    source: str  # where they are: folder:PATH
    backbone: str = "efficientnet_lite0"  # the frozen network whose features it reads
    size: int = 192  # short side in pixels at which photos are read
    shots: int = 0  # photos drawn to learn from; 0: all but those that are held out
    looks: int = 0
    """Views of each photo, the first whole, others random crops; 0: more the fewer photos there are."""
    num_colours: int = 0  # classes per pixel; 0: 32, or fewer where the photos have fewer colours
    ridge: float | None = None
    """Weight decay, on features scaled to deviation 1; chosen by photos left out if not given."""
    seed: int = 0  # decides which photos are drawn, and where the palette's search begins


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentOptions(Checked):
    """Options of the files written beside the masks of photos."""

    overlay: bool = False
    """Beside each mask write NAME.overlay in the photo's own format: the photo with the classes' colours laid
    over it. A class 0 called background stays clear."""
    opacity: float = 0.5
    """Share of the colours in an overlay: 0 only outlines, 1 no photo to be seen."""
    probabilities: bool = False
    """Beside each mask write NAME.probabilities.tif: how likely each class is, a page of 16-bit grey each."""
    cut_out: bool = False
    """Beside each mask write NAME.cut.png: the photo, clear where the background is."""
    max_megapixels: float = 500.0
    """Refuse larger photos."""


HANDOUT_CONFIGS: dict[str, type[HandoutConfig]] = {"cnn": CNNConfig, "unet": UNetConfig}
NET_CONFIGS: dict[str, type[NetConfig]] = {
    **HANDOUT_CONFIGS,
    "colournet": ColourNetConfig,
    "linear": LinearNetConfig,
}
NET_NAMES = {config: name for name, config in NET_CONFIGS.items()}


def net_from_dict(values: dict[str, Any]) -> NetConfig:
    """Read a network's configuration from plain values with its `name`.

    Raises:
        ConfigError: the name is no network of ours, or a value does not fit.
    """
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
