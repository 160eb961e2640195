"""Directories of YAML to an inventory: what is derived, and one broken file per mistake with its exact message."""

import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import probes
from inventory.assembly.load import load, load_with_problems
from inventory.assembly.planning import plans_of
from inventory.assembly.threshold_text import quantity
from inventory.base.problems import Invalid
from inventory.base.types import Text
from inventory.model.entities import Inventory
from inventory.model.goals import members
from inventory.protocol import kinds
from inventory.protocol.plan import Threshold

STRING = {"type": "string", "minLength": 1}
KINDS = kinds.parse(
    json.dumps(
        {
            "icmp": {
                "doc": "Echo requests.",
                "target": ["host"],
                "params": {
                    "type": "object",
                    "properties": {
                        "host": STRING,
                        "count": {"type": "integer", "minimum": 1, "maximum": 100, "default": 3},
                        "spacing": {"type": "number", "default": 0.2},
                        "family": {"enum": ["any", "ipv4", "ipv6"], "default": "any"},
                    },
                    "required": ["host"],
                },
                "measures": [
                    {"name": "loss_ratio", "unit": "ratio", "help": "Lost", "per": 10000},
                    {"name": "jitter_seconds", "unit": "seconds", "help": "Jitter", "per": 1000000},
                ],
            },
            "tcp": {
                "doc": "A connection.",
                "target": ["host", "port", "server_name"],
                "params": {
                    "type": "object",
                    "properties": {
                        "host": STRING,
                        "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                        "server_name": {"type": "string", "default": ""},
                        "statuses": {
                            "type": "array",
                            "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                            "default": [],
                        },
                        "verify": {"type": "boolean", "default": True},
                        "expect": {"anyOf": [STRING, {"type": "null"}], "default": None},
                    },
                    "required": ["host", "port"],
                },
            },
        }
    )
)

BASE = """
province:
  id: p
  name: {vi: Tỉnh, en: Province}
  hub: centre
  collectors: [{name: one, url: "https://192.0.2.8:8443", authority: true}]
providers:
  net-a: {name: A}
  net-b: {name: B}
contacts:
  desk: {name: Desk, email: desk@example.org}
templates:
  lan:
    checks:
      gateway:
        kind: icmp
        params: {host: "{gateway}"}
        interval: 30s
        tags: [lan]
      hub:
        kind: icmp
        params: {host: "{hub}", count: 10}
        when: hub
        link: true
        tags: [wan]
        thresholds: [{measure: loss_ratio, above: 5%}, {measure: latency, above: 150ms, state: down}]
      from-hub: {kind: icmp, params: {host: "{wan}"}, when: wan, agent: hub, link: true, tags: [wan, outside]}
      dns: {kind: tcp, params: {host: "{item}", port: 53}, each: resolvers, name: "DNS {item} of {agency_name}"}
      web: {kind: tcp, params: {host: "{item}", port: "{web_port}"}, each: devices, of: web}
agencies:
  centre:
    name: {vi: Trung tâm, en: Centre}
    site: {wan: 192.0.2.1, gateway: 192.0.2.1}
    checks:
      self: {kind: icmp, params: {host: 127.0.0.1}}
    contacts: [desk]
"""

OFFICE = """
agencies:
  office:
    name: {vi: Cơ quan, en: Office}
    kind: department
    from: 2011-01-01
    contacts: [desk]
    template: lan
    site:
      gateway: 198.51.100.1
      wan: 203.0.113.1
      resolvers: [198.51.100.53, "2001:db8::53"]
      facts: {web_port: 8080}
      link: {provider: net-a, objective: 99%, formerly: [{provider: net-b, until: 2012-07-01}]}
      devices:
        portal: {name: {vi: Cổng, en: Portal}, kind: web, address: 198.51.100.80, from: 2012-01-01, tags: [public]}
        printer: {kind: printer, address: 198.51.100.9}
"""


def write(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text, "utf-8")
    return directory


def loaded(directory: Path, *texts: str) -> Inventory:
    return load(write(directory, **{f"file{number}": text for number, text in enumerate(texts)}), KINDS)


def said(directory: Path, *texts: str, warnings: bool = True) -> list[str]:
    """All problems, with file names without their directory."""
    found = load_with_problems(write(directory, **{f"file{number}": text for number, text in enumerate(texts)}), KINDS)[
        1
    ]
    return [str(one).removeprefix(f"{directory}/") for one in found if warnings or not one.warning]


def test_a_few_lines_become_an_agency_with_its_checks(tmp_path: Path) -> None:
    found = loaded(tmp_path, BASE, OFFICE)
    assert found.warnings == ()
    checks = {(check.agent, check.name): check for check in found.checks.values()}
    assert list(checks) == [
        ("centre", "self"),
        ("office", "gateway"),
        ("office", "hub"),
        ("centre", "office.from-hub"),
        ("office", "dns-198-51-100-53"),
        ("office", "dns-2001-db8-53"),
        ("office", "web-portal"),
    ]
    hub = checks["office", "hub"]
    assert (hub.params, hub.link, hub.tags) == ({"host": "192.0.2.1", "count": 10}, "office", ("wan",))
    assert (hub.interval, hub.timeout, hub.hold, hub.recheck) == (60_000, 5_000, 125_000, 5_000)
    assert hub.thresholds == (
        Threshold(measure="loss_ratio", above=0.05),
        Threshold(measure="latency", above=0.15, state="down"),
    )
    outside = checks["centre", "office.from-hub"]
    assert (outside.site, outside.agency, outside.params) == ("office", "office", {"host": "203.0.113.1"})
    web = checks["office", "web-portal"]
    assert (web.params["port"], web.tags, str(web.begins), web.title) == (
        8080,
        ("public",),
        "2012-01-01",
        Text("Cổng", "Portal"),
    )
    assert checks["office", "dns-2001-db8-53"].title == Text(
        "DNS 2001:db8::53 of Cơ quan", "DNS 2001:db8::53 of Office"
    )
    assert found.links["office"].provider_on(found.links["office"].formerly[0].until) == "net-a"


def test_a_sites_own_check_overrides_the_templates_key_by_key(tmp_path: Path) -> None:
    own = """
    checks:
      hub: {params: {count: 5}, interval: 10s, tags: [wan, important]}
      gateway: {off: true}
      extra: {kind: tcp, params: {host: 198.51.100.7, port: 22, expect: null, statuses: [200, 300-399]}}
"""
    checks = {check.name: check for check in loaded(tmp_path, BASE, OFFICE + own).checks.values()}
    assert "gateway" not in checks
    assert checks["hub"].params == {"host": "192.0.2.1", "count": 5}
    assert (checks["hub"].interval, checks["hub"].tags) == (10_000, ("wan", "important"))
    assert checks["hub"].link == "office" and len(checks["hub"].thresholds) == 2
    assert checks["extra"].params == {"host": "198.51.100.7", "port": 22, "expect": None, "statuses": [200, "300-399"]}


def test_a_site_may_look_in_another_way(tmp_path: Path) -> None:
    own = "    checks: {hub: {kind: tcp, params: {host: 192.0.2.1, port: 22}}}\n"
    checks = {check.name: check for check in loaded(tmp_path, BASE, OFFICE + own).checks.values()}
    assert checks["hub"].params == {"host": "192.0.2.1", "port": 22}
    assert (checks["hub"].kind, checks["hub"].thresholds, checks["hub"].tags) == ("tcp", (), ("wan",))


FILLING = """
calendars: {late: {hours: {daily: [12:00-20:00]}}, early: {hours: {daily: [06:00-12:00]}}}
templates:
  t:
    checks:
      plain:
        kind: tcp
        params: {host: "{host}", port: "{port|22}", server_name: "{name|}", statuses: ["{statuses|200, 204}"]}
      both: {kind: icmp, params: {host: "{host}"}, when: "host, other", calendar: register}
      each:
        {kind: tcp, params: {host: "{item}", port: "{port|1}"}, each: devices, when: port, name: "{item_name} {port|?}"}
      hubs: {kind: icmp, params: {host: "{hub_inside}"}, when: hub_inside}
      limit: {kind: icmp, params: {host: "{host}"}, thresholds: [{measure: latency, above: "{slow|2s}"}]}
agencies:
  x:
    name: X
    template: t
    register: {pcs: 3, hours: late}
    site:
      facts: {host: 192.0.2.1}
      devices: {a: {address: 192.0.2.2, facts: {port: 80}}, b: {address: 192.0.2.3}, c: {}}
  y:
    name: Y
    template: t
    register: {pcs: 3}
    site: {facts: {host: 192.0.2.1, other: "", port: 23, name: n, statuses: 300-399, slow: 40ms}}
"""


def test_placeholders_have_defaults_and_devices_their_own_facts(tmp_path: Path) -> None:
    base = BASE.replace("  hub: centre", "  hub: centre\n  pc_hours: early")
    base = base.replace("gateway: 192.0.2.1}", "gateway: 192.0.2.1, facts: {inside: 192.0.2.9}}")
    checks = {(c.agent, c.name): c for c in loaded(tmp_path, base, FILLING).checks.values() if c.agent != "centre"}
    assert {name for agent, name in checks if agent == "x"} == {"plain", "each-a", "hubs", "limit"}
    assert {name for agent, name in checks if agent == "y"} == {"plain", "both", "hubs", "limit"}
    x, y = checks["x", "plain"].params, checks["y", "plain"].params
    assert x == {"host": "192.0.2.1", "port": 22, "server_name": "", "statuses": [200, 204]}
    assert y == {"host": "192.0.2.1", "port": 23, "server_name": "n", "statuses": ["300-399"]}
    assert (checks["x", "each-a"].params["port"], checks["x", "each-a"].title.en) == (80, "a 80")
    assert checks["x", "hubs"].params == {"host": "192.0.2.9"}
    assert [checks[agent, "limit"].thresholds[0].above for agent in "xy"] == [2.0, 0.04]
    assert checks["y", "both"].calendar == "early"  # the province's; x's own is late
    both = FILLING.replace("facts: {host: 192.0.2.1}", "facts: {host: 192.0.2.1, other: z}")
    assert [c.calendar for c in loaded(tmp_path, base, both).checks.values() if c.key == "both"] == ["late", "early"]


def test_a_site_leaves_out_one_of_a_template_s_checks_of_each_device(tmp_path: Path) -> None:
    devices = "c: {}}\n    checks: {each-a: {off: true}}"
    filling = FILLING.replace("b: {address: 192.0.2.3}", "b: {address: 192.0.2.3, facts: {port: 443}}")
    checks = loaded(tmp_path, BASE, filling.replace("c: {}}", devices)).checks.values()
    assert {c.name for c in checks if c.agent == "x"} == {"plain", "each-b", "limit"}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1000", 1000), ("10 Mbit/s", 1_250_000), ("80% of 10 Mbit/s", 1e6), ("2.5Gbit/s", 312.5e6), ("64 kbit/s", 8000)],
)
def test_rates_as_providers_give_them(text: str, value: float) -> None:
    assert quantity(text, "bytes_per_second") == value
    assert quantity("10 Mbit/s", "bytes") is None and quantity("10 MB/s", "bytes_per_second") is None


def test_one_device_looked_at_in_another_way_changes_nothing_for_the_next(tmp_path: Path) -> None:
    own = "    checks: {web-portal: {kind: icmp, params: {host: 192.0.2.1}}}\n"
    more = "        second: {kind: web, address: 198.51.100.81}\n"
    checks = {check.name: check for check in loaded(tmp_path, BASE, OFFICE + more + own).checks.values()}
    assert checks["web-portal"].kind == "icmp"
    assert checks["web-second"].params == {"host": "198.51.100.81", "port": 8080}


def test_a_check_lives_only_while_its_agency_site_device_and_agent_do(tmp_path: Path) -> None:
    office = OFFICE.replace("from: 2011-01-01", "from: 2011-01-01\n    to: 2013-01-01\n    successor: centre")
    own = "    checks: {late: {kind: icmp, params: {host: 192.0.2.9}, from: 2013-06-01}}\n"
    checks = {check.name: check for check in loaded(tmp_path, BASE, office + own).checks.values()}
    assert [str(day) for day in (checks["web-portal"].begins, checks["web-portal"].ends)] == [
        "2012-01-01",
        "2013-01-01",
    ]
    assert "late" not in checks


def test_a_site_without_an_agent_is_still_seen_from_the_hub(tmp_path: Path) -> None:
    office = OFFICE.replace("    site:\n", "    site:\n      agent: none\n")
    found = loaded(tmp_path, BASE, office)
    assert [(check.agent, check.name) for check in found.checks.values()] == [
        ("centre", "self"),
        ("centre", "office.from-hub"),
    ]
    assert list(found.agents) == ["centre"]


def test_a_share_goal_takes_each_members_own_objective(tmp_path: Path) -> None:
    goal = "goals: {g: {name: G, select: {tags: [wan]}, per: agency, combine: share, objective: 90%}}\n"
    found = loaded(tmp_path, BASE, OFFICE, goal)
    (member,) = members(found.goals["g"], found)
    assert (member.id, member.objective, len(member.checks)) == ("office", 0.99, 2)


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("{kinds: [tcp]}", {"dns-198-51-100-53", "dns-2001-db8-53", "web-portal"}),
        ("{tags: [wan, outside]}", {"office.from-hub"}),
        ("{tags: [wan], without_tags: [outside]}", {"hub"}),
        ("{agents: [centre]}", {"self", "office.from-hub"}),
        ("{agency_kinds: [department], checks: [gateway, web-*]}", {"gateway", "web-portal"}),
        ("{checks: [office.*]}", {"office.from-hub"}),
        ("{providers: [net-a]}", {"hub", "office.from-hub"}),
        ("{sites: [centre]}", {"self"}),
        ("{agencies: [centre], kinds: [icmp]}", {"self"}),
    ],
)
def test_selectors(tmp_path: Path, select: str, expected: set[str]) -> None:
    found = loaded(tmp_path, BASE, OFFICE, f"goals: {{g: {{name: G, select: {select}, objective: 1.0}}}}\n")
    names = {found.checks[uid].name for member in members(found.goals["g"], found) for uid in member.checks}
    assert names == expected


def test_a_member_promises_what_its_strictest_check_does(tmp_path: Path) -> None:
    own = "    checks: {hub: {objective: 95%}}\n"
    goal = "goals: {g: {name: G, select: {tags: [wan]}, per: agency, combine: share, objective: 90%%%s}}\n"
    found = loaded(tmp_path, BASE, OFFICE + own, goal % "")
    assert [member.objective for member in members(found.goals["g"], found)] == [0.99]
    found = loaded(tmp_path, BASE, OFFICE + own, goal % ", member_objective: 80%")
    assert [member.objective for member in members(found.goals["g"], found)] == [0.8]


def test_an_agent_is_revoked_by_itself_or_in_a_list(tmp_path: Path) -> None:
    assert not any(agent.revoked for agent in loaded(tmp_path, BASE, OFFICE).agents.values())
    assert loaded(tmp_path, BASE, OFFICE, "revoked: [office]\n").agents["office"].revoked
    own = OFFICE.replace("    site:\n", "    site:\n      agent: {id: office-1, revoked: true}\n")
    assert loaded(tmp_path, BASE, own, "{}").agents["office-1"].revoked


def test_a_goal_that_lacks_its_evidence_has_no_members(tmp_path: Path) -> None:
    goal = "goals: {g: {name: G, targets: {2011: 50%, 2013: 80%}, lacks: [{vi: số đo, en: readings}]}}\n"
    found = loaded(tmp_path, BASE, goal)
    assert members(found.goals["g"], found) == []
    assert [found.goals["g"].objective_in(year) for year in (2009, 2011, 2012, 2013, 2026)] == [0.5, 0.5, 0.5, 0.8, 0.8]


AGENCY = "agencies:\n  x:\n    name: X\n"
GOAL = "goals:\n  g:\n    name: G\n    select: {tags: [wan]}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("province: {id: q, name: Q}", "file2.yaml:1: province: is described twice, first in {d}/file0.yaml:2"),
        (
            "agencies: {office: {name: X}}",
            "file2.yaml:1: agencies.office: is described twice, first in {d}/file1.yaml:3",
        ),
        ("agencie: {}", "file2.yaml:1: agencie: is not a key known here; did you mean agencies?"),
        ("agencies: [a]", "file2.yaml:1: agencies: ought to be a mapping by id, found a list"),
        (
            "agencies: {Sở: {name: X}}",
            "file2.yaml:1: agencies.Sở: ought to be an id, found 'Sở'; an id is lower-case letters, digits and single "
            "hyphens, at most 63",
        ),
        (
            AGENCY + "    template: lam",
            "file2.yaml:4: agencies.x.template: there is no template lam; known: agency-lan, data-centre, lan",
        ),
        (AGENCY + "    template: lan", "file2.yaml:2: agencies.x: the check gateway of the template lan needs gateway"),
        (AGENCY + "    successor: y", "file2.yaml:4: agencies.x.successor: there is no agency y"),
        (
            AGENCY + "    successor: office",
            "file2.yaml:4: agencies.x.successor: an agency with a successor needs the day it ended: to",
        ),
        (AGENCY + "    contacts: [nobody]", "file2.yaml:4: agencies.x.contacts: there is no contact nobody"),
        (
            AGENCY + "    from: 2012-01-01\n    to: 2012-01-01",
            "file2.yaml:5: agencies.x.to: 2012-01-01 is not later than from, 2012-01-01",
        ),
        (
            AGENCY + "    from: 2012-02-30",
            "file2.yaml:4: agencies.x.from: '2012-02-30' is not a date; write it like 2026-11-30",
        ),
        (AGENCY + "    register: {pcs: -1}", "file2.yaml:4: agencies.x.register.pcs: is less than 0"),
        (
            AGENCY + "    register: {pcs: 3, on_lan: 4}",
            "file2.yaml:4: warning: agencies.x.register.on_lan: is more than the 3 PCs there are",
        ),
        (AGENCY + "    site: {link: {objective: 99%}}", "file2.yaml:4: agencies.x.site.link: needs the key provider"),
        (
            AGENCY + "    site: {link: {provider: net-c}}",
            "file2.yaml:4: agencies.x.site.link.provider: there is no provider net-c",
        ),
        (
            AGENCY + "    site:\n      gateway: 300.0.2.1",
            "file2.yaml:5: agencies.x.site.gateway: '300.0.2.1' is neither an address nor a host name",
        ),
        (
            AGENCY + "    site: {resolvers: [ns.example.org]}",
            "file2.yaml:4: agencies.x.site.resolvers[0]: 'ns.example.org' is not an address",
        ),
        (AGENCY + "    site: {hub: nowhere}", "file2.yaml:4: agencies.x.site.hub: there is no site nowhere"),
        (
            AGENCY + "    site: {agent: office}",
            "file2.yaml:4: agencies.x.site.agent: office is the agent of office: every site's agent has its own id",
        ),
        (
            AGENCY + "    checks: {c: {kind: ping}}",
            "file2.yaml:4: agencies.x.checks.c.kind: there is no kind ping; known are: icmp, tcp",
        ),
        (
            AGENCY + "    checks: {c: {interval: 30s}}",
            "file2.yaml:4: agencies.x.checks.c: needs the key kind (no template here has a check of this name)",
        ),
        (
            AGENCY + "    checks: {c: {off: true}}",
            "file2.yaml:4: agencies.x.checks.c.off: there is no such check to leave out",
        ),
        (
            AGENCY + "    checks: {c: {kind: icmp}}",
            "file2.yaml:4: agencies.x.checks.c.params: the kind icmp needs the parameter host",
        ),
        (
            AGENCY + "    checks:\n      c:\n        kind: tcp\n        params:\n"
            "          host: a\n          prot: 1\n          port: 0",
            "file2.yaml:9: agencies.x.checks.c.params.prot: is not a key known here; did you mean port?",
        ),
        (
            AGENCY + "    checks:\n      c:\n        kind: tcp\n        params:\n"
            "          host: a\n          prot: 1\n          port: 0",
            "file2.yaml:10: agencies.x.checks.c.params.port: 0 is less than 1",
        ),
        (
            AGENCY + "    checks: {c: {kind: icmp, params: {host: a, family: v4}}}",
            "file2.yaml:4: agencies.x.checks.c.params.family: ought to be one of any, ipv4, ipv6; found 'v4'",
        ),
        (
            AGENCY + "    checks: {c: {kind: icmp, params: {host: a}, interval: 2s, timeout: 3s}}",
            "file2.yaml:4: agencies.x.checks.c.timeout: is longer than the interval",
        ),
        (
            AGENCY + "    checks: {c: {kind: icmp, params: {host: a}, hold: 1m}}",
            "file2.yaml:4: agencies.x.checks.c.hold: is shorter than interval + timeout: every look would lapse",
        ),
        (
            AGENCY + "    checks: {c: {kind: icmp, params: {host: a}, thresholds: [{measure: loss, above: 1}]}}",
            "file2.yaml:4: agencies.x.checks.c.thresholds[0].measure: icmp does not measure loss; it has: latency, "
            "loss_ratio, jitter_seconds",
        ),
        (
            AGENCY + "    checks: {c: {kind: icmp, params: {host: a}, thresholds: [{measure: loss_ratio, above: 5s}]}}",
            "file2.yaml:4: agencies.x.checks.c.thresholds[0].above: ought to be a number (ratio), found '5s'",
        ),
        (
            AGENCY + "    checks: {c: {kind: icmp, params: {host: a}, thresholds: [{measure: latency}]}}",
            "file2.yaml:4: agencies.x.checks.c.thresholds[0]: needs above or below",
        ),
        (
            AGENCY + "    checks: {c: {kind: icmp, params: {host: a}, agent: nobody}}",
            "file2.yaml:4: agencies.x.checks.c.agent: there is no agent 'nobody'",
        ),
        (
            AGENCY + "    checks: {c: {kind: icmp, params: {host: a}, link: spare}}",
            "file2.yaml:4: agencies.x.checks.c.link: the site has no link spare",
        ),
        (
            AGENCY + "    checks: {c: {kind: icmp, params: {host: a}, calendar: nights}}",
            "file2.yaml:4: agencies.x.checks.c.calendar: there is no calendar nights",
        ),
        (
            AGENCY + "    checks:\n      c: {kind: icmp, params: {host: a}}\n"
            "      d: {kind: icmp, params: {host: a}, formerly: c}",
            "file2.yaml:6: agencies.x.checks.d: has the same identity as c of agent x (name, kind and target); "
            "their lives overlap",
        ),
        (
            AGENCY + "    checks:\n      c: {kind: icmp, params: {host: a}, to: 2012-01-01}\n"
            "      d: {kind: icmp, params: {host: a}, formerly: c, from: 2012-01-01}",
            "file2.yaml:6: agencies.x.checks.d: has the same identity as c of agent x (name, kind and target); "
            "one identity "
            "has one life: give this one no formerly",
        ),
        (
            AGENCY + "    site: {agent: {networks: [192.0.2.0/24]}}\n"
            "    checks: {c: {kind: icmp, params: {host: 198.51.100.1}}}",
            "file2.yaml:2: agencies.x: the agent x may not make its check c: 198.51.100.1 is outside its networks",
        ),
        (
            AGENCY + "    site: {agent: {ports: [443]}}\n    checks: {c: {kind: tcp, params: {host: a, port: 80}}}",
            "file2.yaml:2: agencies.x: the agent x may not make its check c: port 80 is not one of its ports",
        ),
        (
            AGENCY + "    site: {agent: none}\n    checks: {c: {kind: icmp, params: {host: a}}}",
            "file2.yaml:5: agencies.x.checks.c: the site x has no agent: say agent: ID or hub",
        ),
        (GOAL, "file2.yaml:2: goals.g: needs an objective, or targets by year"),
        (GOAL + "    objective: 1.5", "file2.yaml:5: goals.g.objective: 1.5 is more than 100%"),
        (
            GOAL + "    objective: 99%\n    windows: [fortnight]",
            "file2.yaml:6: goals.g.windows: 'fortnight' is not a window: "
            "day, week, month, quarter, year or rolling-30d",
        ),
        (
            GOAL + "    objective: 99%\n    causes: [gremlins]",
            "file2.yaml:6: goals.g.causes: 'gremlins' is not a cause; known are: service, lan, wan, power, agent, "
            "collector, not known",
        ),
        (
            GOAL + "    objective: 99%\n    calendar: nights",
            "file2.yaml:6: goals.g.calendar: there is no calendar nights",
        ),
        (
            GOAL + "    objective: 99%\n    combine: k-of-n",
            "file2.yaml:2: goals.g.k: is how many of the members are to be up: "
            "it goes with combine: k-of-n, and only there",
        ),
        (
            GOAL + "    objective: 99%\n    combine: k-of-n\n    k: 3",
            "file2.yaml:7: goals.g.k: ought to be between 1 and the 2 members",
        ),
        (
            "goals: {g: {name: G, objective: 99%, select: {kinds: [tcp]}, combine: share}}",
            "file2.yaml:1: goals.g.member_objective: 3 members have no objective of their own (the first is {dns})",
        ),
        (
            "goals: {g: {name: G, objective: 99%, select: {tags: [none]}}}",
            "file2.yaml:1: warning: goals.g.select: selects no check, and the goal does not say what it lacks",
        ),
        (
            "goals: {g: {name: G, objective: 99%, select: {agents: [nobody]}}}",
            "file2.yaml:1: goals.g.select: agents: there is no nobody",
        ),
        (
            "exclusions: {e: {select: {tags: [wan]}, from: 2026-01-02 10:00, to: 2026-01-02 09:00, reason: work}}",
            "file2.yaml:1: exclusions.e.to: ought to be later than from",
        ),
        (
            "exclusions: {e: {select: {tags: [none]}, from: 2026-01-02, to: 2026-01-03, reason: work}}",
            "file2.yaml:1: warning: exclusions.e.select: selects no check",
        ),
        ("contacts: {c: {name: C, email: nobody}}", "file2.yaml:1: contacts.c.email: 'nobody' is not an address"),
        (
            "calendars: {c: {hours: {mon-fry: [07:00-11:00]}}}",
            "file2.yaml:1: calendars.c.hours.mon-fry: 'mon-fry' are not days; write daily, mon-fri or sat,sun",
        ),
        (
            "calendars: {c: {hours: {daily: [7-11]}}}",
            "file2.yaml:1: calendars.c.hours.daily: '7-11' are not hours; write them like 07:00-11:30",
        ),
        ("holidays: {2026: {off: [2025-12-31]}}", "file2.yaml:1: holidays.2026: 2025-12-31 is not a day of 2026"),
        (
            f"{AGENCY}    site:\n      fed_by: [u]",
            "file2.yaml:5: agencies.x.site.fed_by: there is no device u",
        ),
        (
            f"{AGENCY}    site:\n      devices:\n        u: {{kind: ups, fed_by: [u]}}",
            "file2.yaml:6: agencies.x.site.devices.u.fed_by: is the device itself",
        ),
        (
            f"{AGENCY}    site:\n      devices:\n        w: {{kind: web}}\n        v: {{fed_by: [w]}}",
            "file2.yaml:7: agencies.x.site.devices.v.fed_by: w is a device of kind web, not ups",
        ),
        (
            f"{AGENCY}    site:\n      devices:\n        v: {{fed_by: [office-portal]}}",
            "file2.yaml:6: agencies.x.site.devices.v.fed_by: office-portal stands at another site, office",
        ),
        (
            f"{AGENCY}    register: {{pcs: 1, hours: never}}",
            "file2.yaml:4: agencies.x.register.hours: there is no calendar never",
        ),
        (
            "templates: {t: {checks: {c: {kind: icmp, calendar: never}}}}",
            "file2.yaml:1: templates.t.checks.c.calendar: there is no calendar never",
        ),
        ("registers: {nobody: {pcs: 1}}", "file2.yaml:1: registers.nobody: there is no agency nobody"),
        ("revoked: [nobody]", "file2.yaml:1: revoked: there is no agent nobody"),
    ],
)
def test_one_mistake_one_message(tmp_path: Path, text: str, expected: str) -> None:
    dns = next(c.uid for c in loaded(tmp_path, BASE, OFFICE).checks.values() if c.name == "dns-198-51-100-53")
    expected = expected.replace("{d}", str(tmp_path)).replace("{dns}", dns)
    found = said(tmp_path, BASE, OFFICE, text)
    assert expected in found
    # a mistake is told by itself: nothing else follows from it (the same line may have two)
    assert len(found) <= 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("hub: centre", "hub: nowhere"), "file0.yaml:5: province.hub: there is no site nowhere"),
        (("https:", "http:"), "file0.yaml:6: province.collectors[0].url: ought to be an https:// address"),
        (
            (", authority: true", ""),
            "file0.yaml:6: province.collectors: exactly one collector ought to be the authority for plans",
        ),
        (
            ("  hub: centre", "  time_zone: Asia/Soc_Trang\n  hub: centre"),
            "file0.yaml:5: province.time_zone: there is no time zone 'Asia/Soc_Trang'; write it like Asia/Ho_Chi_Minh",
        ),
    ],
)
def test_mistakes_in_the_province(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    assert said(tmp_path, BASE.replace(*change)) == [expected]


def test_all_problems_of_all_files_come_at_once_and_breed_no_others(tmp_path: Path) -> None:
    broken = OFFICE.replace("kind: department", "kin: department")
    goal = "goals: {g: {name: G, objective: 99%, select: {agencies: [office], sites: [office]}}}\n"
    assert said(tmp_path, BASE, broken, goal, "a: [\n", "contacts: {c: {name: C}}\n") == [
        "file1.yaml:5: agencies.office.kin: is not a key known here; did you mean kind?",
        "file3.yaml:2: is not YAML here: while parsing a flow node, did not find expected node content",
        "file4.yaml:1: contacts.c: needs the key email",
    ]


def test_a_mistake_in_an_agency_hides_none_of_its_checks(tmp_path: Path) -> None:
    agency = """\
agencies:
  office:
    nam: Office
    site:
      agent: a
      checks:
        one: {kind: tpc, params: {host: h}}
        two: {kind: tcp, interval: 5, params: {host: h, port: 99999, prot: 1}}
        three: {kind: tcp, params: {port: 443}}
        four: {params: {host: h, port: x}}
"""
    assert said(tmp_path, BASE, agency) == [
        "file1.yaml:2: agencies.office: needs the key name",
        "file1.yaml:3: agencies.office.nam: is not a key known here; did you mean name?",
        "file1.yaml:7: agencies.office.site.checks.one.kind: there is no kind tpc; known are: icmp, tcp",
        "file1.yaml:8: agencies.office.site.checks.two.interval: '5' is not a duration; write it like 30s, 5m, 1h30m "
        "or 250ms",
        "file1.yaml:8: agencies.office.site.checks.two.params.port: 99999 is more than 65535",
        "file1.yaml:8: agencies.office.site.checks.two.params.prot: is not a key known here; did you mean port?",
    ]


def test_load_raises_with_all_of_it(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        load(write(tmp_path, a="x: 1\n", b="y: 1\n"), KINDS)
    assert [Path(problem.file).name for problem in caught.value.problems] == ["a.yaml", "b.yaml"]
    with pytest.raises(Invalid, match="is not a directory"):
        load(tmp_path / "gone", KINDS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(Invalid, match=r"holds no \.yaml files"):
        load(tmp_path / "empty", KINDS)


_lines = (BASE + OFFICE.replace("\nagencies:", "")).splitlines()
_pieces = st.sampled_from(
    ["", "x", "[", "{", ":", "- a", "null", "'", "0", "2012-01-01", "hub", "{a: {b: c}}", "office", "🦆"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(_lines) - 1), st.integers(0, 60), _pieces), min_size=1, max_size=3))
def test_no_edit_of_a_file_makes_it_raise(tmp_path: Path, edits: list[tuple[int, int, str]]) -> None:
    lines = list(_lines)
    for line, column, piece in edits:
        lines[line] = lines[line][:column] + piece + (lines[line][column + len(piece) :] if column % 2 else "")
    found, problems = load_with_problems(write(tmp_path, all="\n".join(lines)), KINDS)
    for problem in problems:
        assert problem.message and 0 <= problem.line <= len(lines) + 1
    if found is not None and not any(not problem.warning for problem in problems):
        plans_of(found, date(2012, 6, 1), KINDS)


def test_hidden_files_are_left_alone_and_folders_are_read(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.yaml").write_text("not: ours\n", "utf-8")
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "office.yml").write_text(OFFICE, "utf-8")
    assert list(loaded(tmp_path, BASE).agencies) == ["centre", "office"]


def test_the_shipped_templates_are_fine_with_the_shipped_kinds(tmp_path: Path) -> None:
    text = """
province: {id: p, name: P, hub: centre, pc_hours: days}
calendars: {days: {hours: {daily: [07:00-17:00]}}}
providers: {net: {name: N}}
agencies:
  centre:
    name: C
    template: data-centre
    site:
      gateway: 192.0.2.1
      wan: 192.0.2.1
      resolvers: [192.0.2.53]
      facts: {time_servers: "192.0.2.5, 192.0.2.6", throughput: hub}
      fed_by: [u]
      devices:
        w: {kind: web, address: 192.0.2.80}
        m: {kind: mail, address: 192.0.2.25, facts: {mail_robot: robot@example.org, server_name: mail.example.org}}
        n: {kind: network, address: 192.0.2.2, facts: {ports: "Gi0/1, *core*", snmp_version: 2c}}
        s: {kind: server, address: 192.0.2.90, fed_by: []}
        u: {kind: ups, address: 192.0.2.10, facts: {way: snmp, ups_credential: power}}
        v: {kind: ups, address: 192.0.2.11, facts: {ups: rack}}
  office:
    name: O
    register: {pcs: 30}
    template: agency-lan
    site:
      gateway: 198.51.100.1
      wan: 203.0.113.1
      resolvers: [198.51.100.1]
      lan: 198.51.100.0/24
      link: {provider: net, down_mbit: 20}
      facts:
        time_servers: 192.0.2.5
        portal: https://192.0.2.99/
        portal_host: 192.0.2.99
        portal_name: office.example.org
"""
    found = load(write(tmp_path, all=text))
    assert {(check.agent, check.name) for check in found.checks.values()} == {
        ("centre", "gateway"),
        ("centre", "dns-192-0-2-53"),
        ("centre", "host"),
        ("centre", "time-192-0-2-5"),
        ("centre", "time-192-0-2-6"),
        *(("centre", f"ping-{device}") for device in "wmnsuv"),
        ("centre", "switch-n"),
        ("centre", "resources-s"),
        ("centre", "ups-u"),
        ("centre", "power-u"),
        ("centre", "ups-v"),
        ("centre", "power-v"),
        ("centre", "web-w"),
        ("centre", "certificate-w"),
        ("centre", "smtp-m"),
        ("centre", "imap-m"),
        ("centre", "mail-m"),
        ("centre", "office.from-hub"),
        ("centre", "office.portal"),
        ("centre", "office.portal-certificate"),
        ("office", "gateway"),
        ("office", "hub"),
        ("office", "dns-198-51-100-1"),
        ("office", "host"),
        ("office", "time-192-0-2-5"),
        ("office", "video"),
        ("office", "throughput"),
        ("office", "pcs"),
    }
    params = {check.name: check.params for check in found.checks.values()}
    snmp = {"host": "192.0.2.2", "version": "2c", "credential": "network"}
    assert params["switch-n"] == {**snmp, "interfaces": ["Gi0/1", "*core*"], "sensors": False}
    assert params["resources-s"]["version"] == "3"
    told = {"host": "192.0.2.10", "way": "snmp", "ups": "", "credential": "power", "version": "2c"}
    assert params["ups-u"] == params["power-u"] == told
    assert params["power-v"] == {**told, "host": "192.0.2.11", "way": "nut", "ups": "rack", "credential": ""}
    assert params["mail-m"]["credential"] == "mail-robot"
    assert params["smtp-m"]["server_name"] == "mail.example.org"
    assert params["pcs"] == {"network": "198.51.100.0/24", "register": 30}
    checks = {check.name: check for check in found.checks.values()}
    assert checks["pcs"].calendar == "days"
    assert [limit.below for limit in checks["throughput"].thresholds] == [0.8 * 20e6 / 8]
    fed = {key: found.devices[f"centre-{key}"].fed_by for key in "wsuv"}
    assert fed == {"w": ("centre-u",), "s": (), "u": (), "v": ()}
    for agent, planned in plans_of(found, date(2026, 11, 23)).items():
        for check in planned.checks:
            assert probes.build(check.kind, check.params).kind == check.kind, agent
