"""Render a notice and its incidents as a mail. Pure: the same input gives the same bytes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from alerts.incident.entities import Incident, Notice
from alerts.language.locale import Locale
from alerts.mail import clean, several
from alerts.mail.context import MailContext, RenderedMail
from alerts.mail.document import Document, Section, as_html, as_text
from alerts.mail.formatter import MailFormatter
from alerts.mail.message import Envelope, encode_message
from alerts.mail.story import MailComposer
from alerts.mail.topic import headline, initial_headline
from inventory.model.entities import Contact
from inventory.protocol.reasons import unpack

MAX_SUBJECT: Final = 120  # characters
PROGRAM: Final = "Hải Đăng"


def render(
    notice: Notice, incidents: Sequence[Incident], context: MailContext, language: Literal["vi", "en"], to: Contact
) -> RenderedMail:
    """The mail that tells ``to`` of the notice. ``incidents``: those that the notice names, in its order."""
    composer = MailComposer(
        context, MailFormatter(Locale(language, context.time_zone), context.inventory, context.now), to
    )
    document, subject = _document(notice, incidents, composer)
    document = _with_footer(document, composer)
    names = _sender(composer), composer.formatter.text(to.name)
    unsubscribe_url = several.unsubscribe_url(context, to, composer) if notice.kind == "digest" else ""
    return _mail(notice, document, subject, context, language, to, names, unsubscribe_url)


def render_fallback(
    notice: Notice, incidents: Sequence[Incident], context: MailContext, language: Literal["vi", "en"], to: Contact
) -> RenderedMail:
    """What :func:`render` would tell, without its words, for when those fail: a plain mail tells more than none."""
    _ = Locale(language, context.time_zone)
    points = [
        f"{incident.cause.root}, {datetime.fromtimestamp(incident.opened / 1000, context.time_zone):%Y-%m-%d %H:%M:%S}"
        + "".join(f"; {unpack(member.reason)}" for member in list(incident.members.values())[:1] if member.reason)
        for incident in incidents
    ]
    document = Document(
        title=clean.clean(incidents[0].cause.root if len(incidents) == 1 else notice.kind),
        tag=_("Recovered") if notice.kind == "recovery" else _.term("severity", notice.severity).capitalize(),
        tone="good" if notice.kind == "recovery" else notice.severity,
        opening=(_("This mail could not be written as usual. What it is about:"),),
        sections=(Section(points=tuple(map(clean.clean, points))),),
    )
    return _mail(notice, document, document.title, context, language, to, (PROGRAM, ""), "")


def _mail(
    notice: Notice,
    document: Document,
    subject_text: str,
    context: MailContext,
    language: Literal["vi", "en"],
    to: Contact,
    names: tuple[str, str],
    unsubscribe_url: str,
) -> RenderedMail:
    """``about``: the subject after the word of state. ``names``: of the sender and of whom it is to."""
    locale = Locale(language, context.time_zone)
    subject = clean.clean(f"[{document.tag}] {subject_text}", MAX_SUBJECT)
    text, html = as_text(document, locale), as_html(document, locale)
    envelope = Envelope(
        ident=notice.ident,
        thread=notice.thread,
        domain=context.domain,
        sender_name=names[0],
        sender=context.sender,
        to_name=names[1],
        to=to.email,
        subject=subject,
        language=language,
        at=notice.at,
        zone=context.time_zone,
        incidents=notice.incidents,
        kind=notice.kind,
        important=notice.severity == "critical" and notice.kind in ("trouble", "group", "escalation"),
        bulk=notice.kind == "digest",
        unsubscribe=unsubscribe_url,
    )
    return RenderedMail(subject=subject, text=text, html=html, message=encode_message(envelope, text, html))


def _document(notice: Notice, incidents: Sequence[Incident], composer: MailComposer) -> tuple[Document, str]:
    """The document, and what its subject says after the word of state."""
    if notice.kind == "digest":
        document = several.digest(notice, incidents, composer)
    elif notice.kind == "summary":
        document = several.summary(notice, incidents, composer)
    elif notice.kind == "group" or len(incidents) != 1:
        document = several.group(notice, incidents, composer)
    else:
        document = _single(notice, incidents[0], composer)
        return document, initial_headline(incidents[0], composer.formatter)
    return document, document.title


def _single(notice: Notice, incident: Incident, composer: MailComposer) -> Document:
    return Document(
        title=headline(incident, composer.formatter),
        tag=composer.tag(incident, notice.kind),
        tone=composer.tone(incident, notice.kind),
        opening=composer.opening(incident, notice.kind),
        sections=composer.sections(incident, notice.kind),
    )


def _with_footer(document: Document, composer: MailComposer) -> Document:
    """With the lines below every mail: from whom, to whom, and that nobody reads answers."""
    _ = composer.formatter.locale
    footer = (
        _(
            "Sent by %(who)s to %(name)s.",
            who=_sender(composer),
            name=composer.formatter.text(composer.to.name) or composer.to.id,
        ),
        _("Nobody reads answers to this address."),
    )
    return msgspec.structs.replace(document, footer=footer)


def _sender(composer: MailComposer) -> str:
    province = composer.formatter.text(composer.context.inventory.province.name)
    return f"{PROGRAM}, {province}" if province else PROGRAM
