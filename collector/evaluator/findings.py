"""Messages for what ingest noticed: one sentence for each kind of finding (collector.ingest)."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from alerts.incident.finding import IngestFinding
from alerts.incident.message import TranslatableMessage, message
from inventory.protocol.reasons import bounded, pack, unpack

_Sentence = Callable[[str, Mapping[str, Any]], TranslatableMessage]


def _frames(data: Mapping[str, Any]) -> int:
    first, last = data.get("first"), data.get("last")
    return last - first + 1 if isinstance(first, int) and isinstance(last, int) else 0


def _why(data: Mapping[str, Any]) -> str:
    return pack(bounded(unpack(str(data.get("why") or data.get("reason") or ""))))


def _step(data: Mapping[str, Any]) -> int:
    step = data.get("step_ms")
    return abs(step) if isinstance(step, int) else 0


SENTENCES: Final[Mapping[str, _Sentence]] = {
    "agent start": lambda agent, data: message("{agent} was started again without having been stopped", agent=agent),
    "agent clock": lambda agent, data: message(
        "the clock of {agent} was set by {step_for}; times in the ledger are not moved by that",
        agent=agent,
        step_for=_step(data),
    ),
    "agent refused": lambda agent, data: message(
        "{agent} refuses a check of its plan: {reason}", agent=agent, reason=_why(data)
    ),
    "agent damaged": lambda agent, data: message(
        "{count} results of {agent} did not survive on its disk", agent=agent, count=_frames(data)
    ),
    "agent dropped": lambda agent, data: message(
        "{count} results of {agent} were given up: its disk has no room", agent=agent, count=_frames(data)
    ),
    "agent disk": lambda agent, data: message("the disk of {agent}: {reason}", agent=agent, reason=_why(data)),
    "agent epoch": lambda agent, data: message(
        "{agent} began to number its results anew: {reason}", agent=agent, reason=_why(data)
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
        count=int(data.get("count") or 0),
        reason=_why(data),
    ),
    "unplaceable": lambda agent, data: message(
        "{count} results of {agent} cannot be placed in time: its clock was never right",
        agent=agent,
        count=int(data.get("results") or 0),
    ),
    "frames unaccounted": lambda agent, data: message(
        "{count} results of {agent} are missing and nothing says why", agent=agent, count=int(data.get("frames") or 0)
    ),
    "collector clock": lambda agent, data: (
        message("the collector believes its clock again")
        if data.get("trusted")
        else message("the collector does not believe its clock: {reason}", reason=_why(data))
    ),
}


def finding_message(finding: IngestFinding) -> TranslatableMessage:
    """The sentence of a finding; one of a kind that is not known here is named as it is."""
    sentence = SENTENCES.get(finding.kind)
    if sentence is None:
        return message("{kind} at {agent}", kind=finding.kind, agent=finding.agent)
    return sentence(finding.agent, finding.data)
