"""The page in a real browser: each job from dropped photos to a downloaded file, and nobody else is asked."""

import contextlib
import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

import pixelwise
from pixelwise.photos.provenance import read_provenance

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # playwright's, of its own loop
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PATIENCE_MS = 60_000


@pytest.fixture
def url(served):
    return served[0]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@contextlib.contextmanager
def opened(browser, url, **options):
    """The page in a window of its own; at the end it must have asked nobody but our server."""
    asked, wrong = [], []
    context = browser.new_context(**{"viewport": {"width": 1180, "height": 900}, **options})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(url)
    page.wait_for_selector("#colour-files")
    yield page
    ours = urlsplit(url).netloc
    assert {urlsplit(one).netloc for one in asked if not one.startswith(("data:", "blob:"))} == {ours}
    assert wrong == []
    context.close()


@pytest.fixture
def page(browser, url):
    with opened(browser, url) as page:
        yield page


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name in ("flower", "china"):
        Image.fromarray(load_sample_image(f"{name}.jpg")).save(folder / f"{name}.jpg", quality=95)
    return [folder / "flower.jpg", folder / "china.jpg"]


def drop(page, place, files):
    page.set_input_files(f"{place} input[type=file]", [str(one) for one in files])


def choose(page, button, files):
    with page.expect_file_chooser() as chooser:
        page.locator(button).click()
    chooser.value.set_files([str(one) for one in files])


def download(page, button, folder):
    with page.expect_download() as coming:
        page.locator(button).click()
    path = folder / coming.value.suggested_filename
    coming.value.save_as(path)
    return path


def picture(page, name):
    """Keep what the page looks like, where that is asked for."""
    if folder := os.environ.get("PIXELWISE_SCREENSHOTS"):
        page.wait_for_timeout(1500)
        shot = Path(folder) / f"{name}.png"
        page.screenshot(path=shot, full_page=True)
        Image.open(shot).convert("RGB").save(shot.with_suffix(".webp"), quality=80)
        shot.unlink()


def test_photos_are_coloured(page, photos, tmp_path):
    drop(page, "#colour-files", photos)
    page.wait_for_selector("#colour-slider img")
    page.locator("#colour-gallery img").nth(1).wait_for()
    picture(page, "page-colour")
    as_guessed = download(page, "#colour-save", tmp_path)
    assert as_guessed.name == "flower-coloured.jpg"
    assert read_provenance(as_guessed).model == "photo"
    codes = np.asarray(Image.open(as_guessed)).astype(int)
    assert codes.shape == (427, 640, 3)
    assert np.ptp(codes, axis=2).mean() > 10

    page.get_by_role("tab", name="Tell it colours").click()
    page.locator("#colour-suggest").click()
    page.get_by_text("settles").first.wait_for()
    box = page.locator("#colour-canvas img").bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.get_by_text("Hints:").wait_for()
    picture(page, "page-hints")
    told = read_provenance(download(page, "#colour-save", tmp_path))
    (hint,) = told.settings["hints"]
    row, column, colour = hint.split(",")
    assert abs(int(row) - 213) < 12
    assert abs(int(column) - 320) < 12
    assert colour == "#3b4f7a"

    page.get_by_role("tab", name="How sure it is").click()
    page.locator("#colour-sure img").wait_for()
    page.get_by_text("sure").first.wait_for()
    page.get_by_label("number input for Saturation").fill("0")
    page.get_by_label("number input for Saturation").press("Enter")
    page.wait_for_timeout(1500)
    archive = download(page, "#colour-save-all", tmp_path)
    shutil.unpack_archive(archive, tmp_path / "all")
    names = {one.name for one in (tmp_path / "all").iterdir()}
    assert names == {"china-coloured.jpg", "flower-coloured.jpg"}
    grey = np.asarray(Image.open(tmp_path / "all" / "china-coloured.jpg")).astype(int)
    assert np.ptp(grey, axis=2).mean() < 2


def test_a_flower_is_cut_out(page, photos, tmp_path):
    page.get_by_role("tab", name="Segment").click()
    drop(page, "#segment-files", photos[:1])
    page.wait_for_selector("#segment-picture img")
    page.locator("#segment-legend").get_by_text("flower").wait_for()
    picture(page, "page-segment")
    mask = np.asarray(Image.open(download(page, "#segment-mask", tmp_path)))
    assert (mask == pixelwise.segment(photos[0]).labels).all()
    cut = np.asarray(Image.open(download(page, "#segment-cut", tmp_path)))
    assert ((cut[..., 3] > 0) == (mask == 1)).all()


def test_it_learns_from_strokes_and_its_head_works_elsewhere(page, photos, tmp_path):
    page.get_by_role("tab", name="Teach").click()
    drop(page, "#teach-files", photos)
    page.locator("#teach-gallery img").nth(1).wait_for()
    page.wait_for_selector("#teach-editor canvas")
    page.wait_for_timeout(2500)
    page.locator("#teach-learn").click()  # before anything was painted
    page.get_by_text("paint on a photograph first").wait_for()
    stroke(page, (0.42, 0.5), (0.58, 0.5))
    page.get_by_label("background", exact=True).check()
    page.wait_for_timeout(2500)
    stroke(page, (0.1, 0.15), (0.3, 0.12))
    picture(page, "page-strokes")
    page.locator("#teach-learn").click()
    page.get_by_text("Learned from 1 photograph").wait_for()
    picture(page, "page-teach")
    head = download(page, "#teach-save", tmp_path)
    assert head.name == "object.head.safetensors"
    labels = pixelwise.segment(photos[0], head=head).labels
    assert labels[213, 320] == 1
    assert labels[60, 120] == 0
    assert 0.05 < labels.mean() < 0.7
    page.get_by_role("tab", name="Segment").click()
    drop(page, "#segment-files", photos[:1])
    page.wait_for_selector("#segment-picture img")
    choose(page, "#segment-own", [head])
    page.locator("#segment-legend").get_by_text("object").wait_for()


def test_masks_teach_it_too(page, photos, tmp_path):
    mask = pixelwise.segment(photos[0]).mask("flower")
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "flower.png")
    page.get_by_role("tab", name="Teach").click()
    drop(page, "#teach-files", photos[:1])
    page.wait_for_selector("#teach-editor canvas")
    page.wait_for_timeout(1500)
    choose(page, "#teach-masks", [tmp_path / "flower.png"])
    page.get_by_text("Learned from 1 photograph, 273,280 pixels").wait_for()


def test_what_is_no_photo_is_told_in_a_line(page, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    drop(page, "#colour-files", [tmp_path / "broken.jpg"])
    page.get_by_text("broken.jpg: needed a").wait_for()
    assert "Traceback" not in page.content()
    assert "/tmp" not in page.locator("body").inner_text()


def stroke(page, start, end):
    """Paint on the picture, from one point to the other, in shares of the canvas."""
    box = page.locator("#teach-editor canvas").first.bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=12)
    page.mouse.up()
    page.wait_for_timeout(700)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(browser, url, photos, scheme):
    phone = {"viewport": {"width": 390, "height": 844}, "color_scheme": scheme}
    with opened(browser, url, **phone) as page:
        drop(page, "#colour-files", photos[:1])
        page.wait_for_selector("#colour-slider img", state="attached")
        page.wait_for_timeout(1500)
        for name in ("Colour", "Segment", "Teach"):
            page.get_by_role("tab", name=name).focus()
            page.keyboard.press("Enter")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.get_by_role("tab", name="Colour").click()
        picture(page, f"page-phone-{scheme}")
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 23, 26)"}[scheme]
