"""One version, in one place: the distribution's and that of every program."""

import importlib
import tomllib
from importlib import metadata

import pytest

from inventory.base.version import VERSION
from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_the_distribution_has_the_version_of_the_sources() -> None:
    assert metadata.version("haidang") == VERSION


@pytest.mark.parametrize(("program", "entry"), PROJECT["scripts"].items())
def test_a_program_says_its_version(program: str, entry: str, capsys: pytest.CaptureFixture[str]) -> None:
    module, _, function = entry.partition(":")
    with pytest.raises(SystemExit) as left:
        getattr(importlib.import_module(module), function)(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"{program} {VERSION}\n"
