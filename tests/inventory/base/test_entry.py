"""A program that this installation has no libraries for says so in a sentence."""

import os
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from inventory.base.entry import NEEDS
from tests.support.paths import ROOT

WITHOUT = """
import sys
from importlib.util import find_spec
import inventory.base.entry
absent, function, sys.argv[1:] = sys.argv[1].split(), sys.argv[2], sys.argv[3:]
inventory.base.entry.find_spec = lambda name: None if name in absent else find_spec(name)
sys.exit(getattr(inventory.base.entry, function)())
"""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def start(missing: str, function: str, directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, missing, function, "--version"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=directory, env=environment, timeout=60)


@pytest.mark.parametrize(
    ("function", "missing", "extra"),
    [("collector", "apsw holidays", "collector"), ("alerts", "jinja2", "collector"), ("agent", "psutil", "agent")],
)
def test_a_program_without_its_libraries_says_what_is_missing(
    function: str, missing: str, extra: str, tmp_path: Path
) -> None:
    ended = start(missing, function, tmp_path)
    assert ended.returncode == 2
    assert ended.stderr == (
        f"haidang-{function} is not part of this installation: {missing.replace(' ', ', ')} missing. "
        f"Install haidang[{extra}], or haidang-{function}'s package.\n"
    )


@pytest.mark.parametrize("program", PROJECT["scripts"])
def test_every_program_starts_where_nothing_is_missing(program: str, tmp_path: Path) -> None:
    ended = start("", PROJECT["scripts"][program].rpartition(":")[2], tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(program)


@pytest.mark.parametrize("extra", NEEDS)
def test_what_is_asked_for_is_what_the_extra_brings(extra: str) -> None:
    brought = {requirement.partition(">")[0].lower() for requirement in PROJECT["optional-dependencies"][extra]}
    distributions = packages_distributions()
    assert {distributions[name][0].lower().replace("_", "-") for name in NEEDS[extra]} == brought
