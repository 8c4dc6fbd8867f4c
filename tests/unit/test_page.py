"""Pages: text is escaped, pictures are inside, nothing is fetched."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from pixelwise import page

Page = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "pages.py"))["Page"]
NASTY = '<b onclick="x">&\''
RED = np.full((4, 6, 3), (255, 0, 0), np.uint8)


@pytest.mark.parametrize(
    "piece",
    [
        page.paragraph(NASTY),
        page.heading(NASTY),
        page.warning(NASTY),
        page.section(NASTY),
        page.commands(NASTY),
        page.scores({"score": NASTY}),
        page.table({"name": NASTY}),
        page.details(NASTY),
        page.figure("", NASTY),
        page.pixels("", NASTY),
    ],
)
def test_every_piece_shows_text_as_it_is(piece):
    read = Page(piece)
    assert (NASTY in read.text, read.faults) == (True, [])


def test_a_whole_page_fetches_nothing_and_closes_what_it_opens():
    photo = page.png_uri(RED)
    read = Page(
        page.frame(
            NASTY,
            "lead",
            page.row([page.figure(page.image(photo, NASTY), "caption")]),
            page.light_or_dark(photo, photo, "both"),
            page.slider(photo, photo, "a photo"),
        )
    )
    assert read.faults == []
    assert list(read.pictures) == [NASTY, "both", "a photo, before", "a photo, after"]
    assert np.array_equal(np.asarray(read.picture("both")), RED)


@pytest.mark.parametrize(
    "content",
    [
        '<img src="https://example.org/a.png" alt="a">',
        '<img src="a.png" alt="a">',
        '<link href="style.css">',
        "<style>p { background: url(a.png) }</style>",
        "<script>1</script>",
        "<p><b></p></b>",
        "<section>",
    ],
)
def test_the_reader_itself_notices_what_must_not_be(content):
    assert Page(content).faults


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_without_loss_come_back(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, channels), np.uint8)
    read = Page(page.image(page.png_uri(pixels), "x")).picture("x")
    assert np.array_equal(np.asarray(read).reshape(pixels.shape), pixels)


def test_a_photo_is_a_jpeg_of_its_size():
    read = Page(page.image(page.jpeg_uri(RED), "x")).picture("x")
    assert (read.format, read.size) == ("JPEG", (6, 4))
