"""Problems that ingest noticed in the last hour, and one message for each kind of finding (collector.ingest)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from alerts.incident.finding import IngestFinding
from alerts.incident.message import TranslatableMessage, message
from alerts.incident.problem import ActiveProblem, Cause, Subject
from alerts.notify.conditions import condition_for
from collector.evaluator.context import EvaluationContext
from collector.ingest.quarantine import EVALUATION
from collector.store.records import AgentMachine
from inventory.model.alerting import HOUR
from inventory.protocol.bounds import COUNT
from inventory.protocol.causes import AGENT
from inventory.protocol.reasons import bounded, pack, unpack
from inventory.protocol.records import frames_in
from inventory.protocol.refs import Ref

FINDING_FOR: Final = HOUR  # how long a finding is a problem

_Message = Callable[[str, Mapping[str, Any]], TranslatableMessage]


def _count(data: Mapping[str, Any], name: str) -> int:
    """Of an event of whatever age: what cannot be is no number."""
    value = data.get(name)
    return COUNT.clamped(value) if isinstance(value, int) else 0


def _reason(data: Mapping[str, Any]) -> str:
    return pack(bounded(unpack(str(data.get("why") or data.get("reason") or ""))))


def _step(data: Mapping[str, Any]) -> int:
    step = data.get("step_ms")
    return COUNT.clamped(abs(step)) if isinstance(step, int) else 0


def _machines(data: Mapping[str, Any]) -> str:
    try:
        machines = msgspec.convert(data.get("machines", ()), tuple[AgentMachine, ...])
    except msgspec.ValidationError:
        return "?"
    return "; ".join(
        f"{machine.ident} ({', '.join(filter(None, (machine.name, machine.address, machine.boot[:8])))})"
        for machine in machines
    )


MESSAGES: Final[Mapping[str, _Message]] = {
    "agent start": lambda agent, data: message("{agent} was started again without having been stopped", agent=agent),
    "agent clock": lambda agent, data: message(
        "the clock of {agent} was set by {step_for}; times in the ledger are not moved by that",
        agent=agent,
        step_for=_step(data),
    ),
    "agent refused": lambda agent, data: message(
        "{agent} refuses a check of its plan: {reason}", agent=agent, reason=_reason(data)
    ),
    "agent damaged": lambda agent, data: message(
        "{count} results of {agent} did not survive on its disk", agent=agent, count=frames_in(data)
    ),
    "agent dropped": lambda agent, data: message(
        "{count} results of {agent} were given up: its disk has no room", agent=agent, count=frames_in(data)
    ),
    "agent disk": lambda agent, data: message("the disk of {agent}: {reason}", agent=agent, reason=_reason(data)),
    "agent epoch": lambda agent, data: message(
        "{agent} began to number its results anew: {reason}", agent=agent, reason=_reason(data)
    ),
    "chain broken": lambda agent, data: message(
        "the results of {agent} do not continue those that were taken: its disk was put back or copied", agent=agent
    ),
    "conflict": lambda agent, data: message(
        "two machines send results as {agent}, or its disk was put back", agent=agent
    ),
    "dead letters": lambda agent, data: message(
        "{count} records of {agent} could not be taken: {reason}",
        agent=agent,
        count=_count(data, "count"),
        reason=_reason(data),
    ),
    "unplaceable": lambda agent, data: message(
        "{count} results of {agent} cannot be placed in time: its clock was never right",
        agent=agent,
        count=_count(data, "results"),
    ),
    "frames unaccounted": lambda agent, data: message(
        "{count} results of {agent} are missing and nothing says why", agent=agent, count=_count(data, "frames")
    ),
    "two machines": lambda agent, data: message(
        "several machines send results as {agent}: {machines}. To keep one, on the collector: haidang-collector keep "
        "{agent_id} and the name that stands first; the others are then refused. Was one stolen? Then revoke "
        "{agent_id} and enrol the right one with a new code",
        agent=agent,
        agent_id=agent,
        machines=_machines(data),
    ),
    "collector clock": lambda agent, data: (
        message("the collector believes its clock again")
        if data.get("trusted")
        else message("the collector does not believe its clock: {reason}", reason=_reason(data))
    ),
}


def finding_message(finding: IngestFinding) -> TranslatableMessage:
    """The message of a finding; one of a kind that is not known here is named as it is."""
    template = MESSAGES.get(finding.kind)
    if template is None:
        return message("{kind} at {agent}", kind=finding.kind, agent=finding.agent)
    return template(finding.agent, finding.data)


class FindingProblems:
    """Findings of the last hour; an older one of the same kind and agent gives its place to the newer."""

    def __init__(self) -> None:
        self._findings: dict[str, tuple[IngestFinding, int]] = {}  # by problem's key: the latest, and when it was first

    def add(self, findings: Iterable[IngestFinding]) -> None:
        for finding in findings:
            key = str(Ref("finding", f"{finding.kind}:{finding.agent}"))
            first = self._findings[key][1] if key in self._findings else finding.at
            self._findings[key] = (finding, first)

    def current(self, context: EvaluationContext) -> Iterator[ActiveProblem]:
        self._findings = {key: one for key, one in self._findings.items() if context.now - one[0].at < FINDING_FOR}
        quarantine = context.reader.fleet.quarantine
        for made in quarantine.rows(
            EVALUATION,
            self._findings.items(),
            lambda one: one[1][0].agent,
            lambda one: list(_problems(one[0], *one[1], context)),
        ):
            yield from made


def _problems(key: str, finding: IngestFinding, first: int, context: EvaluationContext) -> Iterator[ActiveProblem]:
    """One, or none where its condition is switched off."""
    agent = context.inventory.agents.get(finding.agent)
    subject = Subject(
        agency=agent.agency if agent is not None else "",
        site=agent.site if agent is not None else "",
        agent=finding.agent,
    )
    condition = condition_for(context.inventory, "finding", subject, finding.kind)
    if condition is None:
        return
    yield ActiveProblem(
        key=key,
        condition=condition.id,
        subject=subject,
        severity=condition.severity,
        since=first,
        evidence=finding.at,
        cause=Cause(root=key, cause=AGENT),
        message=finding_message(finding),
        recover_ms=condition.quiet_ms,
        once=True,
    )
