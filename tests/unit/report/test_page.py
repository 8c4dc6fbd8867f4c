"""Pages: text is escaped, pictures are inside, nothing is fetched."""

import numpy as np
import pytest
from jinja2 import UndefinedError

from fixtures.pages import Page
from pixelwise.report.page import ENVIRONMENT, png_uri, render

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
