"""Every knob of a run, on one page; the text under a field is its help."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from pixelwise.errors import ConfigError

LEARNED = "learned"
"""The name of a palette that a run learns from its own pictures."""
Precision = Literal["auto", "fp32", "bf16"]
Device = Literal["auto", "cpu", "cuda"]
Policy = Literal["last-layer", "stage", "full"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CNNConfig:
    """The handout's CNN: down to a quarter of the size and up again."""

    kernel: int = 3
    """Side of every convolution's window in pixels; odd."""
    num_filters: int = 32
    """Feature maps of the first block (NF); the middle has twice as many."""
    num_colours: int = 24
    """Classes per pixel (NC)."""
    num_in_channels: int = 1
    """Channels of the input (NIC); 1 is grey."""
    convolution: Literal["torch", "unfold"] = "torch"
    """MyConv2d on torch's kernel, or as the written-out matrix product; equal in value and gradient."""
    scale: float = 1.0
    """Every pixel x of the input is read as scale x + shift: the a of the handout's question A4."""
    shift: float = 0.0
    """The b of the same question."""

    def __post_init__(self) -> None:
        _require_kinds(self)
        for name in ("scale", "shift"):
            _require(abs(getattr(self, name)) < float("inf"), name, getattr(self, name), "finite")
        _require(self.kernel % 2 == 1 and self.kernel > 0, "kernel", self.kernel, "odd and positive")
        for name in ("num_filters", "num_colours", "num_in_channels"):
            _require(getattr(self, name) > 0, name, getattr(self, name), "at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class UNetConfig(CNNConfig):
    """The same blocks as the CNN, with a skip connection around each pair.

    A skip that is left out takes its channels from the convolution that reads it; without all three the
    network is the CNN.
    """

    skip_full: bool = True
    """From the input to the last convolution, at full size."""
    skip_half: bool = True
    """From the first block to the fifth, at half the size."""
    skip_quarter: bool = True
    """From the second block to the fourth, at a quarter of the size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ColourNetConfig:
    """A frozen backbone and a light decoder, for photographs."""

    num_colours: int = 64
    """Classes per pixel."""
    num_in_channels: ClassVar[int] = 1
    """Channels of the input: grey."""
    backbone: str = "efficientnet_lite0"
    """The frozen network that looks at the photo; it needs maps at strides 4, 8, 16 and 32."""
    width: int = 96
    """Channels of the decoder's finest maps."""
    dropout: float = 0.2
    """Share of the finest maps that training leaves out, drawn for each photo anew."""
    saturation: float = 1.15
    """Factor on the mean chroma: the mean of what is possible is duller than any of it."""

    def __post_init__(self) -> None:
        _require_kinds(self)
        for name in ("num_colours", "width"):
            _require(getattr(self, name) > 0, name, getattr(self, name), "at least 1")
        _require(0 < self.saturation < 10, "saturation", self.saturation, "above 0 and below 10")
        _require(0 <= self.dropout < 1, "dropout", self.dropout, "at least 0 and below 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearNetConfig:
    """A frozen backbone and one linear layer, which is solved exactly: a colouriser from a few photos."""

    num_colours: int
    """Classes per pixel."""
    num_in_channels: ClassVar[int] = 1
    """Channels of the input: grey."""
    backbone: str = "efficientnet_lite0"
    """The frozen network that looks at the photo."""

    def __post_init__(self) -> None:
        _require_kinds(self)
        _require(self.num_colours > 0, "num_colours", self.num_colours, "at least 1")


HandoutConfig = CNNConfig | UNetConfig
NetConfig = HandoutConfig | ColourNetConfig | LinearNetConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """How a network learns."""

    epochs: int = 25
    """Passes over the training images."""
    steps: int = 0
    """Updates of the weights, in place of `epochs`, and be it within an epoch; 0: all of the epochs."""
    batch_size: int = 100
    """Images per step; need not divide the number of images."""
    learning_rate: float = 0.001
    """Of Adam; the peak, where the schedule has one."""
    schedule: Literal["constant", "one-cycle"] = "constant"
    """Constant, or up to the learning rate over `warmup_frac` and down to nothing along a straight line."""
    warmup_frac: float = 0.2
    """Share of the steps that the one-cycle schedule climbs."""
    optimiser: Literal["adam", "muon"] = "adam"
    """Adam (fused) for everything, or Muon for the convolutions' weights and Adam for the rest."""
    muon_rate: float = 0.15
    """Learning rate of Muon, which follows the same schedule; without effect on Adam."""
    momentum: float = 0.8
    """Momentum of Muon; without effect on Adam."""
    weight_decay: float = 0.0
    """Decoupled from the gradient: weights shrink by this times the learning rate each step."""
    crop_frac: float = 0.0
    """Share of the first steps that see a random quarter of each picture (half the height and width)."""
    rebalance: float = 0.0
    """Weight rare classes up: 0 not at all, 1 until all weigh the same; 0.5 keeps colours from going grey."""
    window: int = 0
    """Side in pixels of the windows of the pictures that colournet learns from; other networks have none."""
    window_from: float = 0.55
    """The smallest window shows this share of a picture's height and width, the largest all of it."""
    softness: float = 5.0
    """How far, in Lab units, a colour still counts for the classes around it; of colournet."""
    film: float = 0.0
    """Share of the pictures that colournet reads as if on old film: red blind, faded, grainy or blurred."""
    flip: bool = False
    """Mirror each training image left to right with probability one half."""
    reshuffle: bool = True
    """New batch order each epoch; off is the handout's original, which never reshuffled."""
    precision: Precision = "auto"
    """Of the convolutions; auto takes bf16 where the processor computes it faster, measured at the start."""
    accumulate: int = 1
    """Parts in which a batch is gone through, one after the other: less memory, batch norm sees a part."""
    shared_norm: bool = True
    """Of several processes: batch norm over the whole batch, as on one; off: each by its own share."""
    seed: int = 0
    """Decides the initial weights, the order of batches and the flips."""

    def __post_init__(self) -> None:
        _require_kinds(self)
        _require(self.epochs > 0, "epochs", self.epochs, "at least 1")
        _require(self.steps >= 0, "steps", self.steps, "at least 0")
        _require(self.batch_size > 0, "batch_size", self.batch_size, "at least 1")
        most = f"from 1 to the batch size, {self.batch_size}"
        _require(0 < self.accumulate <= self.batch_size, "accumulate", self.accumulate, most)
        for name in ("learning_rate", "muon_rate"):
            _require(0 < getattr(self, name) < float("inf"), name, getattr(self, name), "above 0")
        for name in ("warmup_frac", "crop_frac", "momentum", "rebalance", "film", "window_from"):
            _require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "between 0 and 1")
        _require(self.window >= 0 and self.window % 32 == 0, "window", self.window, "a multiple of 32")
        _require(0 < self.softness < float("inf"), "softness", self.softness, "above 0")
        _require(0 <= self.weight_decay < float("inf"), "weight_decay", self.weight_decay, "at least 0")
        require_seed(self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """A whole run: network, data, label space, training."""

    net: NetConfig
    source: str
    """Where the pictures come from: cifar10:horse, cifar10:all, synthetic:shapes, folder:PATH."""
    palette: str = "handout24"
    """Name of a palette in the package, path of a palette file, or `learned`: of the run's own pictures."""
    size: int = 64
    """Side in pixels of the squares that the photos of a folder are cut to."""
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        for name in ("source", "palette"):
            _require(isinstance(getattr(self, name), str), name, getattr(self, name), "text")
        _require(_is_whole(self.size) and 8 <= self.size <= 1024, "size", self.size, "from 8 to 1024")

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, for run.json; `from_dict` reads them back."""
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
            train = TrainConfig(**nested["train"])
            return RunConfig(
                net=net,
                source=nested["source"],
                palette=nested["palette"],
                size=nested["size"],
                train=train,
            )
        except (KeyError, TypeError) as error:
            raise ConfigError(f"needed a run's configuration, got {_short(nested)} ({error!r})") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneConfig:
    """How a head is learned from masks."""

    source: str
    """Where photos and masks come from: flowers17, flowers17:classes, folder:PATH."""
    backbone: str = "efficientnet_lite0"
    """The frozen network whose features the head reads; `timm:NAME` for any of timm's."""
    weights: str | None = None
    """File of the backbone's weights; those it was published with if not given."""
    sizes: tuple[int, ...] = ()
    """Short sides in pixels at which photos are read; the backbone's own if empty."""
    shots: int = 0
    """Photos drawn to learn from; 0: all of the part `train`."""
    then_all: bool = False
    """Whether, once it is scored, the head is learned anew from the photos of `val`, too."""
    looks: int = 0
    """Looks at each photo, the first at the whole, others closer; 0: more the fewer photos there are."""
    ridge: float | None = None
    """Keeps weights small, on features scaled to deviation 1; chosen by photos left out if not given."""
    rebalance: float = 0.0
    """Weight rare classes up: 0 not at all, 1 until all weigh the same."""
    loss: Literal["pixels", "whole"] = "pixels"
    """Of a sample of pixels, or of every labelled pixel at full size, through the enlargement."""
    policy: Policy = "last-layer"
    """What learns: the head, the last stage of the backbone with it, or all of the backbone with it."""
    solver: Literal["exact", "adam"] = "exact"
    """Of the head: the best there is from features computed once, or the handout's loop, to compare with."""
    epochs: int = 0
    """Passes over the photos; 0: 10 of the handout's loop, at most 20 of the policies stage and full."""
    batch_size: int = 8
    """Photos in a step, of the same three."""
    learning_rate: float | None = None
    """Of the same three; 0.01 of the handout's loop, 0.0001 of a backbone that learns, if not given."""
    advise: bool = False
    """Whether to measure what the policy stage would gain over last-layer, and what it would cost."""
    seed: int = 0
    """Decides which photos are drawn; with epochs, also their order and how they are varied."""

    def __post_init__(self) -> None:
        for name in ("shots", "looks", "epochs"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        _require(self.batch_size > 0, "batch_size", self.batch_size, "at least 1")
        rate = self.learning_rate
        _require(rate is None or 0 < rate < float("inf"), "learning_rate", rate, "above 0")
        _require(all(16 <= size <= 2**12 for size in self.sizes), "sizes", self.sizes, "from 16 to 4096")
        _require(self.ridge is None or 0 < self.ridge < float("inf"), "ridge", self.ridge, "above 0")
        _require(0 <= self.rebalance <= 1, "rebalance", self.rebalance, "between 0 and 1")
        _require(self.loss in ("pixels", "whole"), "loss", self.loss, "pixels or whole")
        _require(self.policy in get_args(Policy), "policy", self.policy, "last-layer, stage or full")
        _require(self.solver in ("exact", "adam"), "solver", self.solver, "exact or adam")
        self._require_use()
        require_seed(self.seed)

    @property
    def has_epochs(self) -> bool:
        """Whether photos are passed over again and again, instead of looked at once."""
        return self.policy != "last-layer" or self.solver == "adam"

    def _require_use(self) -> None:
        """Refuse options that would do nothing."""
        if self.policy != "last-layer" and self.solver != "exact":
            raise ConfigError(
                f"solver {self.solver} learns the last layer alone, got policy {self.policy}; leave one out"
            )
        if self.advise and self.has_epochs:
            raise ConfigError(
                "advise is given beside policy last-layer and solver exact; leave the others out"
            )
        if self.solver == "adam":
            self._refuse(("looks", "ridge", "rebalance", "loss"), "solver exact")
        if not self.has_epochs:
            self._refuse(("epochs", "batch_size", "learning_rate"), "policy stage or full, or of solver adam")

    def _refuse(self, names: tuple[str, ...], whose: str) -> None:
        defaults = {one.name: one.default for one in fields(self)}
        for name in names:
            if getattr(self, name) != defaults[name]:
                raise ConfigError(f"{name.replace('_', '-')} is an option of {whose}; leave it out")


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
    """Looks at each photo, the first at the whole, others closer; 0: more the fewer photos there are."""
    num_colours: int = 0
    """Classes per pixel; 0: 32, or fewer where the photos have fewer colours."""
    ridge: float | None = None
    """Keeps weights small, on features scaled to deviation 1; chosen by photos left out if not given."""
    seed: int = 0
    """Decides which photos are drawn, and where the palette's search begins."""

    def __post_init__(self) -> None:
        for name in ("shots", "looks"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        _require(32 <= self.size <= 1024, "sizes", self.size, "from 32 to 1024")
        _require(0 <= self.num_colours <= 255, "num_colours", self.num_colours, "from 1 to 255")
        _require(self.ridge is None or 0 < self.ridge < float("inf"), "ridge", self.ridge, "above 0")
        require_seed(self.seed)


HANDOUT_CONFIGS: dict[str, type[HandoutConfig]] = {"cnn": CNNConfig, "unet": UNetConfig}
NET_CONFIGS: dict[str, type[NetConfig]] = {
    **HANDOUT_CONFIGS,
    "colournet": ColourNetConfig,
    "linear": LinearNetConfig,
}
NET_NAMES = {config: name for name, config in NET_CONFIGS.items()}


def net_from_dict(values: dict[str, Any]) -> NetConfig:
    """A network's configuration from plain values with its `name`.

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
    """Refuse a seed that one of the generators behind it does not take.

    Raises:
        ConfigError: it is below 0 or has more than 32 bits.
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


def _is_whole(value: object) -> bool:
    """Whether a value is a whole number of at most 64 bits."""
    return type(value) is int and -(2**63) <= value < 2**63


def _require(good: bool, name: str, value: object, needed: str) -> None:
    if not good:
        raise ConfigError(f"{name.replace('_', '-')} needs to be {needed}, got {_short(value)}")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else text[:197] + "..."
