"""Stores and notification logs of earlier versions are read: what stands in them has the names of then."""

import msgspec

from alerts.channels.notification_log import NotificationLogEntry
from alerts.channels.outbox import OutgoingMail
from alerts.incident.entities import Incident
from alerts.incident.state import IncidentState

INCIDENT = {
    "key": "0123456789abcdef",
    "cause": {"root": "wan:so-a", "cause": "wan"},
    "severity": "critical",
    "opened": 1,
    "noticed": 2,
    "members": {
        "silent:a": {
            "key": "silent:a",
            "condition": "silent",
            "subject": {"agent": "a"},
            "severity": "warning",
            "since": 1,
            "joined": 2,
            "said": ["{agent} has not been heard", {"agent": "a"}],
        }
    },
    "told": {"an": {"contact": "an", "thread": "trouble.1", "first": 3, "last": 3}},
    "closed": 9,
    "why": "recovered",
    "history": [{"at": 2, "what": "opened", "said": ["it began"]}],
}


def test_an_incident_of_an_earlier_version() -> None:
    incident = msgspec.convert(INCIDENT, Incident)
    assert incident.resolution == "recovered" and incident.notified["an"].thread == "trouble.1"
    message = incident.members["silent:a"].message
    assert message is not None and message.values == {"agent": "a"}
    assert incident.history[0].message is not None
    written = msgspec.to_builtins(incident)
    assert {"told", "why"} <= written.keys() and "said" in written["history"][0]


def test_what_waits_for_contacts() -> None:
    state = msgspec.convert({"mailboxes": {"an": {"waiting": {"k": 5}}}}, IncidentState)
    assert state.queues["an"].waiting == {"k": 5}


def test_a_line_of_the_notification_log_and_a_mail_of_the_outbox() -> None:
    line = {"ident": "hd-1", "contact": "an", "kind": "trouble", "at": 7, "made": 5, "way": "relay:25"}
    logged = msgspec.convert(line, NotificationLogEntry)
    assert (logged.decided_at, logged.channel) == (5, "relay:25")
    assert msgspec.to_builtins(logged) == line
    mail = {**line, "id": 1, "address": "an@p.example", "subject": "s", "text": "t", "body": b"b", "why": "450 later"}
    assert msgspec.convert({**mail, "severity": "critical", "incidents": []}, OutgoingMail).last_error == "450 later"
