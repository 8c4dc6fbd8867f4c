"""Frozen means frozen: networks that no optimiser, batch norm or `.train()` changes, and the proof of it.

Clearing `requires_grad` alone leaves a network that changes: in training mode batch norm goes on averaging
what it sees, and dropout stays on. So freezing also keeps every part in evaluation mode, whatever a parent is
told, and a certificate compares all parameters and all buffers, bit for bit, before and after.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from types import MethodType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pixelwise.errors import ConfigError, FrozenError

Net = TypeVar("Net", bound=nn.Module)
_NUM_NAMED = 3  # in messages: as many as one reads


def freeze(net: Net) -> Net:
    """The network itself, frozen: nothing learns, and it stays in evaluation mode.

    Each of its parts ignores `.train()` from now on, also when a network around it passes the call on.
    """
    net.requires_grad_(False)
    for part in net.modules():
        part.training = False
        part.__dict__["train"] = MethodType(_stay_in_evaluation, part)
    return net


def _stay_in_evaluation(part: nn.Module, mode: bool = True) -> nn.Module:
    """What `.train()` does in a frozen network; `.eval()` is `.train(False)`, and still reaches all parts."""
    del mode
    return type(part).train(part, False)


def unfreeze(net: Net) -> Net:
    """The network itself, as it was before `freeze`: all of it learns, and obeys `.train()` again."""
    for part in net.modules():
        part.__dict__.pop("train", None)
    return net.requires_grad_(True)


def learn_only(net: nn.Module, *prefixes: str) -> tuple[str, ...]:
    """Freeze a network but for the parameters below prefixes, such as `classifier.4`; give their names.

    Only parameters thaw: batch norm below a prefix learns its scale and shift, and keeps its statistics.

    Raises:
        ConfigError: there is no parameter below one of the prefixes.
    """
    learned = names_below(net, *prefixes)
    parameters = dict(freeze(net).named_parameters())
    for name in learned:
        parameters[name].requires_grad_(True)
    return learned


def names_below(net: nn.Module, *prefixes: str) -> tuple[str, ...]:
    """The names of the parameters below prefixes, in the network's order.

    Raises:
        ConfigError: there is no parameter below one of the prefixes.
    """
    names = [name for name, _ in net.named_parameters()]
    below = {prefix: {one for one in names if f"{one}.".startswith(f"{prefix}.")} for prefix in prefixes}
    if wrong := [prefix for prefix in prefixes if not prefix or not below[prefix]]:
        layers = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
        raise ConfigError(
            f"needed the name of a layer to learn, got {wrong[0]!r}; "
            f"the last layers of this network are {', '.join(layers[-_NUM_NAMED:])}"
        )
    return tuple(name for name in names if any(name in inside for inside in below.values()))


def fingerprint(net: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all parameters and buffers, in their order."""
    return _together(_digests(net))


@dataclass(frozen=True)
class Certificate:
    """What a network's tensors were before and after, as fingerprints of those that were to stay."""

    before: str
    after: str
    num_tensors: int
    """Parameters and buffers that were compared."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


class Watch:
    """A network under watch; the certificate is there once the watch is over."""

    def __init__(self) -> None:
        self.certificate: Certificate | None = None


@contextlib.contextmanager
def certified(net: nn.Module, leave_out: Collection[str] = ()) -> Iterator[Watch]:
    """Watch a network, and certify at the end that it has not changed, but for the tensors left out by name.

    An error from inside goes on as it is, without a certificate.

    Raises:
        FrozenError: a parameter or buffer has changed, come or gone.
    """
    before, watch = _digests(net, leave_out), Watch()
    yield watch
    after = _digests(net, leave_out)
    changed = [name for name in before | after if before.get(name) != after.get(name)]
    if changed:
        more = f" and {len(changed) - _NUM_NAMED} more" if len(changed) > _NUM_NAMED else ""
        raise FrozenError(
            f"needed a network that stays as it is, but {', '.join(changed[:_NUM_NAMED])}{more} changed; "
            "freeze it before it learns, and leave out what is to learn"
        )
    watch.certificate = Certificate(_together(before), _together(after), len(before))


def _digests(net: nn.Module, leave_out: Collection[str] = ()) -> dict[str, str]:
    """SHA-256 of each parameter and buffer, with its type and shape, by name."""
    named = chain(net.named_parameters(), net.named_buffers())
    return {name: _digest(tensor) for name, tensor in named if name not in leave_out}


def _digest(tensor: Tensor) -> str:
    head = f"{tensor.dtype} {tuple(tensor.shape)} "
    codes = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    digest = hashlib.sha256(head.encode())
    digest.update(codes.numpy().data)
    return digest.hexdigest()


def _together(digests: dict[str, str]) -> str:
    return hashlib.sha256(
        "".join(f"{name} {sha256}\n" for name, sha256 in digests.items()).encode()
    ).hexdigest()
