"""Notification policy: which notice of an incident a contact is due now, if any.

Levels, not events: it is worked out anew at every step, so what is held back for a while (by maintenance, a standby's
silence, a calendar, the cap) is notified later if it is still so, and only then.
"""

from collections.abc import Set
from typing import NamedTuple

from alerts.incident.entities import Incident, NoticeKind, NotifiedContact
from alerts.incident.levels import more_severe
from alerts.notify.routing import Recipient
from inventory.model.alerting import MINUTE


class PendingNotice(NamedTuple):
    """What a contact is to be notified of, of one incident."""

    kind: NoticeKind
    step: int = 0  # of an escalation
    early: bool = False  # not due, but it may go along with others that are


# A revised cause is notified at most this often.
UPDATE_INTERVAL_MS = 5 * MINUTE

# A repeat goes along with another one to the same contact when it would be due within this part of its time.
EARLY_SHARE = 0.25


def has_confirmed_problem(incident: Incident, confirmed_keys: Set[str]) -> bool:
    """Whether something of it is sure to be wrong now: its key is among those of problems that are confirmed and not in
    maintenance. A silent site is not, nor what was up at its last look."""
    return any(key in confirmed_keys for key, member in incident.members.items() if member.until is None)


def first_notice(incident: Incident, recipient: Recipient, at: int) -> PendingNotice | None:
    """To a contact who was not notified yet, of an incident that is confirmed."""
    if recipient.when > at:
        return None
    if not recipient.step:
        return PendingNotice("trouble")
    if _notify_once(incident):
        return None
    return (
        None if incident.acked is not None or is_snoozed(incident, at) else PendingNotice("escalation", recipient.step)
    )


def next_notice(
    incident: Incident, notified: NotifiedContact, recipient: Recipient | None, at: int, confirmed: bool
) -> PendingNotice | None:
    """To a contact who was notified before. ``recipient``: as they would be now, None: on no route any more."""
    in_hours = recipient is None or recipient.when <= at
    if incident.flapping:
        return (
            PendingNotice("update") if in_hours and not notified.flapping else None
        )  # once, then quiet until it is steady
    if not confirmed:
        return None
    if in_hours and (notified.flapping or more_severe(incident.severity, notified.severity)):
        return PendingNotice("update")
    if recipient is None or not in_hours or is_snoozed(incident, at):
        return None
    if _cause_changed(incident, notified) and at - notified.last >= UPDATE_INTERVAL_MS:
        return PendingNotice("update")
    if not recipient.repeat_ms or incident.acked is not None or _notify_once(incident):
        return None
    early_ms = notified.last + recipient.repeat_ms - at
    return PendingNotice("repeat", early=early_ms > 0) if early_ms <= EARLY_SHARE * recipient.repeat_ms else None


def _notify_once(incident: Incident) -> bool:
    """Whether it is a fact that a repeat does not help, such as a goal that is missed for this month."""
    return all(member.once for member in incident.members.values() if member.until is None)


def _cause_changed(incident: Incident, notified: NotifiedContact) -> bool:
    """Whether its root or cause is another than in the last notice ("": that is not known any more)."""
    return notified.root not in ("", incident.cause.root) or notified.cause not in ("", incident.cause.cause)


def is_snoozed(incident: Incident, at: int) -> bool:
    return incident.snoozed is not None and at < incident.snoozed
