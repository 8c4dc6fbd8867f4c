import pytest
import torch

from pixelwise.colour import spaces as colour


def luminance(srgb: torch.Tensor) -> torch.Tensor:
    linear = colour.srgb_to_linear(srgb)
    return sum(w * c for w, c in zip(colour.LUMINANCE_WEIGHTS, linear, strict=True))


def test_lightness_of_luminance_is_labs():
    image = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0))
    lightness = colour.luminance_to_lightness(luminance(image))
    torch.testing.assert_close(lightness, colour.srgb_to_lab(image)[0], atol=1e-3, rtol=0)
    torch.testing.assert_close(colour.lightness(image)[0], lightness)


@pytest.mark.parametrize("shade", [0.0, 1.0])
def test_black_and_white_take_no_colour(shade):
    recoloured = colour.recolour(torch.tensor(shade), torch.tensor(60.0), torch.tensor(-70.0))
    assert recoloured.tolist() == pytest.approx([shade] * 3, abs=1e-6)


def test_recolour_agrees_with_lab_in_gamut():
    image = torch.rand(3, 50, 60, generator=torch.Generator().manual_seed(1))
    _, a, b = lab = colour.srgb_to_lab(image)
    recoloured = colour.recolour(luminance(image), a, b)
    torch.testing.assert_close(recoloured, colour.lab_to_srgb(lab), atol=1e-3, rtol=0)


def test_out_of_gamut_keeps_its_hue_in_linear_light():
    wanted = colour.recolour(torch.tensor(0.3), torch.tensor(90.0), torch.tensor(60.0))
    milder = colour.recolour(torch.tensor(0.3), torch.tensor(100.0), torch.tensor(66.7))
    assert wanted.max() == pytest.approx(1.0, abs=1e-5)
    assert wanted[0] > wanted[1] > wanted[2] or wanted[0] > wanted[2] > wanted[1]
    torch.testing.assert_close(wanted, milder, atol=0.05, rtol=0)
