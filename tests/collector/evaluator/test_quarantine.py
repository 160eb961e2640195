"""An agent in quarantine is an incident that says what to do; what one agent breaks is judged without it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from collector.evaluator.problems import findings
from collector.evaluator.problems.check_problems import CheckProblems
from collector.evaluator.problems.unhealthy_checks import UnhealthyChecks
from collector.ingest import quarantine
from collector.ingest.fleet import Fleet
from collector.store.records import AddedEvent
from inventory.protocol.states import DOWN
from tests.support.evaluator_world import MINUTE, SECOND, EvaluatorWorld

BAD = "b"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[EvaluatorWorld]:
    world = EvaluatorWorld(tmp_path)
    await world.start()
    await world.step(MINUTE)
    yield world
    await world.stop()


async def test_it_is_told_in_both_languages_with_what_to_do(world: EvaluatorWorld) -> None:
    world.ingest.fleet.quarantine.put("a", quarantine.COMMIT, OverflowError("int too big to convert"))
    world.disconnected.add("a")  # its pushes are refused
    await world.step(6 * MINUTE)
    incident = world.only_incident()
    assert (incident.severity, [member.key for member in incident.members.values()]) == ("critical", ["quarantine:a"])
    texts = {
        mail["To"]: mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
        for mail in world.mails
    }
    english, vietnamese = texts["An <an@soctrang.example>"], next(t for to, t in texts.items() if "truc" in to)
    for text in (english, vietnamese):
        assert "haidang-collector release" in text and "int too big to convert" in text
    assert "what it sent could not be stored" in english and "Nothing has to be done" in english
    assert "what it sent" not in vietnamese and "Nothing has to be done" not in vietnamese
    await world.ingest.readmission.tick()
    await world.store.write(lambda tx: tx.quarantine.release("a"))
    await world.ingest.readmission.tick()
    world.disconnected.clear()
    await world.step(5 * MINUTE)
    assert world.open == []


def raising(original: Callable[..., Any], about_bad: Callable[..., bool]) -> Callable[..., Any]:
    def faulty(*args: Any, **more: Any) -> Any:
        if about_bad(*args, **more):
            raise ZeroDivisionError("division by zero")
        return original(*args, **more)

    return faulty


def at_unhealthy(patch: pytest.MonkeyPatch) -> None:
    fault = raising(UnhealthyChecks._unhealthy_checks, lambda self, state, now: state.agent == BAD)
    patch.setattr(UnhealthyChecks, "_unhealthy_checks", fault)


def at_judging(patch: pytest.MonkeyPatch) -> None:
    fault = raising(CheckProblems._judged, lambda self, entry, *_: entry.agent == BAD)
    patch.setattr(CheckProblems, "_judged", fault)


def at_reading(patch: pytest.MonkeyPatch) -> None:
    """Everything that is read of its state."""
    from collector.ingest import fleet

    fault = raising(fleet._status, lambda state, check, now: state.agent == BAD)
    patch.setattr(fleet, "_status", fault)


def at_finding(patch: pytest.MonkeyPatch) -> None:
    fault = raising(findings.finding_message, lambda finding: finding.agent == BAD)
    patch.setattr(findings, "finding_message", fault)


@pytest.mark.parametrize("fault", [at_unhealthy, at_judging, at_reading, at_finding])
async def test_what_one_agent_breaks_keeps_no_incident_from_anybody(
    world: EvaluatorWorld, fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    event = AddedEvent(world.now, BAD, None, "agent dropped", {"epoch": 1, "first": 1, "last": 2}, True)
    await world.store.write(lambda tx: tx.events.add([event]))
    world.states["b/gateway"] = DOWN
    await world.step(5 * SECOND, printer=DOWN)
    world.disconnected.add(BAD)  # its pushes are refused
    await world.step(3 * MINUTE)
    keys = {key for incident in world.open for key in incident.members}
    printer = next(check.uid for check in world.inventory.checks.values() if check.key == "printer")
    assert {f"down:{printer}", f"quarantine:{BAD}"} <= keys
    assert set(world.ingest.fleet.quarantine.agents) == {BAD}


async def test_a_condition_that_fails_costs_its_own_problems(
    world: EvaluatorWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    from collector.evaluator.problems import detectors

    monkeypatch.setattr(detectors, "detector", raising(detectors.detector, lambda path: True))
    await world.step(MINUTE + 5 * SECOND, printer=DOWN)
    assert len(world.open) == 1 and isinstance(world.ingest.fleet, Fleet)
    assert world.ingest.fleet.quarantine.rows_failed[quarantine.EVALUATION] > 0
