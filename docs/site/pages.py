"""Pages that nobody writes: made for each build from the program, its model cards and files of the project.

MkDocs calls `on_files`; `mkdocs.yml` names this file under `hooks`.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from pixelwise.network.cards import card_path, read_card, shipped_heads, shipped_models, weights_path
from pixelwise.cli.app import app

ROOT = Path(__file__).parents[2]
FACTS = {
    "purpose": "What it is for",
    "error": "How far off it is",
    "score": "What it reached",
    "limits": "What it cannot do",
    "source": "Learned from",
    "licence": "Licence",
}
COMMON = ("--json", "--quiet", "--seed", "--device")
_INTRODUCTION = """# Commands

`pixelwise VERB --help` says in a terminal what stands here; this page is made from the same text.

Exit codes: 0 all done; 1 some inputs failed, each is named, the rest is done; 2 wrong use or bad
configuration; 130 interrupted, state saved. Messages and progress go to standard error.

## What every verb takes

"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made to what is written."""
    for path, text in made().items():
        files.append(File.generated(config, path, content=text))
    return files


def made() -> dict[str, str]:
    """What is made, by where it lies among the pages that are written."""
    return {
        "cli.md": commands(),
        "models.md": shipped(),
        **{f"models/{name}.md": model_card(name) for name in (*shipped_models(), *shipped_heads())},
        "changelog.md": from_root("CHANGELOG.md"),
        "architecture.md": from_root("ARCHITECTURE.md"),
    }


def commands() -> str:
    """Every verb with its options, as its help has them; what all verbs share is told once."""
    whole: str = app.generate_docs()
    _, *verbs = re.split(r"^(?=## )", whole.partition("**Commands**")[2], flags=re.MULTILINE)
    shared = {
        item.split("`")[1].split()[0]: item
        for item in re.findall(r"^\* `--.*?(?=^\* |\Z|^\n)", verbs[0], re.MULTILINE | re.DOTALL)
    }
    told = "".join(shared[option] for option in COMMON)
    return _INTRODUCTION + "\n".join(map(_tidied, [told, *map(_in_full, map(_without_common, verbs))]))


def _in_full(verb: str) -> str:
    """A verb's text, and that of the verbs below it, with all that docstrings say ahead of options."""

    def told(found: re.Match[str]) -> str:
        command = app
        for name in found["path"].split():
            command = command[name]
        if command.default_command is None:
            return found[0]
        text, _, _ = (inspect.getdoc(command.default_command) or "").partition("\nParameters\n")
        return found["opening"] + text.strip() + "\n\n"

    return re.sub(
        r"(?P<opening>^#+ pixelwise (?P<path>[^\n]+)\n\n```console\n[^\n]*\n```\n\n)[^\n]*\n\n",
        told,
        verb,
        flags=re.MULTILINE,
    )


def _without_common(verb: str) -> str:
    """A verb's text without the options that all have."""
    options = "|".join(COMMON)
    return re.sub(rf"^\* `(?:{options})\b.*?(?=^\* |\Z|^\n)", "", verb, flags=re.MULTILINE | re.DOTALL)


def _tidied(text: str) -> str:
    """Without defaults that say nothing, with headings that say the verb alone."""
    text = re.sub(r" ?\*\[default: (?:False|True|\(\)|None)\]\*", "", text)
    text = re.sub(r"^(#+) pixelwise (.+)$", r"\1 \2", text, flags=re.MULTILINE)
    return re.sub(r"```console\n(.*?)\n```", r"```text\n\1\n```", text)


def shipped() -> str:
    """What lies inside the package, on one page."""
    rows = "".join(
        f"| [`{name}`](models/{name}.md) | {kind} | {weights_path(name).stat().st_size / 1e6:.2f} MB "
        f"| {read_card(name).purpose} |\n"
        for kind, names in (("model", shipped_models()), ("head", shipped_heads()))
        for name in names
    )
    return (
        "# What is shipped\n\nModels colour photographs, heads cut things out of them. All lie inside the "
        "package, and `pixelwise models` lists them with their checksums.\n\n"
        f"| name | kind | size | for |\n|---|---|---|---|\n{rows}"
    )


def model_card(name: str) -> str:
    """A card's facts as a list, its text, and the lines to use it by."""
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
    """A page of the project's root, its links turned to where pages lie on the site."""
    text = (ROOT / name).read_text()
    return re.sub(r"\]\(docs/", "](", text)
