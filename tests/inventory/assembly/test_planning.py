"""Identity for life, an agent's plan, and what a change of the files does to it."""

import string
from datetime import date
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory.assembly.load import load
from inventory.assembly.planning import NoSuchAgent, plan_of, plans_of
from inventory.cli.diff import plan_changes
from inventory.model.entities import Inventory
from inventory.protocol import kinds, plan
from inventory.protocol.identity import uid

DAY = date(2026, 11, 23)
BASE = """
province:
  id: p
  name: P
  push_every: 10s
  collectors: [{name: one, url: "https://192.0.2.8:8443", authority: true}]
agencies:
  centre:
    name: C
    site: {agent: {networks: [192.0.2.0/24]}}
    checks:
      web: {kind: http, params: {url: "http://192.0.2.80/"}, interval: 30s, timeout: 10s}
      ping: {kind: icmp, params: {host: 192.0.2.80, count: 5}, interval: 30s}
      old: {kind: icmp, params: {host: 192.0.2.81}, to: 2026-11-23}
      new: {kind: icmp, params: {host: 192.0.2.82}, from: 2026-11-24}
"""


def loaded(directory: Path, text: str) -> Inventory:
    directory.mkdir(exist_ok=True)
    (directory / "all.yaml").write_text(text, "utf-8")
    return load(directory)


def test_a_plan_is_the_checks_that_live_on_the_day(tmp_path: Path) -> None:
    found = loaded(tmp_path, BASE)
    made = plan_of(found, "centre", DAY)
    assert [check.name for check in made.checks] == ["ping", "web"]
    assert [check.name for check in plan_of(found, "centre", date(2026, 11, 22)).checks] == ["old", "ping", "web"]
    assert [check.name for check in plan_of(found, "centre", date(2026, 11, 24)).checks] == ["new", "ping", "web"]
    web = made.checks[1]
    assert (web.interval, web.timeout, web.hold, web.recheck) == (30_000, 10_000, 70_000, 5_000)
    assert (made.push_every, made.collectors[0].authority, made.site) == (10_000, True, "centre")
    assert set(made.columns) == {"http", "icmp"}
    assert made.columns["icmp"] == kinds.load()["icmp"].columns
    assert plan.decode(made.encode()) == made
    assert plans_of(found, DAY) == {"centre": made}


def test_no_such_agent(tmp_path: Path) -> None:
    with pytest.raises(NoSuchAgent):
        plan_of(loaded(tmp_path, BASE), "nobody", DAY)


def test_the_order_of_files_and_keys_does_not_change_a_plan(tmp_path: Path) -> None:
    head, _, checks = BASE.partition("    checks:\n")
    turned = head + "    checks:\n" + "".join(reversed(checks.splitlines(keepends=True)))
    one, two = loaded(tmp_path / "one", BASE), loaded(tmp_path / "two", turned)
    assert plan_of(one, "centre", DAY).digest == plan_of(two, "centre", DAY).digest


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            "interval: 30s}",
            "interval: 20s}",
            ["centre: ping: changed: hold 1m5s -> 45s", "centre: ping: changed: interval 30s -> 20s"],
        ),
        ("count: 5", "count: 6", ["centre: ping: changed: count 5 -> 6"]),
        (", count: 5", "", ["centre: ping: changed: count 5 -> (default)"]),
        (
            "      ping: {kind: icmp, ",
            "      echo: {formerly: ping, kind: icmp, ",
            ["centre: echo: renamed: was ping; its history goes on"],
        ),
        (
            "      ping:",
            "      echo:",
            ["centre: echo: added: icmp 192.0.2.80", "centre: ping: removed: icmp 192.0.2.80"],
        ),
        (
            "host: 192.0.2.80,",
            "host: 192.0.2.90,",
            ["centre: ping: retargeted: icmp 192.0.2.80 -> icmp 192.0.2.90: a new check, the old one's history ends"],
        ),
        (
            "count: 5}",
            "count: 5}, thresholds: [{measure: latency, above: 1s}]",
            ["centre: ping: changed: thresholds"],
        ),
        ("networks: [192.0.2.0/24]", "revoked: true", ["centre: (agent): revoked"]),
        ("192.0.2.81", "192.0.2.99", []),
        (", to: 2026-11-23", "", ["centre: old: added: icmp 192.0.2.81"]),
    ],
)
def test_what_a_change_does_to_plans(tmp_path: Path, before: str, after: str, expected: list[str]) -> None:
    assert before in BASE
    old, new = loaded(tmp_path / "old", BASE), loaded(tmp_path / "new", BASE.replace(before, after, 1))
    assert [str(change) for change in plan_changes(old, new, kinds.load(), DAY)] == expected


def test_agents_come_and_go(tmp_path: Path) -> None:
    more = BASE + "  office: {name: O, checks: {c: {kind: icmp, params: {host: 192.0.2.7}}}}\n"
    old, new = loaded(tmp_path / "old", BASE), loaded(tmp_path / "new", more)
    added = ["office: (agent): added", "office: c: added: icmp 192.0.2.7"]
    assert [str(change) for change in plan_changes(old, new, kinds.load(), DAY)] == added
    removed = ["office: (agent): removed", "office: c: removed: icmp 192.0.2.7"]
    assert [str(change) for change in plan_changes(new, old, kinds.load(), DAY)] == removed


def test_identity_is_pinned_for_ever() -> None:
    # these are in every ledger: a change here would be the end of every check's history
    assert uid("so-y-te", "gateway", "icmp", {"host": "192.0.2.1"}) == "29549ff6685db2ac"
    assert uid("a", "Đường", "tcp", {"port": 443, "host": "x"}) == uid("a", "Đường", "tcp", {"host": "x", "port": 443})


def test_a_default_written_down_changes_no_identity(tmp_path: Path) -> None:
    text = "agencies: {a: {name: A, checks: {t: {kind: tls, params: {host: x.example.org%s}}}}}\n"
    plain = loaded(tmp_path / "plain", text % "")
    assert set(loaded(tmp_path / "same", text % ", port: 443, verify: true").checks) == set(plain.checks)
    assert set(loaded(tmp_path / "other", text % ", port: 8443").checks) != set(plain.checks)


_names = st.text(string.ascii_lowercase, min_size=1, max_size=3)
_identities = st.tuples(_names, _names, _names, st.dictionaries(_names, _names | st.integers(0, 9), max_size=2))


@settings(deadline=None)
@given(_identities, _identities)
def test_different_checks_have_different_identities(
    one: tuple[str, str, str, dict[str, str | int]], two: tuple[str, str, str, dict[str, str | int]]
) -> None:
    assert (uid(*one) == uid(*two)) == (one == two)


def test_a_plan_carries_no_secret_and_no_command(tmp_path: Path) -> None:
    fields = {field.name for field in msgspec.structs.fields(plan.PlannedCheck)}
    assert fields == {"uid", "name", "kind", "interval", "timeout", "hold", "recheck", "params", "thresholds"}
    made = plan_of(loaded(tmp_path, BASE), "centre", DAY)
    assert {name for check in made.checks for name in check.params} == {"url", "host", "count"}
