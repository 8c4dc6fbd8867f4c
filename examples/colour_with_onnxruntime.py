"""Colour a photo with an exported model, by onnxruntime, numpy and pillow alone.

    pixelwise export photo -o photo.onnx
    python examples/colour_with_onnxruntime.py photo.onnx grey.jpg coloured.png

The model's file says to what size photos are scaled for it, and what their sides are multiples of. The model
gives Lab's a and b at a small size; they are enlarged and joined with the photo's own luminance.
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
    planes = np.asarray(small, dtype=np.float32).transpose(2, 0, 1)[None] / 255
    (chroma,) = session.run(["chroma"], {"photo": planes})
    enlarged = [
        np.asarray(Image.fromarray(plane).resize(photo.size, Image.Resampling.BICUBIC)) for plane in chroma[0]
    ]
    luminance = to_linear(np.asarray(photo) / 255) @ (0.212671, 0.715160, 0.072169)
    coloured = to_srgb(join(luminance, *enlarged))
    Image.fromarray((coloured * 255).round().astype(np.uint8)).save(target)


def reading_size(size: tuple[int, int], facts: dict) -> tuple[int, int]:
    """Width and height at which the model reads a photo of that width and height."""
    short, longest, multiple = facts["short_side"], facts["longest"], facts["multiple"]
    scale = min(short / min(size), longest * short / max(size))
    width, height = (max(multiple, round(side * scale / multiple) * multiple) for side in size)
    return width, height


def join(luminance: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Linear sRGB of this luminance with this chroma, or as much of it as the gamut has room for."""
    root = np.where(luminance > (6 / 29) ** 3, np.cbrt(luminance), luminance / (3 * (6 / 29) ** 2) + 4 / 29)
    x, z = cube(root + a / 500) - luminance, cube(root - b / 200) - luminance
    chroma = np.stack([x, np.zeros_like(x), z], -1) @ FROM_XYZ.T
    above = (1 - luminance) / np.maximum(chroma.max(-1), 1e-12)
    below = luminance / np.maximum(-chroma.min(-1), 1e-12)
    kept = np.clip(np.minimum(above, below), 0, 1)
    return np.clip(luminance[..., None] + chroma * kept[..., None], 0, 1)


def cube(values: np.ndarray) -> np.ndarray:
    """Lab's compression undone. Source: CIE 15:2004."""
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
