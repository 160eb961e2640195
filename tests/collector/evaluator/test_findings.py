"""What is said of findings: two machines with one identity are both named, and somebody is told."""

import msgspec

from alerts.incident.finding import IngestFinding
from collector.evaluator.problems.findings import MESSAGES, finding_message
from collector.store.records import AgentMachine
from collector.store.registry import TWO_MACHINES
from inventory.model.alerting import CONDITION_TYPES, FINDINGS

ONE = AgentMachine("b" * 16, "1f2e3d4c" * 2, "pc-một", "192.0.2.1", "0" * 40, 1, 2)
TWO = AgentMachine("", "", "", "192.0.2.2", "0" * 32 + "deadbeef", 1, 2)


def test_every_finding_has_its_message() -> None:
    assert set(MESSAGES) == set(FINDINGS)


def test_two_machines_are_named_and_what_to_do_is_said() -> None:
    data = {"machines": msgspec.to_builtins([ONE, TWO])}
    said = finding_message(IngestFinding(1, "so", None, TWO_MACHINES, data))
    assert said.values["machines"] == "1f2e3d4c (pc-một, 192.0.2.1, bbbbbbbb); deadbeef (192.0.2.2)"
    assert "haidang-collector keep {agent_id}" in said.text
    for odd in ({}, {"machines": 5}, {"machines": [{"boot": 1}]}):
        assert finding_message(IngestFinding(1, "so", None, TWO_MACHINES, odd)).values["machines"] in ("", "?")


def test_two_machines_are_worth_a_mail_other_findings_the_digest() -> None:
    defaults = [
        condition for kind in CONDITION_TYPES.values() for condition in kind.defaults if condition.on == "finding"
    ]
    severities = {
        name: next(one.severity for one in defaults if not one.names or name in one.names) for name in FINDINGS
    }
    assert {name for name, severity in severities.items() if severity != "info"} == {TWO_MACHINES}
