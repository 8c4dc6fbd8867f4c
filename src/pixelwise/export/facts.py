"""What users of an exported file have to know: how to read photos, what comes out, whose it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pixelwise.backbones import Backbone
from pixelwise.cards import read_card, shipped_heads, shipped_models, weights_path
from pixelwise.export.graphs import photo_names
from pixelwise.files import checksum
from pixelwise.heads import Head
from pixelwise.models import ColourNet, LinearNet
from pixelwise.photos.view import LONGEST
from pixelwise.runs import Model
from pixelwise.version import __version__

_RANGE = "sRGB from 0 to 1, N 3 H W; a grey photo has its grey three times"


def facts_of_model(model: Model) -> dict[str, Any]:
    """Of a colouriser."""
    net = model.net
    backbone = net.backbone if isinstance(net, ColourNet | LinearNet) else None
    return _common(model.name, backbone) | {
        "task": "colour",
        "checksum": model.checksum,
        "inputs": {"photo": _RANGE, "temperature": "above 0; 1 where none is given"},
        "outputs": {
            "chroma": "CIE Lab a and b, D65, to join with the photo's own L; enlarge it bicubically",
            "logits": "of each class of the palette",
        },
        "short_side": model.size,
        "multiple": net.stride,
        "longest": LONGEST,
        "out_stride": net.out_stride,
        "palette": model.palette.to_dict(),
        "saturation": net.saturation,
        "normalisation": "inside",
    }


def facts_of_head(head: Head, backbone: Backbone) -> dict[str, Any]:
    """Of a head."""
    return _common(head.name, backbone) | {
        "task": "segment",
        "checksum": checksum(weights_path(head.name) if head.name in shipped_heads() else Path(head.name)),
        "inputs": dict.fromkeys(photo_names(head), _RANGE) | {"size": "height and width of the logits"},
        "outputs": {"logits": "of each class; the class of a pixel is the one whose logit is largest"},
        "short_side": list(head.sizes),
        "multiple": backbone.multiple,
        "longest": LONGEST,
        "out_stride": 1,
        "classes": head.classes.to_dict(),
        "normalisation": "inside",
    }


def facts_of_backbone(backbone: Backbone) -> dict[str, Any]:
    """Of the file that looks, where the head is one of its own."""
    return _common(backbone.name, backbone) | {
        "task": "look",
        "checksum": backbone.checksum,
        "inputs": {"photo": _RANGE},
        "outputs": {
            level.name: f"{level.channels} maps at stride {level.stride}" for level in backbone.levels
        },
        "multiple": backbone.multiple,
        "normalisation": {"mean": backbone.mean, "std": backbone.std, "where": "inside"},
    }


def _common(name: str, backbone: Backbone | None) -> dict[str, Any]:
    shipped = name in shipped_models() + shipped_heads()
    licence = read_card(name).licence if shipped else "that of whoever made it"
    facts = {"name": name, "made_by": f"pixelwise {__version__}", "licence": licence}
    if backbone is None:
        return facts
    return facts | {
        "backbone": backbone.name,
        "backbone_checksum": backbone.checksum,
        "backbone_licence": backbone.licence,
        "backbone_source": backbone.source,
    }
