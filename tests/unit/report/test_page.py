"""Pages: text is escaped, pictures are inside, nothing is fetched."""

import numpy as np
import pytest
from jinja2 import UndefinedError

from fixtures.pages import Page
from pixelwise.colour.spaces import lightness
from pixelwise.report.page import ENVIRONMENT, heat, png_uri, render

pytestmark = pytest.mark.core

NASTY = '<b onclick="x">&\''
RED = np.full((4, 6, 3), (255, 0, 0), np.uint8)
PIECES = """
{% extends "frame.html" %}{% import "macros.html" as ui %}
{% block content %}
{{ ui.figure(uri, text) }}{{ ui.row({text: uri}, "row") }}{{ ui.slider(uri, uri, text) }}
{{ ui.drawing({"light": uri, "dark": uri}, "both") }}{{ ui.table({text: text}) }}
{% endblock %}
"""


def test_every_piece_shows_text_as_it_is_and_fetches_nothing():
    read = Page(ENVIRONMENT.from_string(PIECES).render(title=NASTY, uri=png_uri(RED), text=NASTY))
    assert read.faults == []
    assert read.text.count(NASTY) == 6  # title twice, two captions, two cells
    assert [*read.pictures] == [NASTY, f"row: {NASTY}", f"{NASTY}, before", f"{NASTY}, after", "both"]
    assert np.array_equal(np.asarray(read.picture("both")), RED)


def test_a_value_that_is_not_given_is_an_error():
    with pytest.raises(UndefinedError, match="title"):
        render("frame.html")


def test_the_lowest_is_dark_blue_the_highest_bright_yellow_and_lightness_grows_evenly():
    codes = heat(np.linspace(0.2, 0.4, 256)[None], (2, 256))[1]
    red, green, blue = codes[0].astype(int)
    assert blue > 50 + max(red, green)
    assert codes[-1, :2].min() > 100 + codes[-1, 2].astype(int)
    steps = np.diff(lightness(codes.T[:, None] / 255)[0, 0, ::5])
    assert 0 < steps.min() < steps.max() < 1.5 * steps.mean()
    assert (heat(np.full((2, 3), 0.5), (4, 6)) == codes[0]).all()
