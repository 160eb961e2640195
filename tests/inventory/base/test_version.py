"""One version, in one place: the distribution's and that of every program."""

import importlib
from importlib import metadata

import pytest

from inventory.base.version import VERSION

PROGRAMS = {
    "haidang-agent": "agent.cli.main",
    "haidang-collector": "collector.commands.main",
    "haidang-inventory": "inventory.cli.main",
    "haidang-alerts": "alerts.cli.main",
}


def test_these_are_the_programs() -> None:
    scripts = {
        script.name: script.module
        for script in metadata.distribution("haidang").entry_points.select(group="console_scripts")
    }
    assert scripts == PROGRAMS


def test_the_distribution_has_the_version_of_the_sources() -> None:
    assert metadata.version("haidang") == VERSION


@pytest.mark.parametrize(("program", "module"), PROGRAMS.items())
def test_a_program_says_its_version(program: str, module: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        importlib.import_module(module).main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"{program} {VERSION}\n"
