"""Who is told of what, as the files say it: what they mean, one broken file per mistake, who is on duty."""

import ast
import re
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory.assembly.crosschecks import reach
from inventory.assembly.load import load, load_with_problems
from inventory.base.types import Text
from inventory.cli import main, show_alerting
from inventory.model.alerting import (
    DAY,
    FINDINGS,
    HOUR,
    MINUTE,
    Alerting,
    Condition,
    Escalation,
    Group,
    Roster,
    Rotation,
    Route,
    Shift,
    default_conditions,
)
from inventory.model.entities import Hours, Inventory, Selector
from inventory.model.rosters import MINUTES_OF_A_WEEK, contacts_of, on_duty
from tests.support.paths import ROOT

VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")

BASE = """\
province: {id: p, name: P, hub: centre}
providers: {net: {name: Net}}
calendars: {office: {hours: {mon-fri: ["07:00-17:00"]}}}
contacts:
  desk: {name: Desk, email: desk@example.org}
  an: {name: An, email: an@example.org, digest: false}
  binh: {name: Bình, email: binh@example.org, language: en}
agencies:
  centre:
    name: Centre
    contacts: [desk]
    site: {wan: 192.0.2.1}
    checks:
      web: {kind: http, params: {url: "http://192.0.2.80/"}, tags: [service]}
  office:
    name: Office
    kind: department
    site: {link: {provider: net}}
    checks:
      gateway: {kind: icmp, params: {host: 198.51.100.1}}
      hub: {kind: icmp, params: {host: 192.0.2.1}, link: true, tags: [wan]}
"""

ALL = """\
groups:
  chiefs: {name: {vi: Lãnh đạo, en: Chiefs}, members: [binh, duty]}
rosters:
  duty:
    name: Duty
    time_zone: Asia/Tokyo
    shifts:
      - hours: {mon-fri: ["07:00-17:00"], sat: ["22:00-06:00"]}
        who: [desk, an]
    rotation: {from: 2026-11-02, days: 7, turns: [an, [binh, desk]]}
    otherwise: [desk]
routes:
  centre:
    select: {sites: [centre]}
    severities: [critical]
    to: [duty]
    escalation: [{after: 15m, to: [chiefs]}, {after: 1h30m, to: [binh, an]}]
    repeat: never
    only: true
  lines: {select: {tags: [wan]}, causes: [wan, not known], calendar: office, to: [chiefs], agency_contacts: true}
  rest: {to: [desk]}
conditions:
  down: {looks: 2, out_of: 4, for: 30s}
  degraded: {off: true}
  finding: {names: [chain broken]}
  slow: {on: degraded, select: {tags: [service]}, looks: 5, out_of: 6, recover: 1, quiet: 2m, severity: info}
alerting:
  {group: 5s, wait: 1m, cap: 7, late: 20m, flaps: 6, flaps_within: 30m, steady: 10m, digest: 06:30}
"""


def write(directory: Path, *texts: str) -> Path:
    for number, text in enumerate(texts):
        (directory / f"file{number}.yaml").write_text(text, "utf-8")
    return directory


def loaded(directory: Path, *texts: str) -> Inventory:
    return load(write(directory, BASE, *texts))


def said(directory: Path, *texts: str) -> list[str]:
    found = load_with_problems(write(directory, *texts))[1]
    return [str(one).removeprefix(f"{directory}/") for one in found]


def at(text: str, zone: ZoneInfo = VIETNAM) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


# --- what the files mean ----------------------------------------------------------------------------------------


def test_everything_that_can_be_said_of_it_is_read(tmp_path: Path) -> None:
    found = loaded(tmp_path, ALL)
    assert found.warnings == ()
    told = found.alerting
    assert told.groups == {"chiefs": Group(id="chiefs", name=Text("Lãnh đạo", "Chiefs"), members=("binh", "duty"))}
    weekdays, night = Hours((0, 1, 2, 3, 4), 7 * 60, 17 * 60), (Hours((5,), 22 * 60, 1440), Hours((6,), 0, 6 * 60))
    assert told.rosters["duty"] == Roster(
        id="duty",
        name=Text("Duty", "Duty"),
        time_zone="Asia/Tokyo",
        shifts=(Shift(hours=(weekdays, *night), who=("desk", "an")),),
        rotation=Rotation(begins=date(2026, 11, 2), days=7, turns=(("an",), ("binh", "desk"))),
        otherwise=("desk",),
    )
    steps = (Escalation(after_ms=15 * MINUTE, to=("chiefs",)), Escalation(after_ms=90 * MINUTE, to=("binh", "an")))
    assert told.routes == (
        Route(
            id="centre",
            select=Selector(sites=("centre",)),
            severities=("critical",),
            to=("duty",),
            steps=steps,
            repeat_ms=0,
            only=True,
        ),
        Route(
            id="lines",
            select=Selector(tags=("wan",)),
            causes=("wan", "not known"),
            calendar="office",
            to=("chiefs",),
            agency_contacts=True,
        ),
        Route(id="rest", to=("desk",)),
    )
    numbers = (told.group_ms, told.wait_ms, told.cap, told.late_ms, told.flaps, told.flap_ms, told.steady_ms)
    assert numbers == (5_000, MINUTE, 7, 20 * MINUTE, 6, 30 * MINUTE, 10 * MINUTE)
    assert told.digest == 6 * 60 + 30
    assert [contact.digest for contact in found.contacts.values()] == [True, False, True]


def test_own_conditions_come_first_and_a_defaults_id_changes_what_is_given(tmp_path: Path) -> None:
    conditions = loaded(tmp_path, ALL).alerting.conditions
    assert [one.id for one in conditions] == ["slow", *(one.id for one in default_conditions())]
    assert conditions[0] == Condition(
        id="slow",
        on="degraded",
        select=Selector(tags=("service",)),
        looks=5,
        out_of=6,
        recover=1,
        quiet_ms=2 * MINUTE,
        severity="info",
    )
    by_id = {one.id: one for one in conditions}
    assert by_id["down"] == Condition(id="down", on="down", looks=2, out_of=4, for_ms=30_000)
    default = next(one for one in default_conditions() if one.id == "degraded")
    assert by_id["degraded"] == Condition(
        id="degraded", on="degraded", for_ms=default.for_ms, severity="warning", off=True
    )
    assert by_id["finding"].names == ("chain broken",) and by_id["finding"].severity == "info"
    unchanged = [one for one in default_conditions() if one.id not in ("down", "degraded", "finding")]
    assert [by_id[one.id] for one in unchanged] == unchanged


def test_an_inventory_that_says_nothing_of_it_has_the_defaults(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    assert found.alerting == Alerting() and found.warnings == ()


def test_defaults_written_down_change_nothing(tmp_path: Path) -> None:
    """What stands in the shapes and in the meaning is one set of defaults."""
    assert loaded(tmp_path, "alerting: {}\n").alerting == Alerting()
    (tmp_path / "file1.yaml").write_text("routes: {r: {to: [desk]}}\nconditions: {c: {on: clock}}\n", "utf-8")
    found = load(tmp_path).alerting
    assert found.routes == (Route(id="r", to=("desk",)),)
    assert found.conditions[0] == Condition(id="c", on="clock")


def test_the_digest_may_be_left_out(tmp_path: Path) -> None:
    assert loaded(tmp_path, "alerting: {digest: never}\n").alerting.digest is None


def test_every_kind_of_finding_has_its_name() -> None:
    """The names that conditions may give are those that ingest's notes and the agents' records bear."""
    root = ROOT
    kinds: set[str] = set()
    registry = root / "collector" / "store" / "registry.py"
    for file in (*(root / "collector" / "ingest").rglob("*.py"), *(root / "agent").rglob("*.py"), registry):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) >= 3:
                if node.func.id == "NewEvent" and isinstance(node.args[2], ast.Constant):
                    kinds.add(str(node.args[2].value))
                elif node.func.id == "AddedEvent" and isinstance(node.args[3], ast.Constant):
                    kinds.add(str(node.args[3].value))
                elif node.func.id == "Record" and isinstance(node.args[1], ast.Constant):
                    kinds.add(f"agent {node.args[1].value}")
    assert kinds - {"agent stop"} == set(FINDINGS)  # a stop is part of a life, and never a finding


# --- mistakes ---------------------------------------------------------------------------------------------------

DEFAULT_IDS = ", ".join(one.id for one in default_conditions())
ROUTE = "routes:\n  r:\n    to: [desk]\n"
SHIFT = "rosters:\n  r:\n    shifts:\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # contacts
        (
            'contacts: {c: {name: C, email: "a@x.example, b@x.example"}}',
            "1: contacts.c.email: 'a@x.example, b@x.example' is not an address",
        ),
        (
            "contacts: {c: {name: C, email: a@x.example, digest: 07:00}}",
            "1: contacts.c.digest: ought to be true or false, found '07:00'",
        ),
        # groups
        ("groups: {g: {members: [nobody]}}", "1: groups.g.members: there is no contact, group or roster nobody"),
        ("groups: {g: {name: G}}", "1: groups.g: needs the key members"),
        ("groups: {g: {members: []}}", "1: groups.g.members: has nobody"),
        ("groups: {g: {members: [an, desk, an]}}", "1: groups.g.members: has an twice"),
        ("groups: {g: {members: [g]}}", "1: groups.g.members: leads back to itself: g > g"),
        (
            "groups:\n  a: {members: [an, b]}\n  b:\n    members: [c]\n  c: {members: [b, desk]}",
            "4: groups.b.members: leads back to itself: b > c > b",
        ),
        ("groups: {desk: {members: [an]}}", "1: groups.desk: is the id of a contact too; give it another"),
        (
            f"groups: {{g: {{members: [{', '.join(['an'] * 1001)}]}}}}",
            "1: groups.g.members: has 1001 names, more than 1000",
        ),
        # rosters
        ("rosters: {an: {otherwise: [desk]}}", "1: rosters.an: is the id of a contact too; give it another"),
        (
            "groups: {g: {members: [an]}}\nrosters: {g: {otherwise: [desk]}}",
            "2: rosters.g: is the id of a group too; give it another",
        ),
        ("rosters: {r: {name: R}}", "1: rosters.r: has nobody: give shifts, a rotation or otherwise"),
        (
            "rosters: {r: {otherwise: [an], time_zone: Asia/Soc_Trang}}",
            "1: rosters.r.time_zone: there is no time zone 'Asia/Soc_Trang'; write it like Asia/Ho_Chi_Minh",
        ),
        ("rosters: {r: {otherwise: [nobody]}}", "1: rosters.r.otherwise: there is no contact nobody"),
        (
            "groups: {g: {members: [an]}}\nrosters: {r: {otherwise: [g]}}",
            "2: rosters.r.otherwise: g is a group, not a contact",
        ),
        (
            "rosters: {q: {otherwise: [an]}, r: {otherwise: [q]}}",
            "1: rosters.r.otherwise: q is a roster, not a contact",
        ),
        (
            SHIFT + "      - {hours: {daily: [00:00-24:00]}, who: [nobody]}",
            "4: rosters.r.shifts[0].who: there is no contact nobody",
        ),
        (SHIFT + "      - {hours: {daily: [00:00-24:00]}, who: []}", "4: rosters.r.shifts[0].who: has nobody"),
        (
            SHIFT + "      - {hours: {daily: [00:00-24:00], monday: [07:00-08:00]}, who: [an]}",
            "4: rosters.r.shifts[0].hours.monday: 'monday' are not days; write daily, mon-fri or sat,sun",
        ),
        (
            SHIFT + "      - {hours: {daily: [00:00-24:00], mon: [7-8]}, who: [an]}",
            "4: rosters.r.shifts[0].hours.mon: '7-8' are not hours; write them like 07:00-11:30",
        ),
        (
            SHIFT + "      - {hours: {daily: [00:00-24:00]}, who: [an]}\n"
            "      - {hours: {sat: [22:00-06:00]}, who: [binh]}",
            "5: warning: rosters.r.shifts[1].hours: sat 22:00-24:00 is in shifts[0] too: both are on duty then",
        ),
        (
            SHIFT + "      - {hours: {mon-fri: [07:00-17:00]}, who: [an]}",
            "3: warning: rosters.r.shifts: leave 4d22h of the week to nobody, first mon 00:00-07:00; "
            "say who it is otherwise",
        ),
        (
            SHIFT + "\n".join(["      - {hours: {mon: [07:00-08:00]}, who: [an]}"] * 201),
            "3: rosters.r.shifts: are 201, more than 200",
        ),
        (
            "rosters: {r: {rotation: {from: 2026-11-02, turns: []}}}",
            "1: rosters.r.rotation.turns: has nobody",
        ),
        (
            "rosters: {r: {rotation: {from: 2026-11-02, turns: [an, []]}}}",
            "1: rosters.r.rotation.turns[1]: has nobody",
        ),
        (
            "rosters: {r: {rotation: {from: 2026-11-02, turns: [an, nobody]}}}",
            "1: rosters.r.rotation.turns[1]: there is no contact nobody",
        ),
        (
            "rosters: {r: {rotation: {from: 2026-11-02, days: 0, turns: [an]}}}",
            "1: rosters.r.rotation.days: 0 is not between 1 and 366",
        ),
        ("rosters: {r: {rotation: {turns: [an]}}}", "1: rosters.r.rotation: needs the key from"),
        (
            f"rosters: {{r: {{rotation: {{from: 2026-11-02, turns: [{', '.join(['an'] * 401)}]}}}}}}",
            "1: rosters.r.rotation.turns: are 401, more than 400",
        ),
        # routes
        ("routes: {r: {to: [nobody]}}", "1: routes.r.to: there is no contact, group or roster nobody"),
        (
            "routes: {all: {to: [desk]}, r: {}}",
            "1: routes.r.to: has nobody: give to or agency_contacts: true (or only: true, and nobody is told)",
        ),
        (
            ROUTE + "    severities: [fatal]",
            "4: routes.r.severities[0]: ought to be one of critical, info, warning; found 'fatal'",
        ),
        (ROUTE + "    severities: []", "4: routes.r.severities: names none, so the route takes nothing"),
        (
            ROUTE + "    causes: [wan, gremlins]",
            "4: routes.r.causes: 'gremlins' is not a cause; known are: service, lan, wan, power, agent, collector, "
            "not known",
        ),
        (ROUTE + "    calendar: nights", "4: routes.r.calendar: there is no calendar nights"),
        (ROUTE + "    select: {kinds: [ping]}", "4: routes.r.select: kinds: there is no ping"),
        (ROUTE + "    select: {sites: [nowhere]}", "4: routes.r.select: sites: there is no nowhere"),
        (ROUTE + "    selekt: {}", "4: routes.r.selekt: is not a key known here; did you mean select?"),
        (ROUTE + "    repeat: 5s", "4: routes.r.repeat: 5s is not between 10s and 30d; never is a word for it"),
        (
            ROUTE + "    repeat: often",
            "4: routes.r.repeat: 'often' is not a duration; write it like 30s, 5m, 1h30m or 250ms",
        ),
        (
            ROUTE + "    escalation:\n      - {after: 15m, to: [nobody]}",
            "5: routes.r.escalation[0].to: there is no contact, group or roster nobody",
        ),
        (ROUTE + "    escalation: [{after: 15m, to: []}]", "4: routes.r.escalation[0].to: has nobody"),
        (ROUTE + "    escalation: [{after: 0s, to: [an]}]", "4: routes.r.escalation[0].after: 0s is not later than 0s"),
        (
            ROUTE + "    escalation:\n      - {after: 1h, to: [an]}\n      - {after: 30m, to: [binh]}",
            "6: routes.r.escalation[1].after: 30m is not later than the step before it, 1h",
        ),
        (
            ROUTE + f"    escalation: [{', '.join(f'{{after: {n}m, to: [an]}}' for n in range(1, 12))}]",
            "4: routes.r.escalation: has 11 steps, more than 10",
        ),
        (
            "routes:\n  all: {to: [desk]}\n  r:\n    select: {tags: [none]}\n    to: [an]",
            "3: warning: routes.r: takes nothing: it selects no check and no agent",
        ),
        (
            "routes:\n  all: {to: [desk], only: true}\n  r: {select: {tags: [wan]}, to: [an]}",
            "3: warning: routes.r: takes nothing: all of it goes to all before, and only there",
        ),
        (
            "routes:\n  r: {select: {agencies: [centre]}, to: [desk]}",
            "2: warning: routes: nobody is told of a critical incident of the check gateway of the agent office; "
            "the same goes for 3 more",
        ),
        (
            "routes:\n  r: {to: [desk], severities: [critical]}\n  c: {to: [an], causes: [wan, power]}",
            "3: warning: routes: nobody is told of a warning incident of the check web of the agent centre with "
            "the cause service; the same goes for 5 more",
        ),
        # conditions
        (
            "conditions: {c: {for: 5m}}",
            f"1: conditions.c: needs the key on: no default condition has this id; they are: {DEFAULT_IDS}",
        ),
        (
            "conditions: {down: {on: degraded}}",
            "1: conditions.down.on: the default condition down is on down: another one needs an id of its own",
        ),
        (
            "conditions: {c: {on: broken}}",
            "1: conditions.c.on: ought to be one of clock, collector, degraded, down, finding, missed, quarantine, "
            "risk, silent; found 'broken'",
        ),
        ("conditions: {down: {looks: 5}}", "1: conditions.down.looks: 5 looks out of the last 3 there cannot be"),
        ("conditions: {down: {out_of: 2}}", "1: conditions.down.out_of: 3 looks out of the last 2 there cannot be"),
        ("conditions: {down: {recover: 0}}", "1: conditions.down.recover: 0 is not between 1 and 100"),
        (
            "conditions: {c: {on: silent, looks: 3}}",
            "1: conditions.c.looks: means nothing to a condition on silent",
        ),
        ("conditions: {risk: {for: 5m}}", "1: conditions.risk.for: means nothing to a condition on risk"),
        (
            "conditions: {down: {names: [conflict]}}",
            "1: conditions.down.names: means nothing to a condition on down",
        ),
        (
            "conditions: {collector: {select: {sites: [centre]}}}",
            "1: conditions.collector.select: means nothing to a condition on collector",
        ),
        (
            "conditions: {finding: {names: [dead leters]}}",
            f"1: conditions.finding.names: there is no finding 'dead leters'; known are: {', '.join(FINDINGS)}",
        ),
        (
            "conditions: {c: {on: down, severity: fatal}}",
            "1: conditions.c.severity: ought to be one of critical, info, warning; found 'fatal'",
        ),
        (
            "conditions: {c: {on: down, select: {kinds: [ping]}}}",
            "1: conditions.c.select: kinds: there is no ping",
        ),
        (
            "conditions: {c: {on: down, select: {tags: [none]}}}",
            "1: warning: conditions.c.select: selects no check and no agent",
        ),
        (
            "conditions:\n" + "\n".join(f"  c-{n}: {{on: clock}}" for n in range(1001)),
            "2: conditions: are 1001, more than 1000",
        ),
        # the numbers
        ("alerting: {cap: 0}", "1: alerting.cap: 0 is not between 1 and 1000"),
        ("alerting: {flaps: 1}", "1: alerting.flaps: 1 is not between 2 and 100"),
        ("alerting: {late: 30s}", "1: alerting.late: 30s is not between 1m and 7d"),
        ("alerting: {group: 2h}", "1: alerting.group: 2h is not between 0s and 1h"),
        ("alerting: {wait: 35}", "1: alerting.wait: '35' is not a duration; write it like 30s, 5m, 1h30m or 250ms"),
        ("alerting: {digest: 7am}", "1: alerting.digest: '7am' is not a time of day; write it like 07:00, or never"),
        (
            "alerting: {digest: 24:00}",
            "1: alerting.digest: '24:00' is not a time of day; write it like 07:00, or never",
        ),
        ("alerting: {digets: 07:00}", "1: alerting.digets: is not a key known here; did you mean digest?"),
    ],
)
def test_one_mistake(tmp_path: Path, text: str, expected: str) -> None:
    assert said(tmp_path, BASE, text + "\n") == [f"file1.yaml:{expected}"]


def test_all_mistakes_are_said_at_once(tmp_path: Path) -> None:
    text = """\
groups:
  g: {members: [nobody]}
rosters:
  r: {rotation: {from: 2026-11-02, turns: []}}
routes:
  x: {to: [g, r, desk], escalation: [{after: 5m, to: [nobody]}]}
conditions:
  c: {on: down, looks: 4}
alerting: {cap: 0, flaps: 1}
"""
    assert said(tmp_path, BASE, text) == [
        "file1.yaml:2: groups.g.members: there is no contact, group or roster nobody",
        "file1.yaml:4: rosters.r.rotation.turns: has nobody",
        "file1.yaml:6: routes.x.escalation[0].to: there is no contact, group or roster nobody",
        "file1.yaml:8: conditions.c.looks: 4 looks out of the last 3 there cannot be",
        "file1.yaml:9: alerting.cap: 0 is not between 1 and 1000",
        "file1.yaml:9: alerting.flaps: 1 is not between 2 and 100",
    ]


def test_no_mistake_follows_from_an_entry_that_could_not_be_read(tmp_path: Path) -> None:
    text = "groups: {g: {members: x}}\nroutes: {r: {select: {sites: [office]}, to: [g, late]}}\nrosters: {late: 3}\n"
    assert said(tmp_path, BASE, text) == [
        "file1.yaml:1: groups.g.members: ought to be a list, found 'x'",
        "file1.yaml:3: rosters.late: ought to be a mapping, found '3'",
    ]


def test_alerting_is_described_once(tmp_path: Path) -> None:
    assert said(tmp_path, BASE, "alerting: {cap: 5}\n", "alerting: {cap: 6}\n") == [
        f"file2.yaml:1: alerting: is described twice, first in {tmp_path}/file1.yaml:1"
    ]


# --- who is told of nothing -------------------------------------------------------------------------------------

LONELY = BASE.replace("    contacts: [desk]\n", "")


def test_without_routes_there_is_always_somebody(tmp_path: Path) -> None:
    found = load(write(tmp_path, LONELY))
    assert found.warnings == ()
    everybody = "desk, an, binh"
    assert show_alerting.notification_rows(found, "office", 0)[1:] == [("critical", everybody), ("warning", everybody)]


def test_nothing_is_said_where_nobody_is_to_be_told(tmp_path: Path) -> None:
    start, _, rest = LONELY.partition("contacts:\n")
    assert said(tmp_path, start + "agencies:" + rest.partition("agencies:")[2]) == []


def test_what_the_agencys_contacts_take_reaches_nobody_where_it_has_none(tmp_path: Path) -> None:
    routes = "routes: {own: {agency_contacts: true}}\n"
    assert said(tmp_path, BASE, routes) == [
        "file1.yaml:1: warning: routes: nobody is told of a critical incident of the check gateway of the agent office"
        "; the same goes for 3 more"
    ]
    assert said(tmp_path, BASE.replace("name: Office", "name: O\n    contacts: [an]"), routes) == [
        "file1.yaml:1: warning: routes: nobody is told of a critical incident of the collector and the goals"
    ]


def test_the_collectors_own_troubles_need_a_route_for_everything(tmp_path: Path) -> None:
    routes = "routes: {a: {select: {agencies: [office]}, to: [an]}, b: {select: {sites: [centre]}, to: [desk]}}\n"
    assert said(tmp_path, BASE, routes) == [
        "file1.yaml:1: warning: routes: nobody is told of a critical incident of the collector and the goals"
    ]
    assert said(tmp_path, BASE, routes.replace("select: {sites: [centre]}, ", "")) == []


def test_a_route_for_some_hours_hides_no_other(tmp_path: Path) -> None:
    routes = "routes: {day: {calendar: office, to: [desk], only: true}, night: {to: [an]}}\n"
    assert said(tmp_path, BASE, routes) == []
    assert [row[0] for row in show_alerting.notification_rows(load(tmp_path), "office", 0)] == ["route", "day", "night"]
    assert len(said(tmp_path, BASE, routes.replace("to: [desk], ", ""))) == 1  # by day nobody


def test_a_condition_that_is_off_or_for_the_digest_loses_nothing(tmp_path: Path) -> None:
    routes = "routes: {r: {severities: [critical], to: [desk]}}\n"
    quiet = ", ".join(
        f"{one.id}: {{severity: info}}" for one in default_conditions() if one.severity == "warning"
    ).replace("degraded: {severity: info}", "degraded: {off: true}")
    assert said(tmp_path, BASE, routes, f"conditions: {{{quiet}}}\n") == []
    assert len(said(tmp_path, BASE, routes, "conditions: {degraded: {off: true}}\n")) == 1


def test_a_route_that_mutes_is_named(tmp_path: Path) -> None:
    muted = "routes: {m: {select: {tags: [wan]}, only: true}, rest: {to: [desk]}}\n"
    assert said(tmp_path, BASE, muted) == [
        "file1.yaml:1: warning: routes: nobody is told of a critical incident of the check hub of the agent office"
    ]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_survey_agrees_with_asking_every_route(data: st.DataObject) -> None:
    """Against the plainest reading of what routes mean, asked of each subject, severity and cause by itself."""
    from inventory.model.alerting import SEVERITIES
    from inventory.protocol.causes import CAUSES

    selects = [Selector(), Selector(tags=("wan",)), Selector(sites=("office",)), Selector(kinds=("http",))]
    routes = tuple(
        Route(
            id=f"r-{n}",
            select=data.draw(st.sampled_from(selects)),
            severities=tuple(data.draw(st.lists(st.sampled_from(SEVERITIES), min_size=1, unique=True))),
            causes=tuple(data.draw(st.lists(st.sampled_from(("wan", "power")), max_size=2, unique=True))),
            to=data.draw(st.sampled_from([(), ("desk",)])),
            agency_contacts=data.draw(st.booleans()),
            only=data.draw(st.booleans()),
            calendar=data.draw(st.sampled_from(["", "office"])),
        )
        for n in range(data.draw(st.integers(1, 4)))
    )
    base = _base()
    made = Inventory(
        **{name: getattr(base, name) for name in base.__struct_fields__ if name != "alerting"},
        alerting=Alerting(routes=routes),
    )
    taken, lost = set(), False
    for about in reach.incident_subjects(made):
        for severity in SEVERITIES:
            for cause in CAUSES:
                agency = made.agencies.get(about.agency)
                told = {True: False, False: False}
                for office_hours in (True, False):
                    for route in routes:
                        if not reach.matcher(route.select, made)(about) or severity not in route.severities:
                            continue
                        if route.causes and cause not in route.causes:
                            continue
                        taken.add(route.id)
                        own = route.agency_contacts and agency is not None and bool(agency.contacts)
                        told[office_hours] |= bool(route.to) or own
                        if route.only and (office_hours or not route.calendar):
                            break
                if about.check is None and about.agent == "":
                    arises = severity != "info"  # the collector's own, and goals
                elif about.check is None:
                    arises = severity == "warning"  # silent and clock
                else:
                    arises = severity != "info"
                lost |= arises and not all(told.values())
    found = reach.survey(made)
    assert set(found.idle) == {route.id for route in routes} - taken
    assert bool(found.unreached) == lost


_loaded: list[Inventory] = []


def _base() -> Inventory:
    if not _loaded:
        import tempfile

        with tempfile.TemporaryDirectory() as directory:
            _loaded.append(loaded(Path(directory)))
    return _loaded[0]


# --- who is on duty ---------------------------------------------------------------------------------------------

ROSTER = Roster(
    id="r",
    name=Text("", ""),
    shifts=(
        Shift(hours=(Hours((0, 1, 2, 3, 4), 7 * 60, 17 * 60),), who=("desk",)),
        Shift(hours=(Hours((4,), 16 * 60, 20 * 60),), who=("binh", "desk")),
    ),
    rotation=Rotation(begins=date(2026, 11, 2), days=7, turns=(("an",), ("binh", "an"))),
    otherwise=("chief",),
)


@pytest.mark.parametrize(
    ("moment", "who"),
    [
        ("2026-11-27 06:59", ("binh", "an")),  # a Friday of the rotation's fourth week
        ("2026-11-27 07:00", ("desk",)),
        ("2026-11-27 16:00", ("desk", "binh")),  # both shifts
        ("2026-11-27 17:00", ("binh", "desk")),
        ("2026-11-27 20:00", ("binh", "an")),
        ("2026-11-29 23:59", ("binh", "an")),
        ("2026-11-30 00:00", ("an",)),  # Monday: the next turn
        ("2026-11-01 12:00", ("chief",)),  # before the rotation began
        ("2026-11-02 00:00", ("an",)),
    ],
)
def test_who_is_on_duty(moment: str, who: tuple[str, ...]) -> None:
    assert on_duty(ROSTER, at(moment), VIETNAM) == who


def test_a_roster_has_its_own_clock() -> None:
    roster = Roster(id="r", name=Text("", ""), time_zone="Europe/Berlin", shifts=ROSTER.shifts, otherwise=("chief",))
    assert on_duty(roster, at("2026-11-27 07:00"), VIETNAM) == ("chief",)
    berlin = ZoneInfo("Europe/Berlin")
    assert on_duty(roster, at("2026-11-27 07:00", berlin), VIETNAM) == ("desk",)
    assert on_duty(roster, at("2026-07-03 07:00", berlin), VIETNAM) == ("desk",)  # summer time as well
    assert on_duty(roster, at("2026-07-03 06:59", berlin), VIETNAM) == ("chief",)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 30),
    st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3, unique=True), min_size=1, max_size=5),
    st.integers(0, 2000),
    st.integers(0, 1439),
)
def test_turns_follow_one_another_for_ever(days: int, turns: list[list[str]], day: int, minute: int) -> None:
    begins = date(2026, 1, 5)
    roster = Roster(
        id="r", name=Text("", ""), rotation=Rotation(begins=begins, days=days, turns=tuple(map(tuple, turns)))
    )
    expected = [turn for _ in range(2001) for turn in turns for _ in range(days)][day]
    moment = datetime.combine(begins + timedelta(days=day), datetime.min.time(), VIETNAM) + timedelta(minutes=minute)
    assert on_duty(roster, round(moment.timestamp() * 1000), VIETNAM) == tuple(expected)


def test_names_stand_for_contacts_each_once() -> None:
    groups = {
        "all": Group(id="all", name=Text("", ""), members=("inner", "chief", "r")),
        "inner": Group(id="inner", name=Text("", ""), members=("desk", "all")),  # a circle does no harm here
    }
    alerting = Alerting(groups=groups, rosters={"r": ROSTER})
    friday = at("2026-11-27 18:00")
    assert contacts_of(("an", "all", "an"), alerting, friday, VIETNAM) == ("an", "desk", "chief", "binh")
    assert contacts_of(("r",), alerting, friday, VIETNAM) == ("binh", "desk")
    assert contacts_of(("r",), alerting, None, VIETNAM) == ("desk", "binh", "an", "chief")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 23), st.integers(1, 24)), min_size=1, max_size=6))
def test_hours_without_anybody_are_counted_as_they_are(drawn: list[tuple[int, int, int]]) -> None:
    import tempfile

    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    shifts = [(day, start, end) for day, start, end in drawn if start < end]
    if not shifts:
        return
    text = SHIFT + "\n".join(
        f'      - {{hours: {{{names[day]}: ["{start:02}:00-{end:02}:00"]}}, who: [an]}}' for day, start, end in shifts
    )
    with tempfile.TemporaryDirectory() as directory:
        found = said(Path(directory), BASE, text + "\n")
        roster = load_with_problems(directory)[0]
    assert roster is not None
    monday = at("2026-11-23 00:00")
    free = sum(
        not on_duty(roster.alerting.rosters["r"], monday + minute * MINUTE, VIETNAM)
        for minute in range(0, MINUTES_OF_A_WEEK, 60)
    )
    taken = [hour for day, start, end in shifts for hour in range(day * 24 + start, day * 24 + end)]
    assert free == 7 * 24 - len(set(taken))
    days, hours = divmod(free, 24)
    length = f"{days}d" * bool(days) + f"{hours}h" * bool(hours)
    assert any(f"leave {length} of the week to nobody" in one for one in found) == bool(free)
    assert any("both are on duty then" in one for one in found) == (len(set(taken)) < len(taken))


# --- show -------------------------------------------------------------------------------------------------------


def test_show_says_who_would_be_told(tmp_path: Path) -> None:
    found = loaded(tmp_path, ALL)
    friday = at("2026-11-27 18:00", ZoneInfo("Asia/Tokyo"))  # after the shift, the rotation's second turn
    heads = ("route", "told of", "whom", "who that is now", "when nobody acknowledges", "again every")
    office = ("lines", "warning, critical by wan, not known (of 1 of its 3 checks and agents) (in the hours of office)")
    assert show_alerting.notification_rows(found, "office", friday) == [
        heads,
        (*office, "chiefs, the agency's contacts", "binh, desk", "", "4h"),
        ("rest", "warning, critical", "desk", "desk", "", "4h"),
    ]
    steps = "after 15m chiefs; after 1h30m binh, an"
    assert show_alerting.notification_rows(found, "centre", friday) == [
        heads,
        ("centre", "critical", "duty, and no other route", "binh, desk", steps, "never"),
        ("rest", "warning, critical", "desk", "desk", "", "4h"),
    ]
    (hub,) = [check.uid for check in found.checks.values() if check.key == "hub"]
    assert [row[0] for row in show_alerting.notification_rows(found, hub, friday)] == ["route", "lines", "rest"]
    assert show_alerting.notification_rows(found, "net", friday) == []


def test_show_leaves_out_routes_that_get_nothing_of_it(tmp_path: Path) -> None:
    routes = "routes: {a: {select: {agencies: [office]}, to: [an], only: true}, rest: {to: [desk]}}\n"
    found = loaded(tmp_path, routes)
    assert [row[0] for row in show_alerting.notification_rows(found, "office", 0)] == ["route", "a"]
    assert [row[0] for row in show_alerting.notification_rows(found, "centre", 0)] == ["route", "rest"]
    (tmp_path / "file1.yaml").write_text("routes: {a: {select: {agencies: [office]}, to: [an]}}\n", "utf-8")
    assert show_alerting.notification_rows(load(tmp_path), "centre", 0) == [
        ("route", "told of"),
        ("no route takes it", "nobody"),
    ]


def test_show_without_routes(tmp_path: Path) -> None:
    base = BASE.replace("name: Office", "name: O\n    contacts: [an]")
    found = load(write(tmp_path, base))
    assert show_alerting.notification_rows(found, "office", 0) == [
        ("told of", "who"),
        ("critical", "an, desk"),
        ("warning", "an"),
    ]
    found = load(write(tmp_path, BASE))
    assert show_alerting.notification_rows(found, "office", 0) == [
        ("told of", "who"),
        ("critical", "desk"),
        ("warning", "desk"),
    ]


def test_show_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, BASE, ALL)

    def shown(ident: str) -> str:
        assert main.main(["show", str(tmp_path), ident]) == 0
        return " ".join(capsys.readouterr().out.split())

    assert "route told of whom who that is now" in shown("office")
    assert "group chiefs" in shown("chiefs") and "members binh, duty" in shown("chiefs")
    assert "on duty from who now" in shown("duty")
    assert "after 15m, to chiefs" in shown("centre")
    assert "quiet 2m" in shown("slow")
    assert "told by agency centre roster duty" in shown("desk").replace("group chiefs ", "")
    assert "route centre, after 15m" in shown("binh")


def test_the_next_changes_of_duty(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    assert show_alerting.duty_rows(ROSTER, found, at("2026-11-27 18:30"))[:5] == [
        ("on duty from", "who"),
        ("now", "binh, desk"),
        ("Fri 2026-11-27 20:00", "binh, an"),
        ("Mon 2026-11-30 00:00", "an"),
        ("Mon 2026-11-30 07:00", "desk"),
    ]


def test_what_the_docs_show_is_read(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "alerts.md").read_text("utf-8")
    blocks = re.findall(r"^```yaml\n((?:contacts|conditions):.*?)^```$", page, re.M | re.S)
    assert len(blocks) == 2
    base = BASE.replace("contacts: [desk]", "contacts: []").replace("tags: [service]", "tags: [service, portal]")
    start, _, rest = base.partition("contacts:\n")
    found = load(write(tmp_path, start + "agencies:" + rest.partition("agencies:")[2], *blocks))
    assert found.warnings == ()
    assert len(found.alerting.routes) == 2 and len(found.contacts) == 2
    assert found.alerting.conditions[0].id == "slow-portal"


def test_constants_are_what_their_names_say() -> None:
    assert (MINUTE, HOUR, DAY) == (60_000, 3_600_000, 86_400_000)
