"""Cards of shipped models and heads: purpose, source, licence, and the checksum that the file must have.

A model NAME is `weights/NAME.onnx`, a head `weights/heads/NAME.safetensors`, and its card NAME.md lies beside
it; all names differ. The card opens with one `key: value` a line between two lines of dashes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from pixelwise.errors import CheckpointError
from pixelwise.files import checksum

SHIPPED = Path(__file__).parent / "weights"
SHIPPED_HEADS = SHIPPED / "heads"


@dataclass(frozen=True, kw_only=True)
class Card:
    """The facts about a shipped model."""

    purpose: str
    source: str  # the data it was trained on, and whose they are
    licence: str
    command: str  # that trained it
    error: str  # of its colours on photographs, in which unit, and that of grey
    score: str  # where it was trained, in which unit, and that of a baseline without a network
    limits: str
    checksum: str  # SHA-256 of the weights' file


def shipped_models() -> list[str]:
    """Return the names of the models inside the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.md"))


def shipped_heads() -> list[str]:
    """Return the names of the heads inside the package."""
    return sorted(path.stem for path in SHIPPED_HEADS.glob("*.safetensors"))


def weights_path(name: str) -> Path:
    """Return the path of a shipped model's or head's weights."""
    return SHIPPED_HEADS / f"{name}.safetensors" if name in shipped_heads() else SHIPPED / f"{name}.onnx"


def card_path(name: str) -> Path:
    """Return the path of a shipped model's or head's card."""
    return weights_path(name).with_suffix(".md")


def read_card(name: str) -> Card:
    """Read the facts on the card of a shipped model or head; a CheckpointError if one is missing."""
    path = card_path(name)
    try:
        _, facts, _ = path.read_text(encoding="utf-8").split("---\n", 2)
        return Card(**dict(line.split(": ", 1) for line in facts.splitlines()))
    except OSError as error:
        raise CheckpointError(f"the model {name} has no card at {path}; install pixelwise again") from error
    except (ValueError, TypeError) as error:
        needed = ", ".join(field.name for field in fields(Card))
        raise CheckpointError(
            f"{path} needs to open with one line each of {needed} between two lines --- ({error})"
        ) from error


def check_weights(name: str, sha256: str = "") -> str:
    """Return the SHA-256 of shipped weights; a CheckpointError if it is not this one, or its card's."""
    path, needed = weights_path(name), sha256 or read_card(name).checksum
    found = checksum(path) if path.is_file() else "none"
    if found != needed:
        raise CheckpointError(
            f"the weights of {name} are missing or damaged: {path} needs the SHA-256 {needed}, it has "
            f"{found}; install pixelwise again"
        )
    return found
