"""Incidents as lines of a list on a page."""

from collections.abc import Iterable

import msgspec

from alerts.incident.entities import Incident
from alerts.mail.formatter import MailFormatter
from alerts.mail.topic import headline
from collector.ingest.quarantine import PAGE
from collector.queries.reader import LedgerReader


class IncidentLine(msgspec.Struct, frozen=True):
    """An incident in a list."""

    incident: Incident
    title: str
    checks: int  # how many problems of it are not over


def incident_lines(reader: LedgerReader, incidents: Iterable[Incident], formatter: MailFormatter) -> list[IncidentLine]:
    """A line each, without those that cannot be put in words."""

    def line(incident: Incident) -> IncidentLine:
        ongoing = sum(one.until is None for one in incident.members.values())
        return IncidentLine(incident, headline(incident, formatter), ongoing)

    return reader.fleet.quarantine.rows(PAGE, incidents, lambda incident: "", line)
