"""The commands of the README and of docs are commands, their options are options, their configuration is read."""

import re
import shlex
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import config as agent_config
from agent.cli.main import main as agent
from alerts.cli.main import main as alerts
from collector import config
from collector.commands.main import main as collector
from inventory.assembly.load import load
from inventory.cli.main import main as inventory
from tests.support.paths import ROOT

PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
TEXT = "\n".join(page.read_text("utf-8") for page in PAGES if page.exists())
PROGRAMS: dict[str, Callable[[list[str]], int]] = {
    "haidang-agent": agent,
    "haidang-alerts": alerts,
    "haidang-collector": collector,
    "haidang-inventory": inventory,
}
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.M | re.S)
LINES = [line for language, block in BLOCKS if not language for line in block.splitlines()]
COMMANDS = [line.split("  #")[0].split(" >")[0].strip() for line in LINES if line.startswith("haidang-")]


def help_of(program: str, command: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit) as ended:
        PROGRAMS[program]([*command, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out.split()


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_exists_with_its_options(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    program, command, *rest = shlex.split(line)
    told = help_of(program, [command], capsys)
    if rest and not rest[0].startswith("-"):  # it may be a command of the command
        told += help_of(program, [command, rest[0]], capsys)
    for option in rest:
        if option.startswith("--"):
            assert any(word.strip("[],") == option for word in told), f"{program} {command} has no {option}"


def test_the_scripts_exist() -> None:
    scripts = [line.split()[0] for line in LINES if line.startswith("./")]
    assert len(scripts) >= 5
    assert [script for script in scripts if not (ROOT / script).exists()] == []


def test_the_collectors_configuration_is_read(tmp_path: Path) -> None:
    (written,) = [block for language, block in BLOCKS if language == "yaml" and block.startswith("state_dir:")]
    (tmp_path / "collector.yaml").write_text(textwrap.dedent(written), "utf-8")
    found = config.read(tmp_path / "collector.yaml")
    assert found.agents.url.startswith("https://")


def test_the_inventorys_examples_are_read(tmp_path: Path) -> None:
    written = [block for language, block in BLOCKS if language == "yaml" and block.startswith("agencies:")]
    assert written
    for place, block in enumerate(written):
        directory = tmp_path / str(place)
        directory.mkdir()
        (directory / "all.yaml").write_text(block, "utf-8")
        made = load(directory)
        assert made.checks and made.warnings == ()


def test_the_agents_drills_are_read(tmp_path: Path) -> None:
    (written,) = re.findall(r"`(drills: \{.*?\})`", TEXT)
    (tmp_path / "agent.yaml").write_text(written, "utf-8")
    assert agent_config.load(tmp_path / "agent.yaml").drills["ke-toan"].planned


def test_the_units_start_commands_that_exist() -> None:
    for unit in (ROOT / "deploy" / "systemd").glob("*.service"):
        (start,) = re.findall(r"^ExecStart=(.*)$", unit.read_text("utf-8"), re.M)
        program, *arguments = shlex.split(start)
        assert Path(program).name in PROGRAMS
        # what is named has to be there: only the collector cannot do without a file of its own
        assert arguments[0] == "run"
        assert ("--config" in arguments) == (Path(program).name == "haidang-collector")
