"""Compare sizes at which a model reads photos, and ways to decode its output: error and colourfulness.

    python benchmarks/reading_size.py PHOTOS [--model NAME] [--sizes 160,192,224,256] [--num 75]

PHOTOS is a folder of colour photos that the model has not learned from. Prints, by the protocol of `pixelwise
evaluate` (docs/evaluation.md), CIEDE2000, the root mean square error of a and b, and colourfulness beside the
originals', of each size, temperature and saturation; and of leaving the photos grey.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace

import numpy as np

from pixelwise.colourising.options import ColouriseOptions
from pixelwise.colourising.prediction import Prediction
from pixelwise.evaluate.colour_scores import PhotoColours, colour_scores
from pixelwise.evaluate.colours import SIZE, colour_picture, painted, read_picture
from pixelwise.network.model import DEFAULT_MODEL, open_model
from pixelwise.photos.find import find_photos

TEMPERATURES, SATURATIONS = (0.7, 0.85, 1.0, 1.2), (1.0, 1.1, 1.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("photos")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--sizes", default="160,192,224,256")
    parser.add_argument("--num", type=int, default=75)
    options = parser.parse_args()
    model = open_model(options.model)
    found = sorted(one.path for one in find_photos([options.photos], recursive=True)[0])
    paths = found[:: max(1, len(found) // options.num)]
    print(f"{options.model}, n = {len(paths)} photos\n{'':32} CIEDE2000  ab RMSE  colourfulness")
    pictures = [read_picture(path, SIZE) for path in paths]

    def tell(name: str, copies: list[np.ndarray]) -> None:
        each = [PhotoColours.of(copy, one) for copy, one in zip(copies, pictures, strict=True)]
        scores = colour_scores(each)
        row = [scores[key].value for key in ("ciede2000", "ab_rmse", "colourfulness_ratio")]
        print(f"{name:32} {row[0]:9.2f} {row[1]:8.2f} {row[2]:14.2f}", flush=True)

    tell("left grey", [painted(codes, np.zeros((2, 1, 1), np.float32)) for codes in pictures])
    for size in (int(one) for one in options.sizes.split(",")):
        reading = replace(model, size=size)
        said: list[Prediction] = [
            colour_picture(codes, path, reading, ColouriseOptions())[2]
            for codes, path in zip(pictures, paths, strict=True)
        ]
        for temperature, saturation in itertools.product(TEMPERATURES, SATURATIONS):
            chromas = [one.chroma(temperature, saturation) for one in said]
            copies = [painted(codes, chroma) for codes, chroma in zip(pictures, chromas, strict=True)]
            tell(f"size {size}, temperature {temperature}, saturation {saturation}", copies)


if __name__ == "__main__":
    main()
