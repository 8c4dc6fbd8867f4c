"""Generate pages for each build: commands, model cards, changelog and architecture.

MkDocs calls `on_files`; `mkdocs.yml` lists this file under `hooks`.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from pixelwise.cli.app import app
from pixelwise.network.cards import card_path, read_card, shipped_heads, shipped_models, weights_path

ROOT = Path(__file__).parents[2]
FACTS = {
    "purpose": "Purpose",
    "error": "Error",
    "score": "Score",
    "limits": "Limits",
    "source": "Training data",
    "licence": "Licence",
}
COMMON = ("--json", "--quiet", "--seed", "--device")
_INTRODUCTION = """# Commands

`pixelwise VERB --help` prints the same text in a terminal.

Exit codes: 0 all done; 1 some inputs failed, each is reported, the rest is done; 2 wrong use or bad
configuration; 130 interrupted, state saved. Messages and progress go to standard error.

## Options of every verb

"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for path, text in made().items():
        files.append(File.generated(config, path, content=text))
    return files


def made() -> dict[str, str]:
    """Return the generated pages by their paths below `docs`."""
    return {
        "cli.md": commands(),
        "models.md": shipped(),
        **{f"models/{name}.md": model_card(name) for name in (*shipped_models(), *shipped_heads())},
        "changelog.md": from_root("CHANGELOG.md"),
        "architecture.md": from_root("ARCHITECTURE.md"),
    }


def commands() -> str:
    """Return the page of all verbs and options; options of every verb are listed once."""
    whole: str = app.generate_docs()
    _, *verbs = re.split(r"^(?=## )", whole.partition("**Commands**")[2], flags=re.MULTILINE)
    shared = {
        item.split("`")[1].split()[0]: item
        for item in re.findall(r"^\* `--.*?(?=^\* |\Z|^\n)", verbs[0], re.MULTILINE | re.DOTALL)
    }
    common = "".join(shared[option] for option in COMMON)
    return _INTRODUCTION + "\n".join(map(_tidied, [common, *map(_in_full, map(_without_common, verbs))]))


def _in_full(verb: str) -> str:
    """Return a verb's text, subcommands included, with the whole docstring ahead of its parameters."""

    def docstring(found: re.Match[str]) -> str:
        command = app
        for name in found["path"].split():
            command = command[name]
        if command.default_command is None:
            return found[0]
        text, _, _ = (inspect.getdoc(command.default_command) or "").partition("\nParameters\n")
        return found["opening"] + text.strip() + "\n\n"

    return re.sub(
        r"(?P<opening>^#+ pixelwise (?P<path>[^\n]+)\n\n```console\n[^\n]*\n```\n\n)[^\n]*\n\n",
        docstring,
        verb,
        flags=re.MULTILINE,
    )


def _without_common(verb: str) -> str:
    """Return a verb's text without the options of every verb."""
    options = "|".join(COMMON)
    return re.sub(rf"^\* `(?:{options})\b.*?(?=^\* |\Z|^\n)", "", verb, flags=re.MULTILINE | re.DOTALL)


def _tidied(text: str) -> str:
    """Drop trivial defaults, and shorten headings to the verb."""
    text = re.sub(r" ?\*\[default: (?:False|True|\(\)|None)\]\*", "", text)
    text = re.sub(r"^(#+) pixelwise (.+)$", r"\1 \2", text, flags=re.MULTILINE)
    return re.sub(r"```console\n(.*?)\n```", r"```text\n\1\n```", text)


def shipped() -> str:
    """Return the page that lists the shipped models and heads."""
    rows = "".join(
        f"| [`{name}`](models/{name}.md) | {kind} | {weights_path(name).stat().st_size / 1e6:.2f} MB "
        f"| {read_card(name).purpose} |\n"
        for kind, names in (("model", shipped_models()), ("head", shipped_heads()))
        for name in names
    )
    return (
        "# Shipped models\n\nModels colour photographs, heads cut things out of them. All are inside the "
        "package; `pixelwise models` lists them with their checksums.\n\n"
        f"| name | kind | size | for |\n|---|---|---|---|\n{rows}"
    )


def model_card(name: str) -> str:
    """Return the page of a model card: a command to use it, its facts, its text."""
    facts = asdict(read_card(name))
    text = card_path(name).read_text().split("---\n", 2)[2].strip()
    title, _, rest = text.partition("\n")
    terms = "\n\n".join(f"{title}\n:   {facts[key]}" for key, title in FACTS.items())
    use = (
        f"pixelwise segment garden -o cut --head {name}"
        if name in shipped_heads()
        else f"pixelwise colourise album -o coloured --model {name}"
    )
    return (
        f"{title}\n\n```\n{use}\n```\n\n{terms}\n\n## More\n{rest}\n\n## How it was made\n\n"
        f"```\n{facts['command']}\n```\n\nSHA-256 of the weights: `{facts['checksum']}`\n"
    )


def from_root(name: str) -> str:
    """Return a page of the project's root, its links adapted to the site."""
    text = (ROOT / name).read_text()
    return re.sub(r"\]\(docs/", "](", text)
