"""Bounds of when an incident began and how long it was, as exactly as the ledger knows, for its mails.

Bounded is what one check shows from beginning to end. It begins after the last look that was not down and by the first
that was; it ends after the last that was and by the next that was not; each look may be placed in time as wrongly as
its span says.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from alerts.incident.entities import Incident, IncidentMember
from alerts.mail import DurationBounds
from collector.ledger.state_step import Span
from collector.queries.availability import spans_since
from collector.queries.reader import LedgerReader
from inventory.protocol.identity import CheckIdentity
from inventory.protocol.states import DOWN, UNKNOWN

LOOK_BACK: Final = 86_400_000  # ms: how far back the last look before it is looked for


async def incident_bounds(reader: LedgerReader, incidents: Iterable[Incident]) -> dict[str, DurationBounds]:
    """By incident key; those that no one check shows are left out."""
    shown = {one.key: member for one in incidents if (member := defining_member(one)) is not None}
    checks = {
        key: entry
        for key, member in shown.items()
        if (entry := reader.find(CheckIdentity(member.subject.agent, member.subject.check))) is not None
    }
    if not checks:
        return {}
    begin = min(member.since for member in shown.values()) - LOOK_BACK
    spans = await spans_since(reader, list({entry.row: entry for entry in checks.values()}.values()), begin)
    return {
        key: bounds_from_spans(spans[entry.row], shown[key].since, shown[key].until) for key, entry in checks.items()
    }


def defining_member(incident: Incident) -> IncidentMember | None:
    """The member whose own outage is the incident's, from its beginning to its end (so far)."""
    for member in incident.members.values():
        whole = member.since == incident.opened and (incident.ended is None or member.until == incident.ended)
        if whole and member.ref == ("down", member.subject.check):
            return member
    return None


def bounds_from_spans(spans: Sequence[Span], since: int, until: int | None) -> DurationBounds:
    """``spans``: of the check, in order; ``since`` and ``until``: as the incident says it (ms)."""
    begun = [one for one in spans if one.end > since or one.start == since]  # one just begun has no length yet
    inside = [one for one in begun if one.state == DOWN and (until is None or one.start < until)]
    if not inside:
        return DurationBounds()
    first, last = inside[0], inside[-1]
    other = [one for one in spans if one.state not in (DOWN, UNKNOWN)]
    before = next((one for one in reversed(other) if one.sure_from < first.sure_from), None)
    after = next((one for one in other if one.sure_from > last.sure_from), None)
    if before is None:  # nothing is known of when it began
        return DurationBounds()
    earliest, latest = before.sure_to - before.error_to, first.sure_from + first.error_from
    error = max(since - earliest, latest - since)
    if until is None or after is None:
        return DurationBounds(begin_error=error)
    least = last.sure_to - last.error_to - latest
    return DurationBounds(begin_error=error, least=max(0, least), most=after.sure_from + after.error_from - earliest)
