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
