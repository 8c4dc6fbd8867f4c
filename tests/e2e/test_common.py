"""What every verb shares: the seed, where data lies, remarks, the JSON line."""

import json
import math
import subprocess

import pytest

from fixtures.cifar10.make import write_cifar10
from pixelwise.cli import VERBS, app
from pixelwise.cli.common import Common, Outcome
from pixelwise.network.config import NET_CONFIGS
from pixelwise.training.recipes import recipe_names


@pytest.mark.parametrize("seed", [-1, 2**32])
@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "photo", "synthetic:shapes"],
        ["train", "unet", "synthetic:shapes"],
        ["demo"],
        ["models"],
    ],
    ids=lambda command: command[0],
)
def test_a_seed_that_no_generator_takes_is_one_clear_line(refused, command, seed):
    told = refused(*command, "--seed", seed)
    assert told.startswith("pixelwise: seed needs to be")
    assert told.endswith(f"got {seed}")


def test_the_json_line_is_ascii_and_has_no_nan(capsys):
    values = {"path": "Zo\u00eb.png", "rows": [{"loss": math.nan}, (math.inf, 1.5)]}
    assert app._finish(Outcome(values=values), Common(json=True)) == 0
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert json.loads(printed, parse_constant=pytest.fail) == {
        "path": "Zo\u00eb.png",
        "rows": [{"loss": None}, [None, 1.5]],
    }


@pytest.fixture
def data_dir(tmp_path):
    write_cifar10(tmp_path / "data")
    return tmp_path / "data"


def test_remarks_about_pictures_are_told_once_unless_quiet(pixelwise, data_dir, model):
    command = ["evaluate", model, "cifar10:bird", "--data-dir", data_dir]
    told, quiet = pixelwise(*command), pixelwise(*command, "--quiet")
    assert (told.returncode, quiet.returncode) == (0, 0)
    remark = f"pixelwise: {data_dir / 'cifar-10-batches-py'} has other checksums than the official CIFAR-10"
    assert sum(line.startswith(remark) for line in told.stderr.splitlines()) == 1
    assert quiet.stderr == ""


def test_an_empty_variable_is_none_and_a_tilde_is_home(pixelwise, data_dir, model, tmp_path, monkeypatch):
    command = ["evaluate", model, "cifar10:bird"]
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PIXELWISE_DATA", "~/data")
    assert pixelwise(*command).returncode == 0
    (tmp_path / "cache").mkdir()
    data_dir.rename(tmp_path / "cache" / "pixelwise")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIXELWISE_DATA", "")
    assert pixelwise(*command).returncode == 0


@pytest.mark.parametrize("asked", [[], ["--help"], ["-h"]], ids=" ".join)
def test_the_list_of_verbs_needs_no_parser(program, asked):
    parsers = "print(*{'cyclopts', 'rich', 'logging'} & sys.modules.keys())"
    code = f"import sys; from pixelwise.cli import main; main(); {parsers}"
    done = subprocess.run([program[0], "-c", code, *asked], capture_output=True, text=True, check=True)
    *told, imported = done.stdout.splitlines()
    assert imported == ""
    words = " ".join(" ".join(told).split())
    assert all(f"{names.replace(' ', ', ')} {does}" in words for group, _, names, does in VERBS if not group)
    assert max(map(len, told)) <= 80


def test_help_names_every_recipe_and_the_variable(pixelwise):
    told = pixelwise("train", "--help").stdout
    names = {*NET_CONFIGS, *(name for net in NET_CONFIGS for name in recipe_names(net))}
    assert all(name in told for name in [*names, "PIXELWISE_DATA"])


@pytest.mark.slow
def test_a_second_signal_ends_it_at_once_and_without_traces(program):
    code = (
        "import asyncio, os, signal\n"
        "from pixelwise.cli import app\n"
        "async def stubborn():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        await asyncio.sleep(60)\n"
        "    finally:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        await asyncio.sleep(60)\n"
        "app.run = lambda _: asyncio.run(stubborn())\n"
        "app.main()\n"
    )
    done = subprocess.run([program[0], "-c", code], capture_output=True, text=True, check=False, timeout=50)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
