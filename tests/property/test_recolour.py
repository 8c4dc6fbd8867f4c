import torch
from hypothesis import given
from hypothesis import strategies as st
from kornia.color import lab_to_rgb

from pixelwise.colour import spaces as colour

unit = st.floats(0, 1, width=32)
axis = st.floats(-128, 128, width=32)


def lightness(srgb: torch.Tensor) -> float:
    linear = colour.srgb_to_linear(srgb)
    return float(
        colour.luminance_to_lightness(
            sum(w * c for w, c in zip(colour.LUMINANCE_WEIGHTS, linear, strict=True))
        )
    )


@given(luminance=unit, a=axis, b=axis)
def test_lightness_stays_and_colour_is_in_gamut(luminance, a, b):
    shade = torch.tensor(luminance, dtype=torch.float64)
    srgb = colour.recolour(shade, torch.tensor(a).double(), torch.tensor(b).double())
    assert 0 <= float(srgb.min()) <= float(srgb.max()) <= 1
    assert abs(lightness(srgb) - float(colour.luminance_to_lightness(shade))) < 1e-3


@given(red=unit, green=unit, blue=unit)
def test_a_colours_own_chroma_brings_it_back(red, green, blue):
    srgb = torch.tensor([red, green, blue], dtype=torch.float64)
    _, a, b = colour.srgb_to_lab(srgb[:, None, None])[:, 0, 0]
    linear = colour.srgb_to_linear(srgb)
    luminance = sum(w * c for w, c in zip(colour.LUMINANCE_WEIGHTS, linear, strict=True))
    assert (colour.recolour(luminance, a, b) - srgb).abs().max() < 2e-3


@given(luminance=st.floats(0.01, 0.99), a=axis, b=axis)
def test_a_colour_out_of_gamut_comes_back_no_further_than_its_edge(luminance, a, b):
    shade, a, b = (torch.tensor(value, dtype=torch.float64) for value in (luminance, a, b))
    lab = torch.stack([colour.luminance_to_lightness(shade), a, b])[:, None, None]
    wanted = lab_to_rgb(lab, clip=False)
    srgb = colour.recolour(shade, a, b)
    if wanted.min() < -0.01 or wanted.max() > 1.01:
        assert srgb.min() < 1e-6 or srgb.max() > 1 - 1e-6
