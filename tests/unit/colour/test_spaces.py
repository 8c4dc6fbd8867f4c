import numpy as np
import pytest

from pixelwise.colour import spaces as colour

pytestmark = pytest.mark.core


def luminance(srgb: np.ndarray) -> np.ndarray:
    linear = colour.srgb_to_linear(srgb)
    return sum(w * c for w, c in zip(colour.LUMINANCE_WEIGHTS, linear, strict=True))


def test_lightness_of_luminance_is_labs():
    image = np.random.default_rng(0).random((3, 20, 30), np.float32)
    lightness = colour.luminance_to_lightness(luminance(image))
    np.testing.assert_allclose(lightness, colour.srgb_to_lab(image)[0], atol=1e-3, rtol=0)
    np.testing.assert_allclose(colour.lightness(image)[0], lightness, rtol=1.3e-6)


def test_recolour_agrees_with_lab_in_gamut():
    image = np.random.default_rng(1).random((3, 50, 60), np.float32)
    _, a, b = lab = colour.srgb_to_lab(image)
    recoloured = colour.recolour(luminance(image), a, b)
    np.testing.assert_allclose(recoloured, colour.lab_to_srgb(lab), atol=1e-3, rtol=0)


def test_out_of_gamut_keeps_its_hue_in_linear_light():
    wanted = colour.recolour(np.full(1, 0.3), np.full(1, 90.0), np.full(1, 60.0))
    milder = colour.recolour(np.full(1, 0.3), np.full(1, 100.0), np.full(1, 66.7))
    assert wanted.max() == pytest.approx(1.0, abs=1e-5)
    assert wanted[0] > wanted[1] > wanted[2] or wanted[0] > wanted[2] > wanted[1]
    np.testing.assert_allclose(wanted, milder, atol=0.05, rtol=0)
