"""What is installed is named: each version in requirements.lock, by its hashes."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
ENTRIES = re.findall(
    r"^([a-z0-9][\w.-]*)(?:\[[\w,]+\])?==([\w.+!]+)([^\n]*)\\\n((?: +--hash=\S+[^\n]*\n?)+)",
    LOCK,
    re.MULTILINE,
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = [asked for name, asked in PROJECT["optional-dependencies"].items() if name != "supply"]
ASKED = [asked for some in (PROJECT["dependencies"], *EXTRAS) for asked in some if "pixelwise[" not in asked]


@pytest.mark.parametrize("asked", ASKED)
def test_what_the_project_asks_for_is_locked(asked):
    requirement = Requirement(asked)
    versions = [version for name, version, *_ in ENTRIES if name == canonicalize_name(requirement.name)]
    assert versions, f"{requirement.name} is not in requirements.lock: make lock"
    assert all(requirement.specifier.contains(version) for version in versions)


def test_every_version_has_its_hashes_and_no_address():
    lines = [line for line in LOCK.splitlines() if re.match(r"[a-z0-9]", line)]
    assert len(ENTRIES) == len(lines) > 100
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", hashes) for *_, hashes in ENTRIES)
    assert "://" not in LOCK


def test_the_audit_tells_holes_from_silence(tmp_path):
    """pip-audit itself asks a database, which may not be there: what it says is read here."""
    tools = tmp_path / "bin"
    tools.mkdir()
    answer = (
        '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "X-1", "fix_versions": ["2"]}]},'
        ' {"name": "b", "skip_reason": "unknown"}, {"name": "c", "version": "3", "vulns": []}]}'
    )
    for name, content in (("pip-audit", answer), ("cyclonedx-py", '{"components": [1, 2, 3]}')):
        program = (
            f"#!{sys.executable}\nimport sys, pathlib\npathlib.Path(sys.argv[-1]).write_text({content!r})\n"
        )
        (tools / name).write_text(program)
        (tools / name).chmod(0o755)
    command = [ROOT / ".ci" / "audit", tools, ROOT / "requirements.lock", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines()[1:] == [
        "a 1: X-1, mended in 2",
        "1 known holes in 2 packages; of 1 the database could not tell",
    ]
