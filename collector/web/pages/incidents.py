"""Pages of incidents, and the page behind a mail's link: it asks first, so that a mail scanner's look does nothing."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from aiohttp import web

from alerts.incident.entities import Incident
from alerts.incident.message import message
from alerts.mail.signed_urls import BadLink, LinkClaim
from alerts.mail.topic import headline
from collector.web.access.roles import PRINCIPAL
from collector.web.incident_actions import ActionName, IncidentActionBody, IncidentActions
from collector.web.incident_lines import incident_lines
from collector.web.layout import see_other
from collector.web.pages import PageContext, PageRoute
from collector.web.query_params import BadRequest, check_parameters, form_fields

HOUR: Final = 3_600_000
MAX_PAST: Final = 100  # closed incidents on the page
SNOOZES: Final = (1, 4, 24, 72)  # hours


def pages(context: PageContext) -> "IncidentPages":
    return IncidentPages(context)


class IncidentPages:
    """The list, each incident, and what a mail's link leads to."""

    menu = (("/incidents", message("Incidents")),)

    def __init__(self, context: PageContext) -> None:
        self._reader = context.reader
        self._alerting = context.alerting
        self._actions = IncidentActions(context.reader, context.alerting)
        self._draw = context.layout.render
        self._formatter = context.layout.formatter

    def routes(self) -> Sequence[PageRoute]:
        return (
            PageRoute("/incidents", "viewer", self.list_page),
            PageRoute("/incidents/{key}", "viewer", self.incident_page),
            PageRoute("/links/{token}", "public", self.confirm_page),  # the token says who may do what
        )

    def posts(self) -> Sequence[PageRoute]:
        return (
            PageRoute("/incidents/{key}/{action:acknowledge|snooze|comment}", "operator", self.act),
            PageRoute("/links/{token}", "public", self.submit),
        )

    async def list_page(self, request: web.Request) -> web.Response:
        check_parameters(request.query, "lang")
        past = await self._alerting.incidents.closed(MAX_PAST)
        formatter = self._formatter(request)
        return self._draw(
            request,
            "incidents.html",
            open=incident_lines(self._reader, self._alerting.incidents.open(), formatter),
            past=incident_lines(self._reader, [one for one in past if one.resolution != "merged"], formatter),
        )

    async def incident_page(self, request: web.Request) -> web.Response:
        check_parameters(request.query, "lang")
        incident = await self._actions.find(request.match_info["key"])
        return self._draw(
            request,
            "incident.html",
            refresh=False,
            incident=incident,
            title=headline(incident, self._formatter(request)),
            members=sorted(incident.members.values(), key=lambda one: (one.until is not None, one.since, one.key)),
            may_act=request[PRINCIPAL].may("operator"),
            snoozes=SNOOZES,
        )

    async def act(self, request: web.Request) -> web.StreamResponse:
        """A form of an incident's page was sent."""
        check_parameters(request.query, "lang")
        principal, form = request[PRINCIPAL], await form_fields(request)
        key = request.match_info["key"]
        action: ActionName = request.match_info["action"]  # type: ignore[assignment]  # the route knows no others
        body = self._body(action, form)
        try:
            await self._actions.execute(key, action, principal.name, body, f"page, {principal.by}")
        except BadRequest as wrong:
            if wrong.status != 409:  # it closed meanwhile: that is what is shown
                raise
        language = request.query.get("lang")
        return see_other(f"/incidents/{quote(key)}" + (f"?lang={quote(language)}" if language else ""))

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
        form = await form_fields(request)
        if claim.action == "stop-digest":
            await self._alerting.unsubscribed.add(claim.contact, self._reader.wall())
            return self._link_page(request, claim, None, done="stop-digest")
        body = self._body(claim.action, form)
        done: str = claim.action
        try:
            incident = await self._actions.execute(claim.incident, claim.action, claim.contact, body, "link in a mail")
        except BadRequest as wrong:
            if wrong.status != 409:
                raise
            incident, done = await self._actions.find(claim.incident), ""  # it closed meanwhile: that is what is shown
        return self._link_page(request, claim, incident, done=done)

    def _body(self, action: str, form: Mapping[str, str]) -> IncidentActionBody:
        """What a form says. Raises BadRequest."""
        until = None
        if action == "snooze":
            hours = form.get("hours", str(SNOOZES[0]))
            if hours not in map(str, SNOOZES):
                raise BadRequest("the reminders can be put off for one of the times that the page offers")
            until = self._reader.wall() + int(hours) * HOUR
        return IncidentActionBody(until=until, text=form.get("text", ""))

    def _refused(self, request: web.Request, bad: BadLink) -> web.Response:
        status = 410 if bad.expired else 404
        return self._draw(request, "link.html", status=status, refresh=False, bare=True, claim=None, bad=bad)

    def _link_page(self, request: web.Request, claim: LinkClaim, incident: Incident | None, done: str) -> web.Response:
        return self._draw(
            request,
            "link.html",
            refresh=False,
            bare=True,
            claim=claim,
            bad=None,
            incident=incident,
            title=headline(incident, self._formatter(request)) if incident is not None else "",
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
        return await self._actions.find(claim.incident) if claim.incident else None
