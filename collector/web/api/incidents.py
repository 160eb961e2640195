"""``/api/v1/incidents`` and ``/api/v1/links``: what is wrong, why, who was notified; and what people do about it."""

from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web

from alerts.incident.entities import Incident
from collector.evaluator.alerting import AlertingService
from collector.queries import circuits
from collector.queries.reader import LedgerReader
from collector.web.access.roles import PRINCIPAL
from collector.web.api.incident_schemas import CircuitAnswer, Describer, IncidentAnswer, IncidentsAnswer
from collector.web.api.routes import LIMIT, MS_SCHEMA, ApiPost, ApiRoute, QueryParameter
from collector.web.incident_actions import ActionName, IncidentActionBody, IncidentActions
from collector.web.query_params import (
    MAX_ITEMS,
    MAX_TIME,
    BadRequest,
    check_parameters,
    json_response,
    one_of,
    whole_number,
    window,
)
from collector.web.rows import encoded_rows
from inventory.protocol.causes import CAUSES

DEFAULT_PAST: Final = 100


_body_decoder = msgspec.json.Decoder(IncidentActionBody)


class IncidentApi:
    """The handlers, over what the evaluator committed."""

    def __init__(self, reader: LedgerReader, alerting: AlertingService) -> None:
        self._reader = reader
        self._alerting = alerting
        self._actions = IncidentActions(reader, alerting)
        self.routes = (
            ApiRoute(
                "/api/v1/incidents",
                "viewer",
                self.incidents,
                "What is wrong, why, and what was",
                IncidentsAnswer,
                (
                    LIMIT,
                    QueryParameter("before", "past ones that were closed before this, ms since the epoch", MS_SCHEMA),
                    QueryParameter("agency", "only those that touch this agency"),
                    QueryParameter("cause", "only those with this cause", {"type": "string", "enum": list(CAUSES)}),
                ),
            ),
            ApiRoute(
                "/api/v1/incidents/{key}", "viewer", self.incident, "One incident, open or closed", IncidentAnswer
            ),
            ApiRoute(
                "/api/v1/links",
                "viewer",
                self.links,
                "Leased circuits over a window: time down by cause, with the evidence",
                list[CircuitAnswer],
                (
                    QueryParameter("from", "beginning, ms since the epoch (a day before the end)", MS_SCHEMA),
                    QueryParameter("to", "end, ms since the epoch (now)", MS_SCHEMA),
                    QueryParameter("link", "only this one"),
                    QueryParameter("provider", "only this provider's, as of now"),
                ),
            ),
        )
        self.posts = tuple(
            ApiPost(
                f"/api/v1/incidents/{{key}}/{what}", "operator", self.act, words, IncidentAnswer, IncidentActionBody
            )
            for what, words in (
                ("acknowledge", "Take an open incident on: no reminders, no escalation"),
                ("snooze", "No reminders of an open incident until a time"),
                ("comment", "Write a line into an open incident's history"),
                ("close", "Close an incident whose problems are no more than a record"),
            )
        )

    async def incidents(self, request: web.Request) -> web.Response:
        query = request.query
        check_parameters(query, "limit", "before", "agency", "cause")
        limit = whole_number(query, "limit", DEFAULT_PAST, MAX_ITEMS)
        before = whole_number(query, "before", MAX_TIME, MAX_TIME)
        one_of(query, "cause", CAUSES)
        describe = Describer(self._reader.inventory, self._reader.wall())
        past = await self._alerting.incidents.closed(limit, before)
        open_ = [one for one in self._alerting.incidents.open() if _matches(one, query)][:limit]
        content = {
            name: encoded_rows(self._reader.fleet.quarantine, incidents, lambda one: "", describe.incident)
            for name, incidents in (("open", open_), ("past", [one for one in past if _matches(one, query)]))
        }
        return json_response(content)

    async def incident(self, request: web.Request) -> web.Response:
        check_parameters(request.query)
        incident = await self._actions.find(request.match_info["key"])
        return json_response(Describer(self._reader.inventory, self._reader.wall()).incident(incident))

    async def links(self, request: web.Request) -> web.Response:
        query = request.query
        check_parameters(query, "from", "to", "link", "provider")
        over = window(query, self._reader.wall())
        every = self._reader.inventory.links
        only = query.get("link", "")
        if only and only not in every:
            raise BadRequest(f"there is no link {only[:60]!r}", 404)
        outages = await circuits.outages(self._reader, over, only)
        describe = Describer(self._reader.inventory, self._reader.wall())
        chosen = [
            link
            for link in every.values()
            if (not only or link.id == only) and query.get("provider", link.provider) == link.provider
        ]
        return json_response(
            [describe.circuit(link, [one for one in outages if one.link == link.id]) for link in chosen]
        )

    async def act(self, request: web.Request) -> web.Response:
        """What a person who said who they are wants of an incident."""
        if request.content_type != "application/json":  # what another site's form cannot send
            raise BadRequest("the body ought to be application/json", 415)
        try:
            body = _body_decoder.decode(await request.read() or b"{}")
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise BadRequest(f"the body is not understood: {error}") from None
        what: ActionName = request.path.rpartition("/")[2]  # type: ignore[assignment]
        key, principal = request.match_info["key"], request[PRINCIPAL]
        incident = await self._actions.execute(key, what, principal.name, body, f"api, {principal.by}")
        return json_response(Describer(self._reader.inventory, self._reader.wall()).incident(incident))


def _matches(incident: Incident, query: Mapping[str, str]) -> bool:
    agency, cause = query.get("agency"), query.get("cause")
    touches = agency is None or any(member.subject.agency == agency for member in incident.members.values())
    return touches and cause in (None, incident.cause.cause)
