"""Networks that no optimiser, batch norm or `.train()` changes, and the certificate that they did not change.

Clearing `requires_grad` alone leaves batch norm averaging and dropout on. So freezing also keeps every part
in evaluation mode, and a certificate compares all parameters and buffers, bit for bit, before and after.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterator
from itertools import chain
from types import MethodType
from typing import TypeVar

import torch
from torch import nn

from pixelwise.errors import ConfigError, FrozenError
from pixelwise.network.backbone import Certificate

Net = TypeVar("Net", bound=nn.Module)


def freeze(net: Net) -> Net:
    """Freeze a network in place and return it: nothing learns, and each part ignores `.train()`."""
    net.requires_grad_(False)
    for part in net.modules():
        part.training = False
        part.__dict__["train"] = MethodType(_stay_in_evaluation, part)
    return net


def _stay_in_evaluation(part: nn.Module, _mode: bool = True) -> nn.Module:
    return type(part).train(part, False)  # .eval() is .train(False), and still reaches all parts


def learn_only(net: nn.Module, *prefixes: str) -> tuple[str, ...]:
    """Freeze a network but for the parameters below prefixes, such as `classifier.4`; return their names.

    Batch norm below a prefix learns its scale and shift, and keeps its statistics. A ConfigError if there is
    no parameter below one of the prefixes.
    """
    names = [name for name, _ in net.named_parameters()]
    for prefix in prefixes:
        if not any(f"{name}.".startswith(f"{prefix}.") for name in names):
            layers = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
            raise ConfigError(
                f"needed the name of a layer to learn, got {prefix!r}; "
                f"the last layers of this network are {', '.join(layers[-3:])}"
            )
    learned = [name for name in names if f"{name}.".startswith(tuple(f"{prefix}." for prefix in prefixes))]
    freeze(net)
    for name in learned:
        net.get_parameter(name).requires_grad_(True)
    return tuple(learned)


@contextlib.contextmanager
def certified(net: nn.Module, leave_out: Collection[str] = ()) -> Iterator[Certificate]:
    """Certify that all tensors of a network stay, but for those left out by name; else a FrozenError."""
    before = _digests(net, leave_out)
    certificate = Certificate(_digest_of(before), "", len(before))
    yield certificate
    after = _digests(net, leave_out)
    if changed := [name for name in before | after if before.get(name) != after.get(name)]:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise FrozenError(
            f"needed a network that stays as it is, but {', '.join(changed[:3])}{more} changed; "
            "freeze it before it learns, and leave out what is to learn"
        )
    certificate.after = _digest_of(after)


def fingerprint(net: nn.Module) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of all parameters and buffers, in order."""
    return _digest_of(_digests(net))


def _digests(net: nn.Module, leave_out: Collection[str] = ()) -> dict[str, str]:
    digests = {}
    for name, tensor in chain(net.named_parameters(), net.named_buffers()):
        if name not in leave_out:
            digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
            digests[name] = digest.hexdigest()
    return digests


def _digest_of(digests: dict[str, str]) -> str:
    lines = "".join(f"{name} {digest}\n" for name, digest in digests.items())
    return hashlib.sha256(lines.encode()).hexdigest()
