"""Configurations of networks, training and fine-tuning; values are checked where they enter."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from pixelwise.errors import ConfigError

LEARNED = "learned"  # the name of a palette that a run learns from its own pictures
Precision = Literal["auto", "fp32", "bf16"]
_RETIRED = {"accumulate", "shared_norm", "window_from"}  # of TrainConfig: older runs have them
Device = Literal["auto", "cpu", "cuda"]
Policy = Literal["last-layer", "stage", "full"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CNNConfig:
    """The handout's CNN: down to a quarter of the size and up again."""

    kernel: int = 3  # side of every convolution's window in pixels; odd
    num_filters: int = 32  # feature maps of the first block (NF); the middle has twice as many
    num_colours: int = 24  # classes per pixel (NC)
    num_in_channels: int = 1  # channels of the input (NIC); 1 is grey
    convolution: Literal["torch", "unfold"] = "torch"  # torch's kernel, or the written-out product
    scale: float = 1.0  # pixels x are read as scale x + shift: the a of question A4
    shift: float = 0.0  # the b of the same question

    def __post_init__(self) -> None:
        _require_kinds(self)
        _require(self.kernel % 2 == 1 and self.kernel > 0, "kernel", self.kernel, "odd and positive")
        _require_ranges(self, at_least_1="num_filters num_colours num_in_channels", finite="scale shift")


@dataclass(frozen=True, kw_only=True, slots=True)
class UNetConfig(CNNConfig):
    """The CNN's blocks with a skip connection around each pair; without all three it is the CNN."""

    skip_full: bool = True  # from the input to the last convolution, at full size
    skip_half: bool = True  # from the first block to the fifth, at half the size
    skip_quarter: bool = True  # from the second block to the fourth, at a quarter of the size


@dataclass(frozen=True, kw_only=True, slots=True)
class ColourNetConfig:
    """A frozen backbone and a light decoder, for photographs."""

    num_colours: int = 64  # classes per pixel
    num_in_channels: ClassVar[int] = 1  # channels of the input: grey
    backbone: str = "efficientnet_lite0"  # the frozen network; it needs maps at strides 4, 8, 16 and 32
    width: int = 96  # channels of the decoder's finest maps
    dropout: float = 0.2  # fraction of the finest maps that training leaves out, drawn for each photo
    saturation: float = 1.15  # factor on the chroma, which as a mean of possible colours is dull

    def __post_init__(self) -> None:
        _require_kinds(self)
        _require_ranges(self, at_least_1="num_colours width")
        _require(0 < self.saturation < 10, "saturation", self.saturation, "above 0 and below 10")
        _require(0 <= self.dropout < 1, "dropout", self.dropout, "at least 0 and below 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearNetConfig:
    """A frozen backbone and one linear layer, solved exactly: a colouriser from a few photos."""

    num_colours: int  # classes per pixel
    num_in_channels: ClassVar[int] = 1  # channels of the input: grey
    backbone: str = "efficientnet_lite0"  # the frozen network

    def __post_init__(self) -> None:
        _require_kinds(self)
        _require_ranges(self, at_least_1="num_colours")


HandoutConfig = CNNConfig | UNetConfig
NetConfig = HandoutConfig | ColourNetConfig | LinearNetConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
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

    def __post_init__(self) -> None:
        _require_kinds(self)
        _require(self.window >= 0 and self.window % 32 == 0, "window", self.window, "a multiple of 32")
        _require_ranges(
            self,
            at_least_0="steps weight_decay",
            at_least_1="epochs batch_size",
            above_0="learning_rate muon_rate softness",
            fractions="warmup_frac crop_frac momentum rebalance film",
        )
        require_seed(self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """A whole run: network, data, label space, training."""

    net: NetConfig
    source: str  # where the pictures come from: cifar10:horse, cifar10:all, synthetic:shapes, folder:PATH
    palette: str = "handout24"  # name, path, or `learned` from the pictures of the run
    size: int = 64  # side in pixels of the squares that the photos of a folder are cut to
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        for name in ("source", "palette"):
            _require(isinstance(getattr(self, name), str), name, getattr(self, name), "text")
        _require(_is_whole(self.size) and 8 <= self.size <= 1024, "size", self.size, "from 8 to 1024")

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
            raise ConfigError(f"needed a run's configuration, got {_short(nested)} ({error!r})") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneOptions:
    """How a head is learned from masks."""

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
    """What learns: the last layer; with it the last stage of the network; or all of it. With stage and full
    the best epoch on photos that are not learned from is kept, Ctrl-C or not."""
    solver: Literal["exact", "adam"] = "exact"
    """Of the last layer: exact, or adam, the handout's loop, to compare with."""
    epochs: int = 0
    """Passes over the photos; 0: 10 with --solver adam, at most 20 with --policy stage or full."""
    batch_size: int = 8
    """Photos in a step, of the same."""
    learning_rate: float | None = None
    """Of the same; if not given 0.01 with --solver adam, 0.0001 of the backbone with --policy."""

    def __post_init__(self) -> None:
        for name in ("shots", "looks", "epochs"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        _require(self.batch_size > 0, "batch_size", self.batch_size, "at least 1")
        for name in ("learning_rate", "ridge"):
            value = getattr(self, name)
            _require(value is None or 0 < value < float("inf"), name, value, "above 0")
        _require(all(16 <= size <= 2**12 for size in self.sizes), "sizes", self.sizes, "from 16 to 4096")
        _require(0 <= self.rebalance <= 1, "rebalance", self.rebalance, "between 0 and 1")
        _require(self.policy in get_args(Policy), "policy", self.policy, "last-layer, stage or full")
        _require(self.solver in ("exact", "adam"), "solver", self.solver, "exact or adam")
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

    source: str
    """Where photos and masks come from: flowers17, flowers17:classes, folder:PATH."""
    seed: int = 0
    """Decides which photos are drawn; with epochs, also their order and how they are varied."""

    def __post_init__(self) -> None:
        FinetuneOptions.__post_init__(self)
        require_seed(self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class ColourFinetuneConfig:
    """How a linear network is learned from colour photos."""

    source: str
    """Where they are: folder:PATH."""
    backbone: str = "efficientnet_lite0"
    """The frozen network whose features it reads."""
    size: int = 192
    """Short side in pixels at which photos are read."""
    shots: int = 0
    """Photos drawn to learn from; 0: all but those that are held out."""
    looks: int = 0
    """Views of each photo, the first whole, others random crops; 0: more the fewer photos there are."""
    num_colours: int = 0
    """Classes per pixel; 0: 32, or fewer where the photos have fewer colours."""
    ridge: float | None = None
    """Weight decay, on features scaled to deviation 1; chosen by photos left out if not given."""
    seed: int = 0
    """Decides which photos are drawn, and where the palette's search begins."""

    def __post_init__(self) -> None:
        for name in ("shots", "looks"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        _require(32 <= self.size <= 1024, "sizes", self.size, "from 32 to 1024")
        _require(0 <= self.num_colours <= 255, "num_colours", self.num_colours, "from 1 to 255")
        _require(self.ridge is None or 0 < self.ridge < float("inf"), "ridge", self.ridge, "above 0")
        require_seed(self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentOptions:
    """What is written beside the masks of photos."""

    overlay: bool = False
    """Beside each mask write NAME.overlay in the photo's own format: the photo with the classes' colours laid
    over it. A class 0 called background stays clear."""
    opacity: float = 0.5
    """How much of the colours an overlay has: 0 only outlines, 1 no photo to be seen."""
    probabilities: bool = False
    """Beside each mask write NAME.probabilities.tif: how likely each class is, a page of 16-bit grey each."""
    cut_out: bool = False
    """Beside each mask write NAME.cut.png: the photo, clear where the background is."""
    max_megapixels: float = 500.0
    """Refuse larger photos."""

    def __post_init__(self) -> None:
        _require(0 <= self.opacity <= 1, "opacity", self.opacity, "from 0 to 1")  # NaN is not, either
        _require(self.max_megapixels > 0, "max_megapixels", self.max_megapixels, "above 0")


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
        raise ConfigError(f"needed a network's name and settings, got {_short(values)}")
    values = dict(values)
    name = values.pop("name", None)
    if not isinstance(name, str) or name not in NET_CONFIGS:
        raise ConfigError(f"needed one of the networks {', '.join(NET_CONFIGS)}, got {_short(repr(name))}")
    known = {f.name for f in fields(NET_CONFIGS[name])}
    if unknown := set(values) - known:
        raise ConfigError(
            f"the network {name} has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}"
        )
    return NET_CONFIGS[name](**values)


def require_seed(seed: int) -> None:
    """Refuse a seed below 0 or of more than 32 bits, which some generators do not take.

    Raises:
        ConfigError: it is one.
    """
    _require(0 <= seed < 2**32, "seed", seed, "between 0 and 2^32 - 1")


def _require_kinds(config: NetConfig | TrainConfig) -> None:
    """Refuse values of another kind than their fields', such as text for a number; files hold anything."""
    kinds = get_type_hints(type(config))
    for name in (one.name for one in fields(config)):
        kind, value = kinds[name], getattr(config, name)
        if get_origin(kind) is Literal:
            choices = get_args(kind)
            _require(any(value == one for one in choices), name, value, "one of " + ", ".join(choices))
        elif kind is float:
            _require(type(value) is float or _is_whole(value), name, value, "a number")
        elif kind is int:
            _require(_is_whole(value), name, value, "a whole number")
        else:
            _require(type(value) is kind, name, value, "text" if kind is str else "yes or no")


def _require_ranges(
    config: object,
    at_least_0: str = "",
    at_least_1: str = "",
    above_0: str = "",
    fractions: str = "",
    finite: str = "",
) -> None:
    """Refuse values of the named fields that are out of range; None is in any."""
    infinity = float("inf")
    for names, needed, in_range in (
        (at_least_0, "at least 0", lambda value: 0 <= value < infinity),
        (at_least_1, "at least 1", lambda value: 1 <= value < infinity),
        (above_0, "above 0", lambda value: 0 < value < infinity),
        (fractions, "between 0 and 1", lambda value: 0 <= value <= 1),
        (finite, "finite", lambda value: abs(value) < infinity),
    ):
        for name in names.split():
            value = getattr(config, name)
            _require(value is None or in_range(value), name, value, needed)


def _is_whole(value: object) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def _require(good: bool, name: str, value: object, needed: str) -> None:
    if not good:
        raise ConfigError(f"{name.replace('_', '-')} needs to be {needed}, got {_short(value)}")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else text[:197] + "..."
