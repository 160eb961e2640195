"""Render a notice and its incidents as a mail, top to bottom. Pure: the same input gives the same bytes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

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


class MailContent(NamedTuple):
    """What a mail says, before it is laid out."""

    document: Document
    subject: str  # after the word of state
    sender_name: str = PROGRAM
    to_name: str = ""
    unsubscribe_url: str = ""  # "" where there is nothing to unsubscribe from


def render(
    notice: Notice, incidents: Sequence[Incident], context: MailContext, language: str, to: Contact
) -> RenderedMail:
    """The mail that notifies ``to``. ``incidents``: those that the notice names, in its order."""
    # 1. The reader's language, and who composes in it.
    locale = Locale(language, context.time_zone)
    composer = MailComposer(context, MailFormatter(locale, context.inventory, context.now), to)

    # 2. The document: what happened to one incident or to several, and the footer below every mail.
    document = _document(notice, incidents, composer)
    document = msgspec.structs.replace(document, footer=_footer(composer))

    # 3. The subject: of one incident as it began, so that its mails stay one thread.
    single = _is_single(notice, incidents)
    subject = initial_headline(incidents[0], composer.formatter) if single else document.title

    # 4. The names in the headers, and the way out of a digest.
    content = MailContent(
        document,
        subject,
        sender_name=_sender(composer),
        to_name=composer.formatter.text(to.name),
        unsubscribe_url=several.unsubscribe_url(context, to, composer) if notice.kind == "digest" else "",
    )

    # 5. Text, HTML and the message.
    return _laid_out(notice, content, context, locale, to)


def render_fallback(
    notice: Notice, incidents: Sequence[Incident], context: MailContext, language: str, to: Contact
) -> RenderedMail:
    """What :func:`render` would say, without its words, for when those fail: a plain mail says more than none."""
    # 1. The reader's language, as far as it goes.
    _ = locale = Locale(language, context.time_zone)

    # 2. The document: roots, times and reasons as they are.
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

    # 3. to 5. as above.
    return _laid_out(notice, MailContent(document, document.title), context, locale, to)


def _is_single(notice: Notice, incidents: Sequence[Incident]) -> bool:
    return notice.kind not in ("digest", "summary", "group") and len(incidents) == 1


def _document(notice: Notice, incidents: Sequence[Incident], composer: MailComposer) -> Document:
    if notice.kind == "digest":
        return several.digest(notice, incidents, composer)
    if notice.kind == "summary":
        return several.summary(notice, incidents, composer)
    if not _is_single(notice, incidents):
        return several.group(notice, incidents, composer)
    (incident,) = incidents
    return Document(
        title=headline(incident, composer.formatter),
        tag=composer.tag(incident, notice.kind),
        tone=composer.tone(incident, notice.kind),
        opening=composer.opening(incident, notice.kind),
        sections=composer.sections(incident, notice.kind),
    )


def _footer(composer: MailComposer) -> tuple[str, ...]:
    """From whom, to whom, and that nobody reads answers."""
    _ = composer.formatter.locale
    name = composer.formatter.text(composer.to.name) or composer.to.id
    return (
        _("Sent by %(who)s to %(name)s.", who=_sender(composer), name=name),
        _("Nobody reads answers to this address."),
    )


def _sender(composer: MailComposer) -> str:
    province = composer.formatter.text(composer.context.inventory.province.name)
    return f"{PROGRAM}, {province}" if province else PROGRAM


def _laid_out(notice: Notice, content: MailContent, context: MailContext, locale: Locale, to: Contact) -> RenderedMail:
    document = content.document
    subject = clean.clean(f"[{document.tag}] {content.subject}", MAX_SUBJECT)
    text, html = as_text(document, locale), as_html(document, locale)
    envelope = Envelope(
        ident=notice.ident,
        thread=notice.thread,
        domain=context.domain,
        sender_name=content.sender_name,
        sender=context.sender,
        to_name=content.to_name,
        to=to.email,
        subject=subject,
        language=locale.language,
        at=notice.at,
        zone=context.time_zone,
        incidents=notice.incidents,
        kind=notice.kind,
        important=notice.severity == "critical" and notice.kind in ("trouble", "group", "escalation"),
        bulk=notice.kind == "digest",
        unsubscribe=content.unsubscribe_url,
    )
    return RenderedMail(subject=subject, text=text, html=html, message=encode_message(envelope, text, html))
