import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from kornia.color import lab_to_rgb

from pixelwise.colour import spaces as colour

unit = st.floats(0, 1, width=32)
axis = st.floats(-128, 128, width=32)


def luminance_of(srgb: np.ndarray) -> np.ndarray:
    linear = colour.srgb_to_linear(srgb)
    return sum(w * c for w, c in zip(colour.LUMINANCE_WEIGHTS, linear, strict=True))


@given(luminance=unit, a=axis, b=axis)
def test_lightness_stays_and_colour_is_in_gamut(luminance, a, b):
    shade, a, b = np.array([[luminance], [a], [b]])
    srgb = colour.recolour(shade, a, b)
    assert 0 <= srgb.min() <= srgb.max() <= 1
    found = colour.luminance_to_lightness(luminance_of(srgb))
    assert abs(found - colour.luminance_to_lightness(shade)) < 1e-3


@given(red=unit, green=unit, blue=unit)
def test_a_colours_own_chroma_brings_it_back(red, green, blue):
    srgb = np.array([red, green, blue])[:, None, None]
    _, a, b = colour.srgb_to_lab(srgb)
    assert np.abs(colour.recolour(luminance_of(srgb), a, b) - srgb).max() < 2e-3


@given(luminance=st.floats(0.01, 0.99), a=axis, b=axis)
def test_a_colour_out_of_gamut_comes_back_no_further_than_its_edge(luminance, a, b):
    shade, a, b = np.array([[luminance], [a], [b]])
    lab = np.array([colour.luminance_to_lightness(shade), a, b])[..., None]
    wanted = lab_to_rgb(torch.from_numpy(lab), clip=False)
    srgb = colour.recolour(shade, a, b)
    if wanted.min() < -0.01 or wanted.max() > 1.01:
        assert srgb.min() < 1e-6 or srgb.max() > 1 - 1e-6
