"""Revises the causes of closed incidents when the backlog of a silent site is in.

While a site is silent a cause is provisional, and an incident may be over before its agent has reported its side. What
the whole evidence says then is written into the incident; nobody is mailed for it, the digest and the pages show it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from alerts.incident.entities import HistoryEntry, Incident, IncidentMember
from alerts.incident.problem import Cause
from collector.causes.verdicts import CauseAnalysis, CauseVerdict
from collector.queries.causes import analyse_causes, leading_cause
from collector.queries.reader import LedgerReader

REVISABLE_FOR: Final = (
    8 * 86_400_000
)  # ms after its end in which a cause may still change: an agent's spool keeps a week


def open_to_revision(incident: Incident, now: int) -> bool:
    """Whether more evidence may still change what a closed incident says. What is sure stays."""
    recent = incident.closed is not None and now - incident.closed < REVISABLE_FOR
    return recent and incident.resolution != "merged" and incident.cause.certainty != "sure"


async def revised_incidents(reader: LedgerReader, incidents: Sequence[Incident], now: int) -> list[Incident]:
    """Those of which no more evidence is to come, each with the cause that it turned out to be (or as it was)."""
    if not incidents:
        return []

    def work(analysis: CauseAnalysis) -> list[Incident]:
        settled = []
        for incident in incidents:
            cause = _revised_cause(analysis, incident)
            if cause is not None and cause.certainty != "provisional":
                same = (cause.root, cause.cause, cause.certainty) == _cause_key(incident.cause)
                settled.append(incident if same else _with_cause(incident, cause, now))
        return settled

    return await analyse_causes(reader, work, min(incident.opened for incident in incidents))


def _revised_cause(analysis: CauseAnalysis, incident: Incident) -> Cause | None:
    """The cause of most of its members' time; None where nothing is judged."""
    verdicts: list[CauseVerdict] = []
    end = incident.ended or incident.closed or incident.opened
    for uid, begin, until in _member_stretches(analysis, incident.members.values(), end):
        verdicts += analysis.verdicts(uid, (begin, max(until, begin + 1)))
    return leading_cause(verdicts, "") if verdicts else None


def _member_stretches(
    analysis: CauseAnalysis, members: Iterable[IncidentMember], end: int
) -> Iterator[tuple[str, int, int]]:
    """(uid, from, until) of each member; a silent agent's are those of one of its checks."""
    for member in members:
        kind, what = member.ref
        if kind in ("down", "degraded") and analysis.topology.check(what) is not None:
            yield what, member.since, member.until or end
        elif kind == "silent":
            looks = analysis.topology.heartbeat_checks(what)
            if looks:
                yield looks[0], member.since, member.until or end


def _cause_key(cause: Cause) -> tuple[str, str, str]:
    return cause.root, cause.cause, cause.certainty


def _with_cause(incident: Incident, cause: Cause, now: int) -> Incident:
    roots = tuple(dict.fromkeys((*incident.roots, cause.root)))
    entry = HistoryEntry(at=now, what="cause", text=cause.root)
    return replace(incident, cause=cause, roots=roots, history=(*incident.history, entry))
