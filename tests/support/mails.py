"""Rendered mails: an inventory with real names, incidents in it, and the standard library as the reader."""

from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

import msgspec

from alerts.incident.entities import Incident, IncidentMember, Notice
from alerts.incident.message import TranslatableMessage
from alerts.incident.problem import Cause, Subject
from alerts.mail import MailContext, RenderedMail, render
from alerts.mail.signed_urls import LinkSigner
from inventory.assembly.load import load
from inventory.base.types import Text
from inventory.model.entities import Contact, Inventory, Provider
from tests.support.paths import ROOT

NOW = 1_795_763_280_000  # 2026-11-27 14:08 in Sóc Trăng
MINUTE = 60_000
KEY = b"0123456789abcdef0123456789abcdef"
PAGES = "https://haidang.soctrang.example"
SIGNER = LinkSigner(KEY)

READER = Contact(id="an", name=Text("Nguyễn Văn An", "Nguyễn Văn An"), email="an@soctrang.example", phone="0299 1")


def inventory() -> Inventory:
    """The shipped example, with telephone numbers, and a reader at the Department of Justice."""
    base = load(ROOT / "inventory" / "examples" / "soctrang")
    providers = {
        key: Provider(id=key, name=one.name, contact=f"1800 {number}")
        for number, (key, one) in enumerate(base.providers.items(), 1)
    }
    agency = msgspec.structs.replace(base.agencies["so-tu-phap"], contacts=("an",))
    return msgspec.structs.replace(
        base,
        providers=providers,
        agencies={**base.agencies, "so-tu-phap": agency},
        contacts={**base.contacts, "an": READER},
    )


def context(estate: Inventory, **changes: Any) -> MailContext:
    base = MailContext(
        inventory=estate,
        now=NOW,
        domain="thdl.soctrang.example",
        sender="haidang@soctrang.example",
        base_url=PAGES,
        sign=SIGNER.sign,
    )
    return msgspec.structs.replace(base, **changes)


def notice(kind: str, *incidents: Incident, **changes: Any) -> Notice:
    values: dict[str, Any] = {
        "ident": f"a1b2c3d4e5f60718.{kind}.1",
        "contact": "an",
        "kind": kind,
        "at": NOW,
        "incidents": tuple(one.key for one in incidents),
        "severity": incidents[0].severity if incidents else "info",
    }
    return Notice(**{**values, **changes})


def write(kind: str, *incidents: Incident, made: Inventory, language: Any = "vi", **changes: Any) -> RenderedMail:
    of_notice = {key: changes.pop(key) for key in ("ident", "thread", "kinds", "day_name", "at") if key in changes}
    if "day_name" in of_notice:
        of_notice["day"] = of_notice.pop("day_name")
    to = changes.pop("to", READER)
    return render(notice(kind, *incidents, **of_notice), incidents, context(made, **changes), language, to)


def parse(mail: RenderedMail) -> EmailMessage:
    """As a mail program reads it; nothing in it may be out of order."""
    message = message_from_bytes(mail.message, policy=policy.default)
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert not part.defects, part.defects
    for name, value in message.items():
        assert not getattr(value, "defects", ()), (name, value.defects)
    return message


def parts(mail: RenderedMail) -> tuple[str, str]:
    """The text and the HTML as they arrive, with plain line ends."""
    message = parse(mail)
    bodies = {part.get_content_type(): part.get_content().replace("\r\n", "\n") for part in message.iter_parts()}
    assert list(bodies) == ["text/plain", "text/html"]  # the last one is what programs prefer
    return bodies["text/plain"], bodies["text/html"]


class HtmlMail(HTMLParser):
    """What an HTML mail shows, and which elements, attributes and links it has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.links: list[str] = []
        self._hidden = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("title", "style"):
            self._hidden += 1
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("title", "style"):
            self._hidden -= 1

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words += data.split()


def line_incident(estate: Inventory, count: int = 14, **changes: Any) -> Incident:
    """The Department of Justice's line, and so many checks behind it."""
    link = estate.links["so-tu-phap"]
    checks = [one for one in estate.checks.values() if one.site == link.site and one.link != link.id]
    checks += [one for one in estate.checks.values() if one.site != link.site][: count - len(checks)]
    subject = Subject(agency="so-tu-phap", site=link.site, kind="icmp", link=link.id)
    since = NOW - 3 * MINUTE
    own = IncidentMember(
        key="down:line", condition="down", subject=subject, severity="critical", since=since, joined=since
    )
    behind = [
        IncidentMember(
            key=f"down:{one.uid}",
            condition="down",
            subject=Subject(agency=one.agency, site=one.site, agent=one.agent, check=one.uid, kind=one.kind),
            severity="critical",
            since=since,
            joined=since + 1,
        )
        for one in checks[:count]
    ]
    because = (TranslatableMessage("{site} fell silent", {"site": link.site}),)
    cause = Cause(root=f"wan:{link.id}", cause="wan", certainty="probable", because=because)
    incident = Incident(
        key="a1b2c3d4e5f60718",
        cause=cause,
        severity="critical",
        opened=since,
        noticed=since + 40_000,
        members={one.key: one for one in (own, *behind)},
        roots=(f"wan:{link.id}",),
    )
    return msgspec.structs.replace(incident, **changes)


def check_incident(estate: Inventory, uid: str, condition: str, **changes: Any) -> Incident:
    """One check alone."""
    check = estate.checks[uid]
    since = NOW - 4 * MINUTE
    subject = Subject(
        agency=check.agency, site=check.site, agent=check.agent, check=uid, kind=check.kind, link=check.link
    )
    member = IncidentMember(
        key=f"{condition}:{uid}",
        condition=condition,
        subject=subject,
        severity="critical",
        since=since,
        joined=since,
        reason=changes.pop("reason", ""),
        message=changes.pop("message", None),
    )
    incident = Incident(
        key="00000000000000aa",
        cause=Cause(root=f"service:{uid}", cause="service"),
        severity="critical",
        opened=since,
        noticed=since,
        members={member.key: member},
        roots=(f"service:{uid}",),
    )
    return msgspec.structs.replace(incident, **changes)
