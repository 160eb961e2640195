"""Pages of incidents, and the page behind a mail's link: it asks first, so that a mail scanner's look does nothing."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
from aiohttp import web

from alerts.incident.entities import Incident
from alerts.mail.formatter import MailFormatter
from alerts.mail.signed_urls import BadLink, LinkClaim
from alerts.mail.topic import headline
from collector.evaluator.alerting import AlertingService
from collector.queries.reading import LedgerReader
from collector.web.incident_api import IncidentActionBody, IncidentApi
from collector.web.layout import Layout
from collector.web.query_params import BadRequest, check_parameters
from collector.web.routes import WHO

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HOUR: Final = 3_600_000
MAX_PAST: Final = 100  # closed incidents on the page
SNOOZES: Final = (1, 4, 24, 72)  # hours
FORM_VALID_FOR: Final = HOUR  # how long a form of a page may be open before it is sent


class IncidentLine(msgspec.Struct, frozen=True):
    """An incident in a list."""

    incident: Incident
    title: str
    checks: int


class IncidentPages:
    """``api``: what does what a page asks for."""

    def __init__(self, reader: LedgerReader, alerting: AlertingService, api: IncidentApi, frame: Layout) -> None:
        self._reader = reader
        self._alerting = alerting
        self._api = api
        self._draw = frame.render
        self._speaker = frame.speaker

    def routes(self) -> Mapping[str, Handler]:
        return {
            "/incidents": self.list_page,
            "/incidents/{key}": self.incident_page,
            "/links/{token}": self.confirm_page,
        }

    def posts(self) -> Mapping[str, Handler]:
        return {"/links/{token}": self.submit}

    async def list_page(self, request: web.Request) -> web.Response:
        check_parameters(request.query, "lang")
        past = await self._alerting.store.read(lambda tx: tx.incidents.closed(MAX_PAST))
        speaker = self._speaker(request)
        return self._draw(
            request,
            "incidents.html",
            open=[incident_line(one, speaker) for one in self._alerting.open_incidents()],
            past=[incident_line(one, speaker) for one in past if one.why != "merged"],
        )

    async def incident_page(self, request: web.Request) -> web.Response:
        check_parameters(request.query, "lang")
        incident = await self._api.find(request.match_info["key"])
        who = request[WHO] or "anyone"
        forms = {
            action: self._alerting.signer.sign(
                LinkClaim(
                    action=action, incident=incident.key, contact=who, expires=self._reader.wall() + FORM_VALID_FOR
                )
            )
            for action in ("acknowledge", "snooze", "comment", "close")
        }
        return self._draw(
            request,
            "incident.html",
            refresh=False,
            incident=incident,
            title=headline(incident, self._speaker(request)),
            members=sorted(incident.members.values(), key=lambda one: (one.until is not None, one.since, one.key)),
            forms=forms,
            snoozes=SNOOZES,
        )

    async def confirm_page(self, request: web.Request) -> web.Response:
        """What the link would do, and a button; nothing is done yet."""
        check_parameters(request.query, "lang")
        try:
            claim = self._claim(request)
        except BadLink as bad:
            return self._refused(request, bad)
        incident = await self._incident(claim)
        return self._link_page(request, claim, incident, done="")

    async def submit(self, request: web.Request) -> web.Response:
        """The button was pressed (or a mail program asked to end the digests, RFC 8058)."""
        try:
            claim = self._claim(request)
        except BadLink as bad:
            return self._refused(request, bad)
        form = await request.post()
        if claim.action == "stop-digest":
            await self._alerting.unsubscribed.add(claim.contact, self._reader.wall())
            return self._link_page(request, claim, None, done="stop-digest")
        until = None
        if claim.action == "snooze":
            hours = str(form.get("hours", SNOOZES[0]))
            if hours not in map(str, SNOOZES):
                raise BadRequest("the reminders can be put off for one of the times that the page offers")
            until = self._reader.wall() + int(hours) * HOUR
        body = IncidentActionBody(until=until, text=str(form.get("text", "")))
        done: str = claim.action
        try:
            incident = await self._api.execute(claim.incident, claim.action, claim.contact, body)
        except BadRequest as wrong:
            if wrong.status != 409:
                raise
            incident, done = await self._api.find(claim.incident), ""  # it closed meanwhile: that is what is shown
        return self._link_page(request, claim, incident, done=done)

    def _refused(self, request: web.Request, bad: BadLink) -> web.Response:
        status = 410 if bad.expired else 404
        return self._draw(request, "link.html", status=status, refresh=False, claim=None, bad=bad)

    def _link_page(self, request: web.Request, claim: LinkClaim, incident: Incident | None, done: str) -> web.Response:
        return self._draw(
            request,
            "link.html",
            refresh=False,
            claim=claim,
            bad=None,
            incident=incident,
            title=headline(incident, self._speaker(request)) if incident is not None else "",
            done=done,
            snoozes=SNOOZES,
            who=self._who(claim),
        )

    def _who(self, claim: LinkClaim) -> str:
        contact = self._reader.inventory.contacts.get(claim.contact)
        return contact.name.in_(contact.language) if contact is not None else claim.contact

    def _claim(self, request: web.Request) -> LinkClaim:
        return self._alerting.signer.verify(request.match_info["token"], self._reader.wall())

    async def _incident(self, claim: LinkClaim) -> Incident | None:
        return await self._api.find(claim.incident) if claim.incident else None


def incident_line(incident: Incident, speaker: MailFormatter) -> IncidentLine:
    return IncidentLine(
        incident, headline(incident, speaker), sum(one.until is None for one in incident.members.values())
    )
