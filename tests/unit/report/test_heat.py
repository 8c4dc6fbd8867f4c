"""Maps of numbers in colours."""

import numpy as np
import pytest

from pixelwise.colour.spaces import lightness
from pixelwise.report.page import heat

pytestmark = pytest.mark.core


def test_the_lowest_is_dark_blue_the_highest_bright_yellow_and_lightness_grows_evenly():
    codes = heat(np.linspace(0.2, 0.4, 256)[None], (2, 256))[1]
    red, green, blue = codes[0].astype(int)
    assert blue > 50 + max(red, green)
    assert codes[-1, :2].min() > 100 + codes[-1, 2].astype(int)
    steps = np.diff(lightness(codes.T[:, None] / 255)[0, 0, ::5])
    assert 0 < steps.min() < steps.max() < 1.5 * steps.mean()
    assert (heat(np.full((2, 3), 0.5), (4, 6)) == codes[0]).all()
