"""Colour a photo with an exported model, by onnxruntime, numpy and pillow alone.

    pixelwise export photo -o photo.onnx
    python examples/colour_with_onnxruntime.py photo.onnx grey.jpg coloured.png

The model's file says to what size photos are scaled for it, what their sides are multiples of, and which
colours its classes are. The model gives the logits of these classes at a small size: the mean colour is
enlarged and joined with the photo's own luminance.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

# Linear sRGB to XYZ over white's, and back. Source: IEC 61966-2-1, D65.
TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
TO_XYZ /= TO_XYZ.sum(1, keepdims=True)
FROM_XYZ = np.linalg.inv(TO_XYZ)
LUMINANCE = TO_XYZ[1]


def main(model: str, source: str, target: str) -> None:
    """Colour `source` into `target`."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    facts = {key: json.loads(v) for key, v in session.get_modelmeta().custom_metadata_map.items()}

    if facts.get("task") != "colour":
        sys.exit(f"needed an exported colouriser, got {model}, whose task is {facts.get('task', 'unknown')}")

    photo = ImageOps.exif_transpose(Image.open(source)).convert("RGB")
    small = photo.resize(reading_size(photo.size, facts), Image.Resampling.BICUBIC)
    grey = read_grey(np.asarray(small), facts["palette"]["space"])[None, None]
    (logits,) = session.run(["logits"], {"grey": grey.astype(np.float32)})
    chroma = (mean_chroma(logits[0], facts["palette"]) * facts["saturation"]).astype(np.float32)
    enlarged = [
        np.asarray(Image.fromarray(plane).resize(photo.size, Image.Resampling.BICUBIC)) for plane in chroma
    ]
    luminance = to_linear(np.asarray(photo) / 255) @ LUMINANCE
    coloured = to_srgb(join(luminance, *enlarged))
    Image.fromarray((coloured * 255).round().astype(np.uint8)).save(target)


def reading_size(size: tuple[int, int], facts: dict) -> tuple[int, int]:
    """Width and height at which the model reads a photo of that width and height."""
    short, longest, multiple = facts["short_side"], facts["longest"], facts["multiple"]
    scale = min(short / min(size), longest * short / max(size))
    width, height = (max(multiple, round(side * scale / multiple) * multiple) for side in size)
    return width, height


def read_grey(codes: np.ndarray, space: str) -> np.ndarray:
    """What a model with a palette in that space reads: Lab's lightness, or the mean of the codes."""
    if space == "rgb":
        return codes.mean(-1) / 256
    return 1.16 * root(to_linear(codes / 255) @ LUMINANCE) - 0.16


def mean_chroma(logits: np.ndarray, palette: dict) -> np.ndarray:
    """Lab's a and b of the palette's colours, weighted by the probabilities of the classes."""
    weights = np.exp(logits - logits.max(0))
    mean = np.einsum("khw,kd->hwd", weights / weights.sum(0), palette["colours"])
    if palette["space"] == "rgb":
        x, y, z = np.moveaxis(root(to_linear(mean) @ TO_XYZ.T), -1, 0)
        return np.stack([500 * (x - y), 200 * (y - z)])
    return np.moveaxis(mean, -1, 0)


def join(luminance: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Linear sRGB of this luminance with this chroma, or as much of it as the gamut has room for."""
    light = root(luminance)
    x, z = cube(light + a / 500) - luminance, cube(light - b / 200) - luminance
    chroma = np.stack([x, np.zeros_like(x), z], -1) @ FROM_XYZ.T
    above = (1 - luminance) / np.maximum(chroma.max(-1), 1e-12)
    below = luminance / np.maximum(-chroma.min(-1), 1e-12)
    kept = np.clip(np.minimum(above, below), 0, 1)
    return np.clip(luminance[..., None] + chroma * kept[..., None], 0, 1)


def root(values: np.ndarray) -> np.ndarray:
    """Lab's compression. Source: CIE 15:2004."""
    return np.where(values > (6 / 29) ** 3, np.cbrt(values), values / (3 * (6 / 29) ** 2) + 4 / 29)


def cube(values: np.ndarray) -> np.ndarray:
    """The values that `root` compresses to these."""
    return np.where(values > 6 / 29, values**3, 3 * (6 / 29) ** 2 * (values - 4 / 29))


def to_linear(values: np.ndarray) -> np.ndarray:
    """Light of sRGB values. Source: IEC 61966-2-1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def to_srgb(light: np.ndarray) -> np.ndarray:
    """The sRGB values of light."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
