"""From what is to be said to notices: what waits together goes as one, and the hourly cap is kept.

A thing that is to be said waits ``group_ms`` for others to the same contact. When ``cap`` mails went within an hour,
what is new waits for the hour to allow it, but no longer than SUMMARY_MS: then one summary says all of it. So a contact
gets at most the cap and six summaries an hour (and a digest), and learns of every trouble and recovery within ten
minutes. Repeats wait for the hour; they are never a reason for a summary. Where one is due, those that nearly are go
along, so that what is open for days is one mail each time and not one an incident.
"""

from msgspec.structs import replace

from alerts.incident.draft import Bench, noted
from alerts.incident.entities import Incident, Notice, NoticeKind, Told
from alerts.incident.keys import notice_ident
from alerts.incident.levels import heavier
from alerts.incident.state import Mailbox, Situation
from alerts.notify.policy import Word, first_word, next_word, speaks
from alerts.notify.routing import recipients
from inventory.model.alerting import HOUR, MINUTE, SEVERITIES, Severity
from inventory.model.entities import Inventory

SUMMARY_MS = 10 * MINUTE

Wanted = dict[str, Word]  # by incident


def wanted(bench: Bench, inventory: Inventory, situation: Situation) -> dict[str, Wanted]:
    """For each contact what is to be said to them now, or may go along."""
    sure = {trouble.key for trouble in situation.troubles if trouble.confirmed and not trouble.excluded}
    found: dict[str, Wanted] = {}

    def want(contact: str, incident: Incident, word: Word | None) -> None:
        if word is not None and contact in inventory.contacts:
            found.setdefault(contact, {})[incident.key] = word

    for incident in bench.ended.values():
        for told in incident.told.values():
            if not told.recovered:
                want(told.contact, incident, Word("recovery"))
    for incident in () if situation.muted else bench.open.values():
        if incident.excluded:
            continue
        speaking = speaks(incident, sure)
        if not speaking and not incident.told:
            continue
        now = {recipient.contact: recipient for recipient in recipients(inventory, incident, bench.at)}
        for contact, recipient in now.items():
            if speaking and contact not in incident.told:
                want(contact, incident, first_word(incident, recipient, bench.at))
        for contact, told in incident.told.items():
            want(contact, incident, next_word(incident, told, now.get(contact), bench.at, speaking))
    return found


def post(bench: Bench, inventory: Inventory, situation: Situation) -> tuple[list[Notice], int | None]:
    """The notices that go now, and when the next waiting ones are due. Mailboxes and incidents remember them."""
    _give_up_on_strangers(bench, inventory)
    everything = wanted(bench, inventory, situation)
    notices: list[Notice] = []
    wake: int | None = None
    for contact in sorted({*everything, *(who for who, box in bench.mailboxes.items() if box.waiting or box.sent)}):
        words = everything.get(contact, {})
        now = {key: word for key, word in words.items() if not word.early}
        box = _waiting(bench.mailboxes.get(contact, Mailbox()), now, bench.at)
        box, kind, items, due = _due(box, now, inventory, bench.at)
        if any(word.kind == "repeat" for word in items.values()):
            items = words
        if items:
            notices.append(_notice(bench, contact, kind, items))
        elif due is not None:
            wake = due if wake is None else min(wake, due)
        bench.put_box(contact, box)
    return notices, wake


def _give_up_on_strangers(bench: Bench, inventory: Inventory) -> None:
    """Contacts who left the inventory have no address: what they were told is as good as over."""
    for incident in tuple(bench.ended.values()):
        strangers = [t for t in incident.told.values() if not t.recovered and t.contact not in inventory.contacts]
        if strangers:
            told = {**incident.told, **{t.contact: replace(t, recovered=True) for t in strangers}}
            bench.put(replace(incident, told=told))
    for contact in [contact for contact in bench.mailboxes if contact not in inventory.contacts]:
        bench.put_box(contact, None)


def _waiting(box: Mailbox, wanted: Wanted, at: int) -> Mailbox:
    """The mailbox with what waits now, and only the last hour's mails."""
    waiting = {key: box.waiting.get(key, at) for key in wanted}
    sent = tuple(when for when in box.sent if when > at - HOUR)
    return box if (waiting, sent) == (box.waiting, box.sent) else replace(box, waiting=waiting, sent=sent)


def _due(box: Mailbox, wanted: Wanted, inventory: Inventory, at: int) -> tuple[Mailbox, NoticeKind, Wanted, int | None]:
    """What of all that waits goes now, as which kind ("group" stands for any number); or when it will be due."""
    alerting = inventory.alerting
    if not wanted:
        return box, "group", {}, None
    ripe = min(box.waiting.values()) + alerting.group_ms
    if at < ripe:
        return box, "group", {}, ripe
    if len(box.sent) < max(alerting.cap, 1):
        return replace(box, waiting={}, sent=(*box.sent, at)), "group", wanted, None
    frees = box.sent[-max(alerting.cap, 1)] + HOUR
    news = {key: word for key, word in wanted.items() if word.kind != "repeat"}
    if not news:
        return box, "summary", {}, frees
    if box.summary is not None and at < box.summary + SUMMARY_MS:
        return box, "summary", {}, min(frees, box.summary + SUMMARY_MS)
    rest = {key: since for key, since in box.waiting.items() if key not in news}
    return replace(box, waiting=rest, summary=at), "summary", news, None


def _notice(bench: Bench, contact: str, kind: NoticeKind, wanted: Wanted) -> Notice:
    """One mail that says all of it; the incidents remember that it was said."""
    incidents = [incident for key in wanted if (incident := bench.incident(key)) is not None]
    incidents.sort(key=lambda incident: (-SEVERITIES.index(incident.severity), incident.opened, incident.key))
    kinds = tuple(wanted[incident.key].kind for incident in incidents)
    if kind == "group" and len(incidents) == 1:
        kind = kinds[0]
    about = [(incident.key, _count(incident, contact) + 1) for incident in incidents]
    ident = notice_ident(kind, contact, about)
    notice = Notice(
        ident=ident,
        contact=contact,
        kind=kind,
        at=bench.at,
        incidents=tuple(incident.key for incident in incidents),
        kinds=kinds,
        thread=_thread(incidents, contact),
        severity=incidents[0].severity,
    )
    for incident in incidents:
        word = wanted[incident.key]
        bench.put(noted(_told(incident, contact, word, ident, bench.at), bench.at, "told", who=contact, text=word.kind))
    return notice


def _thread(incidents: list[Incident], contact: str) -> str:
    """The thread that the mail goes on with: none if something in it is new, else that of the oldest."""
    told = [incident.told.get(contact) for incident in incidents]
    known = [one for one in told if one is not None]
    return "" if len(known) < len(told) else min(known, key=lambda one: (one.first, one.thread)).thread


def _count(incident: Incident, contact: str) -> int:
    told = incident.told.get(contact)
    return 0 if told is None else told.count


def _told(incident: Incident, contact: str, word: Word, ident: str, at: int) -> Incident:
    before = incident.told.get(contact)
    if before is None:
        before = Told(contact=contact, thread=ident, first=at, last=at, count=0, step=word.step)
    told = replace(
        before,
        last=at,
        count=before.count + 1,
        recovered=word.kind == "recovery",
        severity=_worse(before.severity, incident.severity),
        root=incident.cause.root,
        cause=incident.cause.cause,
        flapping=incident.flapping,
    )
    return replace(incident, told={**incident.told, contact: told})


def _worse(one: Severity, other: Severity) -> Severity:
    return one if heavier(one, other) else other
