"""Incidents as lines of a list on a page."""

import msgspec

from alerts.incident.entities import Incident
from alerts.mail.formatter import MailFormatter
from alerts.mail.topic import headline


class IncidentLine(msgspec.Struct, frozen=True):
    """An incident in a list."""

    incident: Incident
    title: str
    checks: int  # how many problems of it are not over


def incident_line(incident: Incident, formatter: MailFormatter) -> IncidentLine:
    return IncidentLine(
        incident, headline(incident, formatter), sum(one.until is None for one in incident.members.values())
    )
