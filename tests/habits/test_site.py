"""The site of the docs: built strictly, loading nothing from outside, with pages for every verb and model."""

import inspect
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import pixelwise
from pixelwise.cli.app import app

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LOADED = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "object": ("data",),
    "embed": ("src",),
    "use": ("href",),
    "form": ("action",),
}
"""Attributes by which a page loads something without a click; of `link` all but the kinds below."""
ONLY_NAMED = {"canonical", "next", "prev", "license", "author"}


class Asked(HTMLParser):
    """Collects the addresses that a page loads, and its content security policy."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.policy = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag == "link" and found.get("rel") not in ONLY_NAMED:
            self.addresses.append(found["href"])
        if tag == "meta" and found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"]
        self.addresses += [found[name] for name in LOADED.get(tag, ()) if found.get(name)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return folder


def outside(address):
    return re.match(r"\s*(\w+:)?//", address) is not None


def test_pages_ask_nothing_from_outside(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        asked = Asked(page.read_text())
        assert len(asked.addresses) > 3
        assert not [address for address in asked.addresses if outside(address)], page
        # anything else that the theme's scripts might load is refused by the browser
        assert asked.policy.startswith("default-src 'self'"), page
        assert "http" not in asked.policy


def test_every_verb_and_option_is_in_the_reference(site):
    text = re.sub(r"<[^>]+>", "", (site / "cli.html").read_text())
    for name in (one for one in app if not one.startswith("-")):
        assert f"pixelwise {app[name].name[0]}" in text
        if app[name].default_command:
            arguments = app[name].assemble_argument_collection(default_parameter=app.default_parameter)
            for option in (one for argument in arguments for one in argument.names if one.startswith("--")):
                assert option in text, f"{name} {option}"
    beyond_first_line = inspect.getdoc(app["colourise"].default_command).split("\n\n")[1]
    assert " ".join(beyond_first_line.split()[:5]) in " ".join(text.split())


def test_all_that_python_offers_is_in_the_reference(site):
    text = (site / "python.html").read_text()
    for name in (one for one in pixelwise.__all__ if not one.startswith("_")):
        assert f'id="pixelwise.{name}"' in text
    assert 'id="pixelwise.errors.PhotoError"' in text
    assert "<blockquote>" not in text  # examples are code, not quotations
