"""Texts of a grammar of their own are judged where the inventory is written, and as the agent would judge them."""

from pathlib import Path
from typing import Any

import pytest

from agent import kinds_file, probes
from inventory import kinds
from inventory.formats import FORMATS
from inventory.load import look

NEEDED = {"backup": {"path": "/srv"}, "job": {"job": "db"}, "drill": {"drill": "db"}, "snmp": {"host": "192.0.2.9"}}
WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("job", {"cron": "61 * * * *"}, "cron", "'61 * * * *' is not a cron expression: Bad minute"),
    ("job", {"cron": "30 23 * *"}, "cron", "'30 23 * *' is not a cron expression of five fields"),
    ("job", {"cron": "0 0 31 2 *"}, "cron", "'0 0 31 2 *' is not a cron expression: Bad day-of-month"),
    ("job", {"oncalendar": "someday"}, "oncalendar", "'someday' in 'someday' is not a weekday"),
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
    return [str(problem).removeprefix(f"{directory}/") for problem in look(directory)[1]]


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
