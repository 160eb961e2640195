"""What was told, as the notification log has it."""

from alerts.incident.about import about
from alerts.incident.entities import Notice
from alerts.incident.reconcile import SentNotice
from alerts.incident.state import IncidentState


def sent_notice(notice: Notice, state: IncidentState) -> SentNotice:
    """What the log will have of a notice, from the state that the same step gave."""
    return SentNotice(**about(notice, state).about(), at=notice.at)
