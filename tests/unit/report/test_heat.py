"""Maps of numbers in colours."""

import numpy as np

from pixelwise.colour.spaces import lightness
from pixelwise.report.heat import heat


def test_the_lowest_is_dark_blue_and_the_highest_bright_yellow_and_lightness_grows_evenly():
    codes = heat(np.linspace(0.2, 0.4, 256)[None], (1, 256))
    (red, green, blue), (last_red, last_green, last_blue) = codes[0, [0, -1]].astype(int)
    assert blue > green + 50 > red + 50
    assert min(last_red, last_green) > last_blue + 100
    steps = np.diff(lightness(np.moveaxis(codes, -1, 0) / 255)[0, 0, ::5])
    assert steps.min() > 0
    assert steps.max() < 1.5 * steps.mean()


def test_it_is_enlarged_and_even_numbers_are_one_colour():
    assert heat(np.array([[0.0, 1.0]]), (5, 9)).shape == (5, 9, 3)
    assert (heat(np.full((2, 3), 0.5), (4, 6)) == heat(np.zeros((1, 1)), (1, 1))).all()
