"""The card of a model that was trained: what it learned from, how well, what it cannot do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pixelwise.config import NET_NAMES, ColourNetConfig, RunConfig
from pixelwise.runs import Manifest, Row

CARD = "card.md"
_LEFT_OUT = "left out "


def describe_run(folder: Path, manifest: Manifest, rows: Sequence[Row], command: str) -> str:
    """The card of a finished run, Markdown; `command` is what trains the same again."""
    config, last = manifest.config, rows[-1]
    left_out = [note.removeprefix(_LEFT_OUT) for note in manifest.notes if note.startswith(_LEFT_OUT)]
    pictures = config.source
    if any(manifest.num_images):
        num_train, num_val = manifest.num_images
        pictures += f": {num_train:,} pictures, {num_val:,} others to measure on, {len(left_out):,} left out"
    made_by = ", ".join(f"{name} {number}" for name, number in manifest.versions.items())
    facts = {
        "learned from": pictures,
        "network": _network(config),
        "palette": f"{config.net.num_colours} colours ({Path(config.palette).stem})",
        "trained": f"{last['step']:,} steps in {last['train_seconds']:.0f} s; "
        f"{manifest.machine.get('processor', 'processor unknown')}; {made_by}",
        "scores": f"{last['val_accuracy']:.2f} % of the pixels of the others in the right class, "
        f"cross-entropy {last['val_loss']:.4f} nats; on photos of your own: "
        f"`pixelwise evaluate {folder} folder:PATH`",
        "limits": "it knows what is in pictures like these and guesses at others; what it gives are likely "
        "colours, which need not be those that things had",
        "data SHA-256": manifest.data_sha256,
    }
    parts = [
        f"# {folder.name}",
        "\n".join(f"- {fact}: {text}" for fact, text in facts.items()),
        "\n".join(f"    {line}" for line in command.splitlines()),
    ]
    if left_out:
        parts += ["Left out:", "\n".join(f"- {one}" for one in left_out)]
    return "\n\n".join(parts) + "\n"


def _network(config: RunConfig) -> str:
    name = NET_NAMES[type(config.net)]
    if not isinstance(config.net, ColourNetConfig):
        return name
    return (
        f"{name} on {config.net.backbone}, which stays frozen; it reads photos at a short side of "
        f"{config.size}"
    )
