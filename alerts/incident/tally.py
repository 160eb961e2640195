"""What has become of incidents, counted for good: how many were opened, how long people and machines took.

The tally is part of the engine's stored state and grows in the commit that changes the incidents, so that no restart
and no crash counts one twice or not at all.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from alerts.incident.entities import Incident
from inventory.base.families import HistogramCounts

# seconds: a glance, minutes, hours, days
ACKNOWLEDGE_BOUNDS: Final = (60.0, 300.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 28_800.0, 86_400.0)
RECOVER_BOUNDS: Final = (60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0, 259_200.0, 604_800.0)
MAIL_BOUNDS: Final = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0)


class IncidentTally(msgspec.Struct, frozen=True, kw_only=True):
    """Since the store began. Histograms are of seconds."""

    opened: dict[str, dict[str, int]] = {}  # by cause and severity, both as they were when it was opened
    acknowledge: HistogramCounts = HistogramCounts()  # from when it was noticed to the first "I have it"
    recover: HistogramCounts = HistogramCounts()  # from when it was wrong to when it was right again
    mail: HistogramCounts = HistogramCounts()  # from when it was wrong to a relay's yes to a contact's first mail


def count_change(tally: IncidentTally, before: Incident | None, after: Incident, noticed_since: int) -> IncidentTally:
    """The tally with one incident's change. ``noticed_since`` (ms): one noticed before and not remembered is not new,
    it is an old one of which something is known better."""
    if before is None and after.noticed <= noticed_since:
        return tally
    opened, acknowledge, recover = tally.opened, tally.acknowledge, tally.recover
    if before is None:
        of_cause = opened.get(after.cause.cause, {})
        counted = {**of_cause, after.severity: of_cause.get(after.severity, 0) + 1}
        opened = {**opened, after.cause.cause: counted}
    if after.acked is not None and (before is None or before.acked is None):
        acknowledge = acknowledge.observed(max(0, after.acked[1] - after.noticed) / 1000, ACKNOWLEDGE_BOUNDS)
    over = not after.open and (before is None or before.open) and after.resolution in ("recovered", "late")
    if over and after.ended is not None:
        recover = recover.observed(max(0, after.ended - after.opened) / 1000, RECOVER_BOUNDS)
    return msgspec.structs.replace(tally, opened=opened, acknowledge=acknowledge, recover=recover)


def count_mails(tally: IncidentTally, seconds: Iterable[float]) -> IncidentTally:
    """The tally with first mails that relays accepted, by the seconds since the fault."""
    mail = tally.mail
    for one in seconds:
        mail = mail.observed(max(0.0, one), MAIL_BOUNDS)
    return msgspec.structs.replace(tally, mail=mail)
