"""Lab against published values, and against an independent implementation."""

import numpy as np
import pytest
from skimage.color import rgb2lab

from pixelwise.colour import spaces as colour

# Source: Bruce Lindbloom, CIE Color Calculator (sRGB, D65, no adaptation), primaries, secondaries and greys.
PUBLISHED = {
    (255, 0, 0): (53.2408, 80.0925, 67.2032),
    (0, 255, 0): (87.7347, -86.1827, 83.1793),
    (0, 0, 255): (32.2970, 79.1875, -107.8602),
    (0, 255, 255): (91.1132, -48.0875, -14.1312),
    (255, 0, 255): (60.3242, 98.2343, -60.8249),
    (255, 255, 0): (97.1393, -21.5537, 94.4780),
    (255, 255, 255): (100.0, 0.0, 0.0),
    (0, 0, 0): (0.0, 0.0, 0.0),
    (128, 128, 128): (53.5850, 0.0, 0.0),
}


@pytest.mark.parametrize(("code", "lab"), PUBLISHED.items())
def test_published_values(code, lab):
    srgb = np.array(code)[:, None, None] / 255
    np.testing.assert_allclose(colour.srgb_to_lab(srgb).ravel(), lab, atol=0.02, rtol=0)


@pytest.mark.parametrize(("code", "lab"), PUBLISHED.items())
def test_recolour_finds_published_colours_again(code, lab):
    lightness, a, b = np.array(lab)[:, None]
    root = (lightness + 16) / 116
    luminance = root**3 if lightness > 8 else lightness / 903.2963
    found = colour.recolour(luminance.clip(0, 1), a, b)[:, 0] * 255
    np.testing.assert_allclose(found, code, atol=1.0, rtol=0)


def test_agrees_with_scikit_image():
    rng = np.random.default_rng(0)
    image = rng.random((30, 40, 3))
    ours = np.moveaxis(colour.srgb_to_lab(np.moveaxis(image, -1, 0)), 0, -1)
    assert np.abs(ours - rgb2lab(image)).max() < 0.02
