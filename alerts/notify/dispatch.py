"""Dispatch notices: group what waits for a contact into one mail and keep the hourly cap.

What is to be notified waits ``group_ms`` for others to the same contact. When ``cap`` mails went within an hour, what
is new waits for the hour to allow it, but no longer than SUMMARY_INTERVAL_MS: then one summary has all of it. So a
contact gets at most the cap and six summaries an hour (and a digest), and learns of every problem and recovery within
ten minutes. Repeats wait for the hour; they are never a reason for a summary. Where one is due, those that nearly are
go along, so that what is open for days is one mail each time and not one an incident.
"""

from msgspec.structs import replace

from alerts.incident.draft import IncidentDraft, with_history
from alerts.incident.entities import Incident, Notice, NoticeKind, NotifiedContact
from alerts.incident.keys import notice_ident
from alerts.incident.levels import more_severe
from alerts.incident.state import ContactQueue
from alerts.notify.policy import PendingNotice, first_notice, has_confirmed_problem, next_notice
from alerts.notify.routing import recipients
from inventory.model.alerting import HOUR, MINUTE, SEVERITIES, Severity
from inventory.model.entities import Inventory

SUMMARY_INTERVAL_MS = 10 * MINUTE

PendingNotices = dict[str, PendingNotice]  # by incident


def dispatch(draft: IncidentDraft, inventory: Inventory) -> tuple[list[Notice], int | None]:
    """The notices that go now, and when the next waiting ones are due. Queues and incidents remember them."""
    _drop_unknown_contacts(draft, inventory)
    pending_by_contact = pending_notices(draft, inventory)
    notices: list[Notice] = []
    wake: int | None = None
    for contact in sorted(
        {*pending_by_contact, *(who for who, queue in draft.queues.items() if queue.waiting or queue.sent)}
    ):
        pending = pending_by_contact.get(contact, {})
        now = {key: pending_notice for key, pending_notice in pending.items() if not pending_notice.early}
        queue = _update_waiting(draft.queues.get(contact, ContactQueue()), now, draft.at)
        queue, kind, items, due = _take_due(queue, now, inventory, draft.at)
        if any(pending_notice.kind == "repeat" for pending_notice in items.values()):
            items = pending
        if items:
            notices.append(_notice(draft, contact, kind, items))
        elif due is not None:
            wake = due if wake is None else min(wake, due)
        draft.put_queue(contact, queue)
    return notices, wake


def pending_notices(draft: IncidentDraft, inventory: Inventory) -> dict[str, PendingNotices]:
    """For each contact what they are to be notified of now, or what may go along."""
    confirmed_keys = {key for key, problem in draft.problems.items() if problem.confirmed and not problem.excluded}
    pending: dict[str, PendingNotices] = {}

    def want(contact: str, incident: Incident, pending_notice: PendingNotice | None) -> None:
        if pending_notice is not None and contact in inventory.contacts:
            pending.setdefault(contact, {})[incident.key] = pending_notice

    for incident in draft.ended.values():
        for notified in incident.notified.values():
            if not notified.recovered:
                want(notified.contact, incident, PendingNotice("recovery"))
    for incident in () if draft.step_input.muted else draft.open.values():
        if incident.excluded:
            continue
        confirmed = has_confirmed_problem(incident, confirmed_keys)
        if not confirmed and not incident.notified:
            continue
        now = {recipient.contact: recipient for recipient in recipients(inventory, incident, draft.at)}
        for contact, recipient in now.items():
            if confirmed and contact not in incident.notified:
                want(contact, incident, first_notice(incident, recipient, draft.at))
        for contact, notified in incident.notified.items():
            want(contact, incident, next_notice(incident, notified, now.get(contact), draft.at, confirmed))
    return pending


def _drop_unknown_contacts(draft: IncidentDraft, inventory: Inventory) -> None:
    """Contacts who left the inventory have no address: for them it is as good as over."""
    for incident in tuple(draft.ended.values()):
        unknown_contacts = [
            t for t in incident.notified.values() if not t.recovered and t.contact not in inventory.contacts
        ]
        if unknown_contacts:
            notified = {**incident.notified, **{t.contact: replace(t, recovered=True) for t in unknown_contacts}}
            draft.put(replace(incident, notified=notified))
    for contact in [contact for contact in draft.queues if contact not in inventory.contacts]:
        draft.put_queue(contact, None)


def _update_waiting(queue: ContactQueue, pending: PendingNotices, at: int) -> ContactQueue:
    """The queue with what waits now, and only the last hour's mails."""
    waiting = {key: queue.waiting.get(key, at) for key in pending}
    sent_times = tuple(when for when in queue.sent if when > at - HOUR)
    return (
        queue
        if (waiting, sent_times) == (queue.waiting, queue.sent)
        else replace(queue, waiting=waiting, sent=sent_times)
    )


def _take_due(
    queue: ContactQueue, pending: PendingNotices, inventory: Inventory, at: int
) -> tuple[ContactQueue, NoticeKind, PendingNotices, int | None]:
    """What of all that waits goes now, as which kind ("group" stands for any number); or when it will be due."""
    alerting = inventory.alerting
    if not pending:
        return queue, "group", {}, None
    group_at = min(queue.waiting.values()) + alerting.group_ms
    if at < group_at:
        return queue, "group", {}, group_at
    if len(queue.sent) < max(alerting.cap, 1):
        return replace(queue, waiting={}, sent=(*queue.sent, at)), "group", pending, None
    cap_frees_at = queue.sent[-max(alerting.cap, 1)] + HOUR
    urgent = {key: pending_notice for key, pending_notice in pending.items() if pending_notice.kind != "repeat"}
    if not urgent:
        return queue, "summary", {}, cap_frees_at
    if queue.summary is not None and at < queue.summary + SUMMARY_INTERVAL_MS:
        return queue, "summary", {}, min(cap_frees_at, queue.summary + SUMMARY_INTERVAL_MS)
    rest = {key: since for key, since in queue.waiting.items() if key not in urgent}
    return replace(queue, waiting=rest, summary=at), "summary", urgent, None


def _notice(draft: IncidentDraft, contact: str, kind: NoticeKind, pending: PendingNotices) -> Notice:
    """One mail that has all of it; the incidents remember it."""
    incidents = [incident for key in pending if (incident := draft.incident(key)) is not None]
    incidents.sort(key=lambda incident: (-SEVERITIES.index(incident.severity), incident.opened, incident.key))
    kinds = tuple(pending[incident.key].kind for incident in incidents)
    if kind == "group" and len(incidents) == 1:
        kind = kinds[0]
    notice_counts = [(incident.key, _notice_count(incident, contact) + 1) for incident in incidents]
    ident = notice_ident(kind, contact, notice_counts)
    notice = Notice(
        ident=ident,
        contact=contact,
        kind=kind,
        at=draft.at,
        incidents=tuple(incident.key for incident in incidents),
        kinds=kinds,
        thread=_thread(incidents, contact),
        severity=incidents[0].severity,
    )
    for incident in incidents:
        pending_notice = pending[incident.key]
        draft.put(
            with_history(
                _mark_notified(incident, contact, pending_notice, ident, draft.at),
                draft.at,
                "told",
                who=contact,
                text=pending_notice.kind,
            )
        )
    return notice


def _thread(incidents: list[Incident], contact: str) -> str:
    """The thread that the mail goes on with: none if something in it is new, else that of the oldest."""
    notified = [incident.notified.get(contact) for incident in incidents]
    previous = [one for one in notified if one is not None]
    return "" if len(previous) < len(notified) else min(previous, key=lambda one: (one.first, one.thread)).thread


def _notice_count(incident: Incident, contact: str) -> int:
    notified = incident.notified.get(contact)
    return 0 if notified is None else notified.count


def _mark_notified(incident: Incident, contact: str, pending_notice: PendingNotice, ident: str, at: int) -> Incident:
    previous = incident.notified.get(contact)
    if previous is None:
        previous = NotifiedContact(contact=contact, thread=ident, first=at, last=at, count=0, step=pending_notice.step)
    notified = replace(
        previous,
        last=at,
        count=previous.count + 1,
        recovered=pending_notice.kind == "recovery",
        severity=_worse_severity(previous.severity, incident.severity),
        root=incident.cause.root,
        cause=incident.cause.cause,
        flapping=incident.flapping,
    )
    return replace(incident, notified={**incident.notified, contact: notified})


def _worse_severity(one: Severity, other: Severity) -> Severity:
    return one if more_severe(one, other) else other
