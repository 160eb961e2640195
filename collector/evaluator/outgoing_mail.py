"""Writes the mail for each notice, with its figures, ready for the outbox."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from alerts import mail
from alerts.channels.config import ChannelSettings
from alerts.channels.outbox import OutgoingMail
from alerts.incident.about import about
from alerts.incident.entities import Notice
from alerts.incident.state import IncidentState
from alerts.mail.signed_urls import LinkSigner
from collector.evaluator.bounds import incident_bounds
from collector.goals.bounds import MET
from collector.goals.evaluate import Evaluation
from collector.queries.circuits import downtime
from collector.queries.reader import LedgerReader
from collector.store.unsubscribed import Unsubscribed
from inventory.model.entities import Inventory

log = logging.getLogger("collector.evaluator")

DAY: Final = 86_400_000
MAX_DIGEST_GOALS: Final = 5  # goals of a digest


class MailWriter:
    """Writes the mails of one collector. ``evaluations``: the goals as they stood last."""

    def __init__(
        self,
        reader: LedgerReader,
        unsubscribed: Unsubscribed,
        channels: ChannelSettings,
        signer: LinkSigner,
        evaluations: Callable[[], Sequence[Evaluation]],
    ) -> None:
        self._reader = reader
        self._unsubscribed = unsubscribed
        self._channels = channels
        self._signer = signer
        self._evaluations = evaluations

    async def write(self, notices: Sequence[Notice], state: IncidentState) -> list[OutgoingMail]:
        """A mail for each notice whose contact the inventory has and that the contact wants."""
        inventory = self._reader.inventory
        incident_keys = {key for one in notices if one.kind != "digest" for key in one.incidents}
        error_bounds = await incident_bounds(
            self._reader, [one for key in incident_keys if (one := state.incident(key)) is not None]
        )
        days = {day: await self._day(day, inventory) for day in {one.day for one in notices if one.kind == "digest"}}
        return [
            self._write_mail(
                notice, state, inventory, error_bounds, days.get(notice.day) if notice.kind == "digest" else None
            )
            for notice in notices
            if notice.contact in inventory.contacts
            and not (notice.kind == "digest" and notice.contact in self._unsubscribed.contacts)
        ]

    def _write_mail(
        self,
        notice: Notice,
        state: IncidentState,
        inventory: Inventory,
        error_bounds: Mapping[str, mail.DurationBounds],
        day: mail.DigestFigures | None,
    ) -> OutgoingMail:
        contact = inventory.contacts[notice.contact]
        incidents = [one for key in notice.incidents if (one := state.incident(key)) is not None]
        context = mail.MailContext(
            inventory=inventory,
            now=notice.at,
            domain=self._channels.message_id_domain,
            sender=self._channels.from_ or f"haidang@{self._channels.message_id_domain}",
            base_url=self._channels.url,
            sign=self._signer.sign,
            bounds=error_bounds,
            day=day,
        )
        try:
            written = mail.render(notice, incidents, context, contact.language, contact)
        except Exception:  # one incident that cannot be put in words must not silence all the others
            log.exception("mail %s could not be written as usual", notice.ident)
            written = mail.render_fallback(notice, incidents, context, contact.language, contact)
        return OutgoingMail(
            **about(notice, state).about(),
            id=0,
            address=contact.email,
            made=notice.at,
            subject=written.subject,
            text=written.text,
            body=written.message,
        )

    async def _day(self, day: str, inventory: Inventory) -> mail.DigestFigures:
        """The figures of a digest: the 24 hours up to its time."""
        zone, minutes = inventory.province.zone, inventory.alerting.digest or 0
        ends = datetime.fromisoformat(day).replace(tzinfo=zone) + timedelta(minutes=minutes)
        until = round(ends.timestamp() * 1000)
        links = await downtime(self._reader, (until - DAY, until))
        return mail.DigestFigures(
            begins=until - DAY, ends=until, goals=tuple(worst(self._evaluations())), links=tuple(_downtimes(links))
        )


def worst(evaluations: Iterable[Evaluation]) -> list[mail.GoalFigure]:
    """The goals that are not met, the one farthest below its objective first."""
    behind = [one for one in evaluations if one.verdict != MET and one.best is not None]
    behind.sort(key=lambda one: ((one.best or 0.0) - one.objective, one.goal, one.window.name))
    return [
        mail.GoalFigure(
            goal=one.goal,
            window=one.window.name,
            best=one.best,
            lower=one.lower,
            objective=one.objective,
            verdict=one.verdict,
        )
        for one in behind[:MAX_DIGEST_GOALS]
    ]


def _downtimes(links: Mapping[tuple[str, str], int]) -> list[mail.Downtime]:
    longest = sorted(links.items(), key=lambda item: (-item[1], item[0]))
    return [mail.Downtime(link=link, provider=provider, down_ms=ms) for (link, provider), ms in longest if ms]
