"""A notice and its incidents to a mail. Pure: the same input gives the same bytes."""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from alerts.incident import Incident, Notice
from alerts.mail import clean, several
from alerts.mail.context import Context, Mail
from alerts.mail.document import Document, as_html, as_text
from alerts.mail.message import Envelope, message
from alerts.mail.speaker import Speaker
from alerts.mail.story import Teller
from alerts.mail.topic import base, headline
from alerts.words.tongue import Tongue
from inventory.model import Contact

SUBJECT: Final = 120  # characters


def render(
    notice: Notice, incidents: Sequence[Incident], context: Context, language: Literal["vi", "en"], to: Contact
) -> Mail:
    """The mail that tells ``to`` of the notice. ``incidents``: those that the notice names, in its order."""
    tongue = Tongue(language, context.place)
    teller = Teller(context, Speaker(tongue, context.inventory, context.now), to)
    document, about = _document(notice, incidents, teller)
    document = _signed(document, teller)
    subject = clean.clean(f"[{document.tag}] {about}", SUBJECT)
    text, html = as_text(document, tongue), as_html(document, tongue)
    digest = notice.kind == "digest"
    envelope = Envelope(
        ident=notice.ident,
        thread=notice.thread,
        domain=context.domain,
        sender_name=_sender(teller),
        sender=context.sender,
        to_name=teller.speaker.text(to.name),
        to=to.email,
        subject=subject,
        language=language,
        at=notice.at,
        zone=context.place,
        incidents=notice.incidents,
        kind=notice.kind,
        important=notice.severity == "critical" and notice.kind in ("trouble", "group", "escalation"),
        bulk=digest,
        unsubscribe=several.leave_url(context, to, teller) if digest else "",
    )
    return Mail(subject=subject, text=text, html=html, message=message(envelope, text, html))


def _document(notice: Notice, incidents: Sequence[Incident], teller: Teller) -> tuple[Document, str]:
    """The document, and what its subject says after the word of state."""
    if notice.kind == "digest":
        document = several.digest(notice, incidents, teller)
    elif notice.kind == "summary":
        document = several.summary(notice, incidents, teller)
    elif notice.kind == "group" or len(incidents) != 1:
        document = several.group(notice, incidents, teller)
    else:
        document = _single(notice, incidents[0], teller)
        return document, base(incidents[0], teller.speaker)
    return document, document.title


def _single(notice: Notice, incident: Incident, teller: Teller) -> Document:
    return Document(
        title=headline(incident, teller.speaker),
        tag=teller.tag(incident, notice.kind),
        tone=teller.tone(incident, notice.kind),
        opening=teller.opening(incident, notice.kind),
        sections=teller.sections(incident, notice.kind),
    )


def _signed(document: Document, teller: Teller) -> Document:
    """With the lines below every mail: from whom, to whom, and that nobody reads answers."""
    _ = teller.speaker.tongue
    footer = (
        _(
            "Sent by %(who)s to %(name)s.",
            who=_sender(teller),
            name=teller.speaker.text(teller.to.name) or teller.to.id,
        ),
        _("Nobody reads answers to this address."),
    )
    return msgspec.structs.replace(document, footer=footer)


def _sender(teller: Teller) -> str:
    province = teller.speaker.text(teller.context.inventory.province.name)
    return f"Hải Đăng, {province}" if province else "Hải Đăng"
