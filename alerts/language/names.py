"""Display names of states, causes, severities, verdicts, windows of goals and kinds of probe.

The English is here; a language's word for it is in the catalogue, under the table's name as its context.
"""

from collections.abc import Mapping
from typing import Final

from alerts.language.catalogue import mark
from inventory.protocol import kinds

STATES: Final[Mapping[str, str]] = {
    "up": mark("state", "up"),
    "degraded": mark("state", "degraded"),
    "down": mark("state", "down"),
    "unknown": mark("state", "unknown"),
    "excluded": mark("state", "excluded"),
}

CAUSES: Final[Mapping[str, str]] = {
    "service": mark("cause", "the service itself"),
    "lan": mark("cause", "local network"),
    "wan": mark("cause", "WAN line"),
    "power": mark("cause", "power cut"),
    "agent": mark("cause", "monitoring agent"),
    "collector": mark("cause", "collector"),
    "not known": mark("cause", "not known"),
}

SEVERITIES: Final[Mapping[str, str]] = {
    "warning": mark("severity", "warning"),
    "critical": mark("severity", "critical"),
}

VERDICTS: Final[Mapping[str, str]] = {
    "met": mark("verdict", "met"),
    "missed": mark("verdict", "missed"),
    "not proven": mark("verdict", "not proven"),
    "no evidence": mark("verdict", "no evidence"),
}

WINDOWS: Final[Mapping[str, str]] = {
    "day": mark("window", "day"),
    "week": mark("window", "week"),
    "month": mark("window", "month"),
    "quarter": mark("window", "quarter"),
    "year": mark("window", "year"),
}

# titles of the kinds of probe, as each declares it
KINDS: Final[Mapping[str, str]] = {name: kind.title for name, kind in kinds.load().items()}

# what a backup's evidence is called where the inventory gives it these keys
EVIDENCE: Final[Mapping[str, str]] = {
    "pings": mark("evidence", "pings"),
    "files": mark("evidence", "files"),
    "repository": mark("evidence", "repository"),
    "drill": mark("evidence", "drill"),
}

CERTAINTIES: Final[Mapping[str, str]] = {
    "sure": mark("certainty", "sure"),
    "probable": mark("certainty", "probable"),
    "provisional": mark("certainty", "as it looks so far"),
}

# how an incident came to its end (alerts.incident.entities.Incident.why)
ENDS: Final[Mapping[str, str]] = {
    "recovered": mark("end", "recovered"),
    "merged": mark("end", "part of another incident"),
    "withdrawn": mark("end", "no longer watched"),
    "late": mark("end", "came to light later"),
    "by hand": mark("end", "closed by hand"),
}

# lines of an incident's history (alerts.incident.entities.Entry.what)
ENTRIES: Final[Mapping[str, str]] = {
    "opened": mark("entry", "opened"),
    "grew": mark("entry", "more is affected"),
    "cause": mark("entry", "the cause is judged anew"),
    "severity": mark("entry", "the severity changed"),
    "merged": mark("entry", "turned out to be one with another incident"),
    "split": mark("entry", "a part became an incident of its own"),
    "excluded": mark("entry", "maintenance began"),
    "included": mark("entry", "maintenance ended"),
    "told": mark("entry", "told to"),
    "acknowledged": mark("entry", "taken on by"),
    "snoozed": mark("entry", "reminders put off by"),
    "comment": mark("entry", "comment of"),
    "flapping": mark("entry", "it comes and goes"),
    "steady": mark("entry", "it is steady again"),
    "recovering": mark("entry", "it works again and is being watched"),
    "relapsed": mark("entry", "it failed again"),
    "closed": mark("entry", "closed"),
}

# what people and programs did, as the audit has it
ACTS: Final[Mapping[str, str]] = {
    "code": mark("act", "made an enrolment code"),
    "enrolled": mark("act", "enrolled"),
    "renewed": mark("act", "renewed its certificate"),
    "revoke": mark("act", "revoked certificates"),
    "exclude": mark("act", "declared an exclusion"),
    "withdraw exclusion": mark("act", "withdrew an exclusion"),
    "no digest": mark("act", "stopped daily reports"),
    "acknowledge": mark("act", "took an incident on"),
    "snooze": mark("act", "put off reminders"),
    "comment": mark("act", "commented on an incident"),
    "close": mark("act", "closed an incident"),
    "log in": mark("act", "logged in"),
    "log out": mark("act", "logged out"),
    "log in failed": mark("act", "failed to log in"),
    "add user": mark("act", "added a user"),
    "change password": mark("act", "changed a password"),
    "change role": mark("act", "changed a role"),
    "remove user": mark("act", "removed a user"),
    "change of users": mark("act", "the users changed"),
    "change of inventory": mark("act", "the inventory changed"),
    "backup": mark("act", "made a backup"),
    "restore": mark("act", "restored a backup"),
}

TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "state": STATES,
    "cause": CAUSES,
    "severity": SEVERITIES,
    "verdict": VERDICTS,
    "window": WINDOWS,
    "kind": KINDS,
    "certainty": CERTAINTIES,
    "end": ENDS,
    "entry": ENTRIES,
    "act": ACTS,
    "evidence": EVIDENCE,
}
