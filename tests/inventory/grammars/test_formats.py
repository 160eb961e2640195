"""Texts of a grammar of their own are judged where the inventory is written, and as the agent would judge them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import inventory
from agent import probes
from agent.cli import kinds_file
from inventory.assembly.load import load_with_problems
from inventory.cli.main import main
from inventory.grammars.formats import FORMATS
from inventory.protocol import kinds

NEEDED = {"backup": {"path": "/srv"}, "job": {"job": "db"}, "drill": {"drill": "db"}, "snmp": {"host": "192.0.2.9"}}
WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("job", {"cron": "61 * * * *"}, "cron", "'61 * * * *' is not a cron expression: Bad minute"),
    ("job", {"cron": "30 23 * *"}, "cron", "'30 23 * *' is not a cron expression of five fields"),
    ("job", {"cron": "0 0 31 2 *"}, "cron", "'0 0 31 2 *' is not a cron expression: Bad day-of-month"),
    ("job", {"oncalendar": "someday"}, "oncalendar", "'someday' is not a calendar event: Bad day-of-week"),
    ("job", {"oncalendar": "*-02-30 01:00"}, "oncalendar", "'*-02-30 01:00' never comes"),
    ("job", {"oncalendar": "2019-02-29"}, "oncalendar", "'2019-02-29' never comes"),
    ("job", {"cron": "0 1 * * *", "oncalendar": "daily"}, "oncalendar", "give cron or oncalendar, not both"),
    ("job", {"time_zone": "Asia/Soctrang"}, "time_zone", "there is no time zone 'Asia/Soctrang'"),
    ("job", {"period": "0s"}, "period", "has to be more than 0"),
    ("job", {"rpo": "0h"}, "rpo", "has to be more than 0"),
    ("job", {"job": "start"}, "job", "nothing can be called 'start'"),
    ("job", {"job": "255"}, "job", "nothing can be called '255'"),
    ("drill", {"drill": "fail"}, "drill", "nothing can be called 'fail'"),
    ("drill", {"max_age": "0d"}, "max_age", "has to be more than 0"),
    ("backup", {"files": "db-%m-%d.gz"}, "files", "the pattern 'db-%m-%d.gz' has a date without a year"),
    ("backup", {"files": "../*"}, "files", "the pattern '../*' has an empty part, . or .."),
    ("backup", {"zone": "Mars/Olympus"}, "zone", "there is no time zone 'Mars/Olympus'"),
    ("backup", {"rpo": "0s"}, "rpo", "has to be more than 0"),
    ("backup", {"rate": "10"}, "rate", "the quoted text '10' does not have the form"),
    ("snmp", {"interface": "a", "interfaces": ["b"]}, "interfaces", "give interface or interfaces, not both"),
]


def checked(directory: Path, kind: str, params: dict[str, Any]) -> list[str]:
    lines = "".join(f"            {name}: {value!r}\n" for name, value in params.items())
    text = (
        "agencies:\n  a:\n    name: A\n    site: {}\n    checks:\n      c:\n"
        f"        kind: {kind}\n        params:\n{lines}"
    )
    (directory / "a.yaml").write_text(text, "utf-8")
    return [str(problem).removeprefix(f"{directory}/") for problem in load_with_problems(directory)[1]]


@pytest.mark.parametrize(("kind", "params", "key", "words"), WRONG)
def test_a_mistake_is_told_with_its_line_and_key(
    tmp_path: Path, kind: str, params: dict[str, Any], key: str, words: str
) -> None:
    whole = {**NEEDED[kind], **params}
    with pytest.raises(probes.BadProbe):
        probes.build(kind, {name: tuple(value) if isinstance(value, list) else value for name, value in whole.items()})
    (said,) = checked(tmp_path, kind, whole)
    line = 9 + list(whole).index(key)
    assert said.startswith(f"a.yaml:{line}: agencies.a.checks.c.params.{key}: {words}"), said


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("job", {"cron": "30 23 * * 1-5", "oncalendar": "", "time_zone": "Asia/Ho_Chi_Minh", "rpo": "26h"}),
        ("job", {"oncalendar": "Mon..Fri 23:30", "cron": ""}),
        ("job", {"oncalendar": "2012-02-29"}),  # once, and long ago
        ("backup", {"files": "%Y/%m/db-*.dump", "zone": "UTC", "rate": "0"}),
    ],
)
def test_what_the_agent_takes_is_fine(tmp_path: Path, kind: str, params: dict[str, Any]) -> None:
    assert probes.build(kind, {**NEEDED[kind], **params})
    assert checked(tmp_path, kind, {**NEEDED[kind], **params}) == []


ONLY_THE_PROBE_KNOWS: list[tuple[str, dict[str, Any], str]] = [
    ("http", {"url": "ftp://192.0.2.1/"}, "the URL must begin with http:// or https://"),
    (
        "http",
        {"url": "http://192.0.2.1/", "headers": ["Authorization: Basic eA=="]},
        "would put a secret into the plan",
    ),
    ("host", {"disk_down": 0.5, "disk_degraded": 0.9}, "disk_down is below disk_degraded"),
    ("path", {"host": "192.0.2.1", "dscp": 46}, "dscp is for UDP packets"),
    ("snmp", {"host": "192.0.2.1", "version": "3"}, "version 3 needs a credential"),
    ("throughput", {"url": "hub", "upload_url": "http://192.0.2.1/"}, "are not for url: hub"),
]


@pytest.mark.parametrize(("kind", "params", "words"), ONLY_THE_PROBE_KNOWS)
def test_the_command_asks_the_probes_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, params: dict[str, Any], words: str
) -> None:
    assert checked(tmp_path, kind, params) == [], "the collector goes on with it: its agent says what is wrong"
    assert main(["check", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"{tmp_path}/a.yaml:8: agencies.a.checks.c.params: ")
    assert words in said.splitlines()[0]
    assert "1 mistake\n" in said


def test_in_a_template_the_mistake_is_the_sites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        'templates:\n  t: {checks: {c: {kind: path, params: {host: "{gateway}", dscp: 46}}}}\n'
        "agencies:\n  a: {name: A, template: t, site: {gateway: 192.0.2.1}}\n"
    )
    (tmp_path / "a.yaml").write_text(text, "utf-8")
    assert main(["check", str(tmp_path)]) == 1
    assert "a.yaml:4: agencies.a: the check c: dscp is for UDP packets" in capsys.readouterr().err


def test_the_shipped_example_is_fine_for_the_probes() -> None:
    assert main(["check", str(Path(inventory.__file__).parent / "examples" / "soctrang")]) == 0


def test_without_the_probes_the_inventory_judges_alone() -> None:
    script = (
        "import sys\nfrom inventory.assembly.load import load\nfrom inventory.cli import main\n"
        "from inventory.grammars import probe_judges\n"
        "load(sys.argv[1])\nassert not [name for name in sys.modules if name.split('.')[0] == 'agent']\n"
        "probe_judges.ENTRY_POINT_GROUP = 'nobody'\nassert probe_judges.installed_validator() is None\n"
    )
    example = Path(inventory.__file__).parent / "examples" / "soctrang"
    subprocess.run([sys.executable, "-c", script, str(example)], check=True, cwd=example.parents[2])


def test_every_format_is_some_parameters_and_an_unknown_one_is_no_kind() -> None:
    named = {
        schema["format"]
        for kind in probes.names()
        for schema in kinds_file.describe(probes.load(kind))["params"]["properties"].values()
        if "format" in schema
    }
    assert named == set(FORMATS)
    with pytest.raises(TypeError, match="no format 'smoke'"):
        kinds.from_schema({"type": "string", "format": "smoke"})
