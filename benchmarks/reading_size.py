"""At which size a model should read photos, and at which temperature: error and strength of its colours.

    python benchmarks/reading_size.py [--model NAME] [--num N] [--data-dir DIR]

Needs DIR/photos (or PIXELWISE_DATA/photos) with colour photographs named bsds_*.jpg, which no model of ours
has learned from. Prints, beside leaving the photos grey, the root mean square error of a and b together and
the mean chroma, both in Lab units over all pixels at a quarter of the photos' size.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelwise.colour import srgb_to_lab
from pixelwise.photos.photo import open_photo
from pixelwise.predict import predict
from pixelwise.runs import DEFAULT_MODEL, open_model

SIZES, TEMPERATURES = (32, 48, 64, 96), (0.4, 0.6, 0.8, 1.0, 1.3)


def measure(ab: Tensor, true: Tensor) -> Tensor:
    """Mean squared error and mean chroma of one photo."""
    return torch.stack([(ab - true).square().sum(0).mean(), ab.norm(dim=0).mean()])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--num", type=int, default=75)
    parser.add_argument("--data-dir", default=os.environ.get("PIXELWISE_DATA", "."))
    options = parser.parse_args()
    model = open_model(options.model)
    found = sorted((Path(options.data_dir) / "photos").glob("bsds_*.jpg"))
    paths = found[:: max(1, len(found) // options.num)]
    rows: dict[str, list[Tensor]] = defaultdict(list)
    for path in paths:
        photo = open_photo(path)
        true = srgb_to_lab(photo.thumbnail(photo.height // 4, photo.width // 4) / 255)[1:]
        rows["true colours"].append(measure(true, true))
        rows["left grey"].append(measure(torch.zeros_like(true), true))
        for size in SIZES:
            prediction = predict(photo, replace(model, size=size))
            for temperature in TEMPERATURES:
                small = prediction.chroma(temperature)[None]
                ab = F.interpolate(small, true.shape[1:], mode="bicubic", align_corners=False)[0]
                rows[f"size {size:3}, T {temperature}"].append(measure(ab, true))
    print(f"{options.model}, n = {len(paths)} photos\n{'':16} ab RMSE  chroma")
    for name, values in rows.items():
        error, chroma = torch.stack(values).mean(0).tolist()
        print(f"{name:16} {error**0.5:7.2f} {chroma:7.1f}")


if __name__ == "__main__":
    main()
