"""The first plain page: what is wrong, agencies and their checks, goals, agents. Works without scripts."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import web

from collector.evaluator.alerting import AlertingService
from collector.ledger.figures import Figure
from collector.queries.reading import CheckEntry, LedgerReader
from collector.web import backups, schemas
from collector.web.api import Api
from collector.web.incident_pages import incident_line
from collector.web.layout import Layout
from collector.web.query_params import BadRequest, check_parameters
from inventory.model.entities import Agency
from inventory.protocol.states import NAMES, UNKNOWN, UP

DAY = 86_400_000
MAX_ALL_CHECKS = 300  # checks up to which the first page shows every one of them
MAX_TROUBLES = 50  # troubles on the first page

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class CheckRow(msgspec.Struct, frozen=True):
    """A check's line: as the API gives it, and its figures over a day and thirty."""

    check: schemas.CheckAnswer
    title: str
    day: Figure
    month: Figure


class AgencyGroup(msgspec.Struct, frozen=True):
    """An agency with the checks shown of it; ``hidden``: how many are up and not shown."""

    agency: Agency
    rows: list[CheckRow]
    count: int
    hidden: int


class StatusPages:
    """Draws from one reader."""

    def __init__(self, reader: LedgerReader, api: Api, frame: Layout, alerting: AlertingService) -> None:
        self._reader = reader
        self._alerting = alerting
        self._api = api
        self._draw = frame.render
        self._speaker = frame.speaker

    def routes(self) -> Mapping[str, Handler]:
        return {"/": self.first_page, "/agencies/{id}": self.agency_page}

    def posts(self) -> Mapping[str, Handler]:
        return {}

    async def first_page(self, request: web.Request) -> web.Response:
        check_parameters(request.query, "lang")
        now = self._reader.wall()
        present = self._reader.current_checks()
        show_all = len(present) <= MAX_ALL_CHECKS
        groups = await self._groups(list(self._reader.inventory.agencies.values()), present, now, show_all)
        # silence is not down: what nothing is known of is counted, not listed
        incidents = self._alerting.open_incidents()
        covered = {key for one in incidents for key, member in one.members.items() if member.until is None}
        troubles = [
            one
            for one in self._reader.open_troubles()
            if one.state != UNKNOWN and f"{NAMES[one.state]}:{one.known.uid}" not in covered
        ]
        return self._draw(
            request,
            "first.html",
            groups=groups,
            incidents=[incident_line(one, self._speaker(request)) for one in incidents[:MAX_TROUBLES]],
            troubles=troubles[:MAX_TROUBLES],
            more=max(len(troubles) - MAX_TROUBLES, 0),
            backups=await backups.backup_lines(self._reader, now, whole=show_all),
            agents=await self._api.agent_answers(),
            checks=len(present),
            silent=sum(self._reader.status(one, now).state == UNKNOWN for one in present),
        )

    async def agency_page(self, request: web.Request) -> web.Response:
        check_parameters(request.query, "lang")
        agency = self._reader.inventory.agencies.get(request.match_info["id"])
        if agency is None:
            raise BadRequest("there is no such agency", 404)
        now = self._reader.wall()
        groups = await self._groups([agency], self._reader.current_checks(), now, show_all=True)
        backup_lines = await backups.backup_lines(self._reader, now, agency.id)
        return self._draw(request, "agency.html", groups=groups, backups=backup_lines)

    async def _groups(
        self, agencies: list[Agency], present: list[CheckEntry], now: int, show_all: bool
    ) -> list[AgencyGroup]:
        of: dict[str, list[CheckEntry]] = {agency.id: [] for agency in agencies}
        for one in present:
            if one.check is not None and one.check.agency in of:
                of[one.check.agency].append(one)
        shown = {
            agency: [one for one in checks if show_all or self._reader.status(one, now).state != UP]
            for agency, checks in of.items()
        }
        chosen = [one for checks in shown.values() for one in checks]
        windows = [(now - DAY, now), (now - 30 * DAY, now)]
        figures = await self._reader.figures(chosen, windows) if chosen else {}
        return [
            AgencyGroup(
                agency,
                [self._row(one, now, figures[one.uid]) for one in shown[agency.id]],
                len(of[agency.id]),
                len(of[agency.id]) - len(shown[agency.id]),
            )
            for agency in agencies
            if of[agency.id] or len(agencies) == 1
        ]

    def _row(self, one: CheckEntry, now: int, figures: list[Figure]) -> CheckRow:
        answer = schemas.check(self._reader, one, now)
        return CheckRow(answer, "", figures[0], figures[1])
